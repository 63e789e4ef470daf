"""The `model` sections of small networks on tokens."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bmtool.config.schema import Section


class _Trunk(Section):
    # tokens of a row; longer texts are read in several
    context: int = Field(512, ge=8, le=1 << 20)
    # share of the numbers that are left out at random while it learns
    dropout: float = Field(0.3, ge=0, lt=1)


class BagModel(_Trunk):
    """fastText (Joulin et al. 2017, "Bag of tricks"): the mean of what tokens and their n-grams are."""

    pooling: ClassVar = "mean"

    # bag: the mean of the embeddings of tokens and of n-grams of them
    kind: Literal["bag"]
    # numbers of an embedding
    width: int = Field(64, ge=1, le=65_536)
    # of 2 to so many tokens; 1: tokens alone
    ngrams: int = Field(3, ge=1, le=10)
    # of the table that n-grams share, each in the row of its hash
    rows: int = Field(200_000, ge=1, le=100_000_000)

    @property
    def parameters(self) -> int:
        return self.rows * self.width


class TextCnnModel(_Trunk):
    """Kim 2014, "Convolutional neural networks for sentence classification"."""

    pooling: ClassVar = "max"

    # textcnn: convolutions over tokens
    kind: Literal["textcnn"]
    # numbers that a token is
    width: int = Field(128, ge=1, le=65_536)
    # tokens that a convolution sees at once, one convolution for each
    windows: list[Annotated[int, Field(ge=1, le=100)]] = Field([2, 3, 4], min_length=1, max_length=20)
    # numbers that a convolution makes of them
    channels: int = Field(128, ge=1, le=65_536)

    @property
    def parameters(self) -> int:
        return self.width * self.channels * sum(self.windows)


class RnnModel(_Trunk):
    """A recurrent network in both directions (Graves and Schmidhuber 2005)."""

    pooling: ClassVar = "attention"

    # rnn: a recurrent network in both directions
    kind: Literal["rnn"]
    # what it is made of
    cell: Literal["lstm", "gru"] = "lstm"
    # numbers that a token is, half of them for each direction
    width: int = Field(128, ge=2, le=65_536, multiple_of=2)
    # one after the other
    layers: int = Field(1, ge=1, le=20)

    @property
    def parameters(self) -> int:
        gates = 4 if self.cell == "lstm" else 3
        return self.layers * gates * 3 * self.width * self.width // 2


TrunkModel = BagModel | TextCnnModel | RnnModel
