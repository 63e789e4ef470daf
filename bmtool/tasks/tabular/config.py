"""The typed sections of tabular-classification and tabular-regression."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.schema import BaseConfig, Section
from bmtool.config.table import Boosting, Hidden, TableData, TableTrain

PICTURES = {"explain": "A picture of why: what each column adds to the answer."}


class ClassOptions(options.Top):
    pictures: ClassVar = PICTURES


class NumberOptions(options.Options):
    pictures: ClassVar = PICTURES


class Mlp(Hidden):
    """Linear layers on standardised numbers and embedded categories."""

    # a network
    kind: Literal["mlp"]


class Loss(Section):
    # classes: weigh each by the inverse of its frequency
    class_weights: bool = False
    # numbers: beyond so many standard deviations an error counts linearly (Huber 1964); 0: squared error
    huber: float = Field(0.0, ge=0, le=1e6)


class Decide(Section):
    """What a wrong answer costs, of two classes: the label is chosen so that it costs least on the validation rows."""

    # the positive class was said, and was wrong
    cost_false_positive: float = Field(1.0, ge=1e-9, le=1e9)
    # the positive class was not said, and would have been right
    cost_false_negative: float = Field(1.0, ge=1e-9, le=1e9)


class Config(BaseConfig):
    # the table and its columns
    data: TableData
    # a network or boosted trees
    model: Annotated[Mlp | Boosting, Field(discriminator="kind")]
    train: TableTrain = TableTrain()
    # what is made small
    loss: Loss = Loss()
    # what a wrong answer costs; null: the likeliest class is said
    decide: Decide | None = None

    @property
    def parameters(self) -> int:
        return self.model.parameters if isinstance(self.model, Mlp) else 0

    @model_validator(mode="after")
    def _consistent(self):
        if self.task == "tabular-regression":
            asked = {
                "decide": self.decide, "loss.class_weights": self.loss.class_weights,
                "data.positive": self.data.positive is not None,
            }  # fmt: skip
            if set_ := [name for name, value in asked.items() if value]:
                raise ValueError(f"{', '.join(set_)}: for tabular-classification only")
        elif self.loss.huber:
            raise ValueError("loss.huber is for tabular-regression")
        return self
