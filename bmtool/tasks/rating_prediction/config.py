"""The typed sections of rating-prediction."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.interactions import InteractionData
from bmtool.config.schema import BaseConfig, Section


class Options(options.Options):
    reasons: int = Field(
        3, ge=0, le=20, description="So many ratings of others or of one's own that add most, or take away most."
    )


class Baselines(Section):
    """How far users and items are from the mean of all ratings."""

    # pulls what is said of a user to 0, as so many ratings at the mean would
    l2_users: float = Field(5.0, ge=0, le=1e6)
    # pulls what is said of an item to 0
    l2_items: float = Field(5.0, ge=0, le=1e6)


class Biases(Baselines):
    """The mean, how kindly a user rates, how well an item is liked (baseline estimates, Koren 2010): the floor of every comparison."""

    # the mean, and how users and items differ from it
    kind: Literal["biases"]


class Svd(Section):
    """Biases, and factors of users and items whose products are added to them (Koren et al. 2009), by alternating least squares."""

    # biases and factors
    kind: Literal["svd"]
    # numbers of a user and of an item
    factors: int = Field(50, ge=1, le=1024)
    # pulls factors to 0, as so much for each rating of a user or item
    l2: float = Field(0.1, gt=0, le=1e6)
    # over users and items; what is kept is the best on the validation split
    rounds: int = Field(20, ge=1, le=1000)


class SvdPp(Svd):
    """svd in which whatever a user rated says something of them, however it was rated (SVD++, Koren 2008), by alternating least squares."""

    # biases, factors, and what was rated at all
    kind: Literal["svdpp"]
    # pulls what having rated an item says to 0
    l2_implicit: float = Field(300.0, gt=0, le=1e6)


class Bpmf(Section):
    """svd as a mean over all factors that the ratings allow, not the best ones alone (Salakhutdinov and Mnih 2008), by Gibbs sampling: how
    strongly factors are pulled to their mean is drawn with them."""

    # biases and factors, as a mean over draws
    kind: Literal["bpmf"]
    # numbers of a user and of an item
    factors: int = Field(16, ge=1, le=256)
    # rounds before the first one that counts
    burn_in: int = Field(10, ge=1, le=10_000)
    # rounds that count
    draws: int = Field(100, ge=1, le=10_000)


class Knn(Baselines):
    # pearson_baseline: of what the biases leave; cosine: of the ratings; msd: 1 / (1 + their mean squared difference); all of those who
    # rated both
    similarity: Literal["pearson_baseline", "cosine", "msd"] = "pearson_baseline"
    # pulls similarities of which few ratings speak to 0: n / (n + shrink)
    shrink: float = Field(100.0, ge=0, le=1e6)
    # so many at most that were rated decide
    neighbours: int = Field(40, ge=1, le=10_000)
    # as so much similarity to a rating that is just what the biases say: pulls what few neighbours add to 0
    pull: float = Field(0.0, ge=0, le=1e6)
    # so many of the most similar are known of each
    kept: int = Field(500, ge=1, le=100_000)


class ItemKnn(Knn):
    """How the user rated similar items, against the biases (Koren 2010)."""

    # similar items that the user rated
    kind: Literal["item-knn"]


class UserKnn(Knn):
    """How similar users rated the item, against the biases."""

    # similar users who rated the item
    kind: Literal["user-knn"]
    pull: float = Field(1.0, ge=0, le=1e6)


Part = Annotated[Biases | Svd | SvdPp | Bpmf | ItemKnn | UserKnn, Field(discriminator="kind")]


class Blend(Section):
    """Several models added up; how much each counts is solved for on the validation split."""

    # several of these added up
    kind: Literal["blend"]
    # sections of other kinds
    parts: Annotated[list[Part], Field(min_length=2, max_length=10)]


class Config(BaseConfig):
    # who rated what, and how: `columns.rating` names the column that is learned
    data: InteractionData
    # what is learned of it
    model: Annotated[Biases | Svd | SvdPp | Bpmf | ItemKnn | UserKnn | Blend, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _has_ratings(self):
        if self.data.columns.rating is None:
            raise ValueError(
                "data.columns.rating: name the column of ratings; who took what without one is for recommendation"
            )
        return self
