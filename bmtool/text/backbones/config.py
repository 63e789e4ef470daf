"""The `model` sections of the shared text backbones."""

from typing import Literal

from pydantic import Field, model_validator

from bmtool.config.schema import FilePath, Section


class Backbone(Section):
    """What both have. The defaults are a small network, of about 3 M numbers beside its vocabulary."""

    # numbers that a token is inside of the network; a multiple of heads
    width: int = Field(256, ge=8, le=65_536)
    # blocks, one after the other
    layers: int = Field(4, ge=1, le=200)
    # of attention, that share the width
    heads: int = Field(4, ge=1, le=1024)
    # numbers that a token is inside of a block
    feedforward: int = Field(1024, ge=8, le=262_144)
    # tokens that are read at most
    context: int = Field(512, ge=8, le=1 << 20)
    # share of the numbers that are left out at random while it learns
    dropout: float = Field(0.0, ge=0, lt=1)
    # a directory in the Hugging Face format (config.json, model.safetensors, tokenizer.json or vocab.txt): its shape and weights are used
    weights: FilePath | None = None
    # trade a third of the speed for memory: what a block computes is computed again when its gradient is
    checkpointing: bool = False

    @model_validator(mode="after")
    def _heads_fit(self):
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class EncoderModel(Backbone):
    """BERT (Devlin et al. 2019): every token sees all others."""

    # encoder: every token sees all others
    kind: Literal["encoder"] = "encoder"

    @property
    def parameters(self) -> int:
        return self.layers * self.width * (4 * self.width + 2 * self.feedforward) + self.context * self.width


class DecoderModel(Backbone):
    """Llama (Touvron et al. 2023): every token sees those before it."""

    # decoder: every token sees those before it
    kind: Literal["decoder"] = "decoder"
    # numbers that a token is inside of a block
    feedforward: int = Field(680, ge=8, le=262_144)
    # of keys and values, that so many heads share (Ainslie et al. 2023); null: as many as heads
    key_value_heads: int | None = Field(None, ge=1, le=1024)
    # on queries, keys and values, as Qwen2 has it
    qkv_bias: bool = False
    # the last layer is the table of embeddings again
    tied: bool = True
    # of the angles of rotary positions
    rope_base: float = Field(10_000.0, ge=1, le=1e9)

    @property
    def parameters(self) -> int:
        shared = self.key_value_heads or self.heads
        attention = 2 * self.width * self.width * (1 + shared / self.heads)
        return int(self.layers * (attention + 3 * self.width * self.feedforward))

    @model_validator(mode="after")
    def _groups_fit(self):
        if self.heads % (self.key_value_heads or self.heads):
            raise ValueError(f"heads ({self.heads}) must be a multiple of key_value_heads ({self.key_value_heads})")
        if (self.width // self.heads) % 2:
            raise ValueError(f"width / heads ({self.width} / {self.heads}) must be even for rotary positions")
        return self
