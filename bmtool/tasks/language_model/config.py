"""The typed sections of language-model."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config import options, text
from bmtool.config.schema import BaseConfig
from bmtool.text.backbones.config import DecoderModel, EncoderModel

CAUSAL_ONLY = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "beams", "stop", "seed")


class Options(options.Options):
    max_tokens: int | None = Field(
        None, ge=1, le=1 << 20, json_schema_extra=options.times(16),
        description="So many tokens at most are written; without it 64, or 512 in a dialogue.",
    )  # fmt: skip
    temperature: float = Field(
        0.8, ge=0, le=100, description="Above 1 more is dared, below 1 less; 0 takes the likeliest token."
    )
    top_k: int = Field(0, ge=0, le=1 << 20, description="Of the likeliest tokens only so many may be drawn; 0: all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Only the likeliest tokens that hold this share together.")
    min_p: float = Field(0.0, ge=0, le=1, description="Only tokens of at least this share of the likeliest one's.")
    repetition_penalty: float = Field(
        1.0, gt=0, le=100, description="Scores of tokens that were there are divided by it."
    )
    beams: int = Field(
        0, ge=0, le=64, json_schema_extra=options.times(8),
        description="Beam search of so many ways, without chance; 0: none.",
    )  # fmt: skip
    stop: tuple[str, ...] = Field((), description="Text that ends what is written. May be repeated.")
    seed: int = Field(1, ge=0, lt=2**63, description="Another number, another text.")
    top: int = Field(5, ge=1, le=1000, description="So many of the likeliest words under a mask.")

    @property
    def asked(self) -> set[str]:
        """Those that are not as they are left."""
        return {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}


class Clean(text.Clean):
    """Lines stay whole, whatever they are written in."""

    markdown: bool = False
    boilerplate: bool = False
    sentences: bool = False
    letters: Literal["hanzi", "latin", "any"] = "any"
    min_letters: int = Field(1, ge=0, le=1_000_000)
    max_characters: int = Field(1 << 16, ge=1, le=1 << 20)
    min_letters_share: float = Field(0.0, ge=0, le=1)
    max_repeats: int = Field(0, ge=0, le=1_000_000)


STEPS = ("html", "nfkc", "invisible", "simplify", "mask")  # of cleaning that change what is said


class Data(text.TokenisedData):
    clean: Clean = Clean()
    # what is read on from one line to the next: nothing, or all lines of a file; dialogue: records of prompt and response, or of messages
    document: Literal["line", "file", "dialogue"] = "line"
    # masks hide whole words (Cui et al. 2021), as rjieba cuts them; needs `pip install rjieba`
    whole_words: bool = False

    def packages(self) -> Iterator[Package]:
        yield from super().packages()
        if self.whole_words:
            yield Package("rjieba", "rjieba", "data.whole_words takes rjieba")
        if self.document == "dialogue":
            yield Package("jinja2", "jinja2", "data.document: dialogue takes Jinja")

    @model_validator(mode="before")
    @classmethod
    def _dialogues_stay_as_they_are(cls, section: Any) -> Any:
        if not isinstance(section, dict) or section.get("document") != "dialogue":
            return section
        given = section.get("clean", {})
        return section | {"clean": dict.fromkeys(STEPS, False) | given} if isinstance(given, dict) else section

    @model_validator(mode="after")
    def _dialogues_are_not_changed(self):
        if self.document == "dialogue" and (on := [name for name in STEPS if getattr(self.clean, name)]):
            raise ValueError(f"clean.{on[0]} changes what is said, and dialogues are learned as they are: leave it out")
        return self

    @model_validator(mode="after")
    def _files_stay_whole(self):
        if self.document == "file" and self.split_by != "file":
            raise ValueError("document: file needs split_by: file, or a document would be in several splits")
        return self


class Config(BaseConfig):
    # the text
    data: Data
    train: text.TextTrain = text.TextTrain()
    # masked: words in the midst of a text (BERT); causal: the next token (GPT)
    objective: Literal["masked", "causal"]
    # the network
    model: Annotated[EncoderModel | DecoderModel, Field(discriminator="kind")]
    # masked: share of the tokens that are to be guessed
    mask_share: float = Field(0.15, gt=0, lt=1)

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @property
    def starts_from_others(self) -> bool:
        """Dialogues in tokens that are there already are for a model that knows them."""
        given = self.data.tokenizer not in text.TOKENIZERS
        return super().starts_from_others or (self.data.document == "dialogue" and given)

    @model_validator(mode="after")
    def _consistent(self):
        wanted = {"masked": "encoder", "causal": "decoder"}[self.objective]
        if self.model.kind != wanted:
            raise ValueError(f"objective: {self.objective} needs model.kind: {wanted}, not {self.model.kind}")
        if self.objective == "masked" and self.data.document == "dialogue":
            raise ValueError("data.document: dialogue needs objective: causal")
        if self.objective == "causal" and (self.data.whole_words or self.mask_share != 0.15):
            raise ValueError("mask_share and data.whole_words are for objective: masked")
        if self.train.batch_tokens < self.model.context:
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must hold model.context ({self.model.context})"
            )
        return self
