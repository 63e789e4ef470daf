"""The typed sections of pinyin2hanzi."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, model_validator

from bmtool.config import options
from bmtool.config.schema import MANY, BaseConfig, FilePath, Section
from bmtool.config.text import TextData, TextTrain
from bmtool.text.seq2seq.config import Rnn, Transformer


class Options(options.Options):
    n_best: int = Field(
        1, ge=1, le=100, validation_alias=AliasChoices("n_best", "top"), description="So many ways to write each line."
    )
    context: str = Field("", description="Text that stands before each line and helps to choose.")
    fuzzy: tuple[str, ...] = Field(
        (), description="Sounds that count as one: z/zh, an/ang, n/l ..., or all. May be repeated."
    )
    initials: bool = Field(
        False, json_schema_extra=options.times(32), description="Initials may stand for syllables: wmdj."
    )
    lexicon: FilePath | None = Field(
        None, json_schema_extra=options.LOCAL,
        description="Your own words: a file with a line each of word, pinyin, weight (tabs; two may be left out).",
    )  # fmt: skip
    traditional: bool = Field(False, description="Write traditional characters (needs OpenCC).")
    alternatives: bool = Field(False, description="With JSON: every syllable with its place and its candidates.")


class Data(TextData):
    # model inputs (hanzi, punctuation marks, words) in one example
    max_length: int = Field(64, ge=8, le=512)
    # a hanzi seen less often in the training split is left out of the vocabulary
    min_count: int = Field(1, ge=1, le=MANY)
    # gb2312 adds its 6,763 hanzi to those that were seen
    charset: Literal["gb2312", "seen"] = "gb2312"
    # take the vocabulary of this run or prepared directory: what finetuning needs
    vocabulary: FilePath | None = None
    # your own reading dictionary: a line each of word, tab, pinyin
    readings: FilePath | None = None
    # of 这, 那, 谁 ... in training text, labelled as zhei, nei, shei ...
    variant_share: float = Field(0.1, ge=0, le=1)
    # drop sentences with a hanzi of several readings that no phrase settles; false: count them
    drop_uncertain: bool = False


class Ngram(Section):
    """A Kneser-Ney model of hanzi, counted over the training split, which the decoder adds to the tagger's opinion."""

    # hanzi in a row at most
    order: int = Field(4, ge=1, le=4)
    # n-grams of two and more hanzi that are kept, the most useful ones; 2.5 bytes each
    entries: int = Field(2_000_000, ge=0, le=MANY)


class Tagger(Section):
    """An encoder with one hanzi a syllable, scored against that syllable's own candidates only."""

    # one hanzi a syllable, out of that syllable's candidates
    kind: Literal["tagger"]
    # of embeddings and states
    width: int = Field(256, ge=8, le=65_536)
    # of the encoder
    layers: int = Field(4, ge=1, le=200)
    # of attention
    heads: int = Field(4, ge=1, le=1024)
    # width of the layers between
    feedforward: int = Field(1024, ge=8, le=65_536)
    # share of what is set to zero in training
    dropout: float = Field(0.0, ge=0, lt=1)
    # rows of each of the syllable-bigram and -trigram tables; 0 leaves them out
    ngram_rows: int = Field(0, ge=0, le=MANY)
    # of a row
    ngram_width: int = Field(64, ge=1, le=4096)
    # the n-gram model beside the network
    ngram: Ngram = Ngram()
    # share of training sentences that show part of their hanzi as if known already
    show: float = Field(0.65, ge=0, le=1)
    # share of the hanzi shown that are wrong: another candidate of the syllable
    confuse: float = Field(0.1, ge=0, le=1)

    @property
    def parameters(self) -> int:
        tables = 2 * self.ngram_rows * self.ngram_width
        return tables + self.layers * self.width * (4 * self.width + 2 * self.feedforward)


class Decode(Section):
    # histories a place, or hypotheses, that are kept while searching
    beam: int = Field(50, ge=1, le=500)
    # tagger: of the network's log-probabilities beside those of the n-gram model
    network_weight: float = Field(0.3, ge=0, le=1000)
    # tagger: scores are divided by it before they become probabilities
    temperature: float = Field(1.0, ge=0.01, le=1000)
    # rnn, transformer: one hanzi a syllable, out of its candidates; false: free generation
    constrained: bool = True
    # free generation: exponent on the length (Wu et al. 2016)
    length_penalty: float = Field(0.0, ge=0, le=10)


class Config(BaseConfig):
    # the text and how it is prepared
    data: Data
    train: TextTrain = TextTrain()
    # the network
    model: Annotated[Tagger | Transformer | Rnn, Field(discriminator="kind")]
    # share of the probability that is spread over all hanzi
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # how hanzi are searched for
    decode: Decode = Decode()

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @model_validator(mode="after")
    def _consistent(self):
        heads = getattr(self.model, "heads", 1)
        if self.model.width % (2 * heads):
            raise ValueError(f"model.width ({self.model.width}) must be a multiple of 2 x model.heads ({heads})")
        if self.train.batch_tokens < self.data.max_length:
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must hold data.max_length ({self.data.max_length})"
            )
        return self
