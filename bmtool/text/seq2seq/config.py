"""The `model` sections of the encoder-decoders."""

from typing import Literal

from pydantic import Field

from bmtool.config.schema import Section


class Transformer(Section):
    """Encoder-decoder of Vaswani et al. 2017, pre-norm."""

    # an encoder-decoder transformer
    kind: Literal["transformer"]
    # of embeddings and states
    width: int = Field(256, ge=8, le=65_536)
    # of the encoder, and as many of the decoder
    layers: int = Field(3, ge=1, le=200)
    # of attention
    heads: int = Field(4, ge=1, le=1024)
    # width of the layer between
    feedforward: int = Field(1024, ge=8, le=65_536)
    # share of what is set to zero in training
    dropout: float = Field(0.1, ge=0, lt=1)

    @property
    def parameters(self) -> int:
        return self.layers * self.width * (12 * self.width + 4 * self.feedforward)


class Rnn(Section):
    """Encoder-decoder with attention of Bahdanau et al. 2015."""

    # a recurrent encoder-decoder
    kind: Literal["rnn"]
    # of the recurrence
    cell: Literal["gru", "lstm"] = "gru"
    # additive (Bahdanau) or dot (scaled dot product)
    attention: Literal["additive", "dot"] = "additive"
    # of embeddings, states and attention
    width: int = Field(256, ge=8, le=65_536)
    # of the encoder (each direction) and of the decoder
    layers: int = Field(1, ge=1, le=100)
    # share of what is set to zero in training
    dropout: float = Field(0.1, ge=0, lt=1)

    @property
    def parameters(self) -> int:
        """At least."""
        return self.layers * 12 * self.width**2
