"""The typed sections of tabular-classification and tabular-regression."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config import options
from bmtool.config.schema import MANY, BaseConfig, Section
from bmtool.config.table import TableData, TableTrain

PICTURES = {"explain": "A picture of why: what each column adds to the answer."}


class ClassOptions(options.Top):
    pictures: ClassVar = PICTURES


class NumberOptions(options.Options):
    pictures: ClassVar = PICTURES


class Mlp(Section):
    """Linear layers on standardised numbers and embedded categories."""

    # a network
    kind: Literal["mlp"]
    # of each hidden layer
    widths: list[Annotated[int, Field(ge=1, le=65_536)]] = Field([64, 64], min_length=1, max_length=100)
    # after each hidden layer
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    # after each hidden layer
    dropout: float = Field(0.0, ge=0, lt=1)
    # after each hidden layer
    batch_norm: bool = False

    @property
    def parameters(self) -> int:
        """Between the hidden layers."""
        return sum(before * width for before, width in pairwise(self.widths))


class Boosting(Section):
    """Trees that are added one by one, each to what those before it have left (LightGBM, Ke et al. 2017)."""

    # boosted trees
    kind: Literal["lightgbm"]
    # at most so many trees (of each class, where there are more than two)
    rounds: int = Field(500, ge=1, le=100_000)
    # rounds without a better loss on the validation rows until it stops; what is kept ends at the best
    patience: int = Field(50, ge=1, le=MANY)
    # how much of each tree counts
    rate: float = Field(0.05, gt=0, le=1)
    # of a tree
    leaves: int = Field(31, ge=2, le=131_072)
    # training rows in each leaf
    leaf_rows: int = Field(20, ge=1, le=MANY)
    # pulls the values of leaves to 0
    l2: float = Field(0.0, ge=0, le=1e9)
    # share of the columns that each tree may use
    columns: float = Field(1.0, gt=0, le=1)

    def packages(self) -> Iterator[Package]:
        yield Package("lightgbm", "lightgbm", "model.kind: lightgbm takes a package of that name")


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
