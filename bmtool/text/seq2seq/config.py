"""The `model` sections of the encoder-decoders."""

from typing import Literal

from pydantic import Field

from bmtool.config.schema import Section


class Transformer(Section):
    """Encoder-decoder of Vaswani et al. 2017, pre-norm."""

    kind: Literal["transformer"]
    width: int = Field(256, ge=8, le=65_536)
    # of the encoder, and as many of the decoder
    layers: int = Field(3, ge=1, le=200)
    heads: int = Field(4, ge=1, le=1024)
    feedforward: int = Field(1024, ge=8, le=65_536)
    dropout: float = Field(0.1, ge=0, lt=1)

    @property
    def parameters(self) -> int:
        return self.layers * self.width * (12 * self.width + 4 * self.feedforward)


class Rnn(Section):
    """Encoder-decoder with attention of Bahdanau et al. 2015."""

    kind: Literal["rnn"]
    cell: Literal["gru", "lstm"] = "gru"
    attention: Literal["additive", "dot"] = "additive"
    width: int = Field(256, ge=8, le=65_536)
    layers: int = Field(1, ge=1, le=100)
    dropout: float = Field(0.1, ge=0, lt=1)

    @property
    def parameters(self) -> int:
        """At least."""
        return self.layers * 12 * self.width**2
