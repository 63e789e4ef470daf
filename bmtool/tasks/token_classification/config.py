"""The typed sections of token-classification."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.labelled import PICTURES, LabelledConfig, LabelledData, LabelledTrain
from bmtool.config.schema import FilePath
from bmtool.text.backbones.config import EncoderModel
from bmtool.text.labelled.models import RnnModel


class Options(options.Options):
    """What is marked follows from the text alone."""

    pictures: ClassVar = {"explain": PICTURES["explain"]}


class Data(LabelledData):
    # what the places of spans count in the files: characters (code points), UTF-16 units (JavaScript, Java) or bytes of UTF-8
    offsets: Literal["characters", "utf-16", "bytes"] = "characters"


class Config(LabelledConfig):
    # the texts and their spans
    data: Data
    # the network
    model: Annotated[EncoderModel | RnnModel, Field(discriminator="kind")]
    train: LabelledTrain = LabelledTrain()
    # crf: which tags follow which is learned too (Lafferty et al. 2001); softmax: every token by itself, and the best of what may follow
    head: Literal["softmax", "crf"] = "crf"
    # a file of words, one a line, with a tab and a type behind those that have one: where they begin, go on and end is told to the network
    lexicon: FilePath | None = None

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @model_validator(mode="after")
    def _batches_hold_a_row(self):
        if self.train.batch_tokens < self.model.context:
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must hold model.context ({self.model.context})"
            )
        return self
