"""The typed sections of question-answering."""

from typing import ClassVar

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.labelled import PICTURES, LabelledConfig, LabelledData, LabelledTrain
from bmtool.text.backbones.config import EncoderModel


class Options(options.NBest):
    """Of pieces of a text."""

    pictures: ClassVar = {"explain": PICTURES["explain"]}


class Config(LabelledConfig):
    # questions, the texts that they are asked of, and where the answers stand in these
    data: LabelledData
    # the network
    model: EncoderModel = EncoderModel()
    train: LabelledTrain = LabelledTrain()
    # tokens that windows of a long text share with those beside them: an answer that stands at an edge is whole in one of two
    overlap: int = Field(128, ge=0, le=1 << 20)
    # for a reader of documents: of each training question so many texts of others, those that are nearest to it by their words (BM25), are
    # read as texts without its answer
    negatives: int = Field(0, ge=0, le=100)
    # tokens of an answer at most
    answer_tokens: int = Field(64, ge=1, le=10_000)

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @model_validator(mode="after")
    def _consistent(self):
        if self.train.batch_tokens < self.model.context:
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must hold model.context ({self.model.context})"
            )
        return self
