"""The typed sections of click-prediction."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bmtool.config import options
from bmtool.config.schema import BaseConfig, Section
from bmtool.config.table import Boosting, FieldData, Hidden, TableTrain


class Options(options.Top):
    pictures: ClassVar = {"explain": "A picture of why: what each column adds to the answer."}
    because: int = Field(
        3,
        ge=0,
        le=100,
        json_schema_extra=options.times(10),
        description="So many of the columns without which the probability changes most; 0: none.",
    )


class Linear(Section):
    """A weight for each category, number, id and word (logistic regression)."""

    # weights alone
    kind: Literal["logistic-regression"]
    # share of the categories that count as unknown while it learns, so that those that are unknown later are something it has seen
    unknown: float = Field(0.0, ge=0, lt=1)
    # pulls the weights to 0, those most that few rows have; a part of the loss (half of it times the sum of squares)
    l2: float = Field(0.0, ge=0, le=1e6)

    @property
    def width(self) -> int:
        """Of the vectors."""
        return 0


class Embedded(Section):
    """Vectors of categories, numbers, ids and words."""

    # the kind of model
    kind: str
    # numbers in each vector
    width: int = Field(16, ge=1, le=4096)
    # share of the categories that count as unknown while it learns, so that those that are unknown later are something it has seen
    unknown: float = Field(0.0, ge=0, lt=1)
    # pulls the vectors to 0, those most that few rows have; a part of the loss (half of it times the sum of squares)
    l2: float = Field(0.0, ge=0, le=1e6)


class Fm(Embedded):
    """Logistic regression, and the products of all pairs of vectors (factorization machine, Rendle 2010)."""

    # weights and pairs
    kind: Literal["fm"]


class DeepFm(Hidden, Embedded):
    """A factorization machine, and hidden layers on the same vectors (Guo et al. 2017)."""

    # weights, pairs and hidden layers
    kind: Literal["deepfm"]


class Din(Hidden, Embedded):
    """Logistic regression, and hidden layers on vectors; of a history a sum in which each id counts by how it goes with what is shown (deep
    interest network, Zhou et al. 2018)."""

    # weights, and hidden layers on vectors and attended histories
    kind: Literal["din"]
    # of the hidden layer that weighs ids
    attention: int = Field(36, ge=1, le=4096)


Network = Linear | Fm | DeepFm | Din


class Config(BaseConfig):
    # the rows and their columns
    data: FieldData
    # logistic regression, a factorization machine, a network or boosted trees
    model: Annotated[Linear | Fm | DeepFm | Din | Boosting, Field(discriminator="kind")]
    train: TableTrain = TableTrain()

    @property
    def parameters(self) -> int:
        return self.model.parameters if isinstance(self.model, Hidden) else 0
