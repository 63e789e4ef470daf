"""The `model` sections of linear models on n-grams."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import MANY, Section


class Ngrams(Section):
    """The features of a text: which n-grams it has, by how often (TF) and how telling (IDF) they are."""

    # of characters, for languages without spaces, or of words of two letters or more
    unit: Literal["characters", "words"] = "characters"
    # n-grams of so many of them
    lowest: int = Field(1, ge=1, le=20)
    # to so many
    highest: int = Field(3, ge=1, le=20)
    # training texts that an n-gram must stand in
    min_texts: int = Field(2, ge=1, le=MANY)
    # n-grams at most: those of the fewest texts are left out
    most: int = Field(1_000_000, ge=1, le=100_000_000)
    # one that stands in a text n times counts 1 + log n times
    sublinear: bool = True

    @model_validator(mode="after")
    def _in_order(self):
        if self.lowest > self.highest:
            raise ValueError(f"lowest ({self.lowest}) must not be above highest ({self.highest})")
        return self


class _Linear(Section):
    # what is counted
    ngrams: Ngrams = Ngrams()

    def packages(self) -> Iterator[Package]:
        yield Package("sklearn", "scikit-learn", f"model.kind: {self.kind} is fitted by scikit-learn")

    @property
    def parameters(self) -> int:
        return 0


class NaiveBayesModel(_Linear):
    """Rennie et al. 2003, "Tackling the poor assumptions of naive Bayes text classifiers"."""

    # naive-bayes: n-grams are taken for independent of each other; fitted in no time
    kind: Literal["naive-bayes"]
    # complement: by how a class differs from all others together, which classes of different sizes gain by; multinomial: by itself
    variant: Literal["complement", "multinomial"] = "complement"
    # added to every count
    alpha: float = Field(0.3, gt=0, le=1e6)


class LogisticModel(_Linear):
    # logistic-regression: its probabilities are what the fit makes good
    kind: Literal["logistic-regression"]
    # the larger, the closer to the training texts: C of scikit-learn, the inverse of the L2 penalty
    c: float = Field(10.0, gt=0, le=1e6)
    # of the solver, at most
    iterations: int = Field(1000, ge=1, le=1_000_000)


class SvmModel(_Linear):
    """A class against the rest with squared hinge loss, and probabilities by Platt 1999 on the validation texts."""

    # svm: a linear support vector machine, most often the best of the three
    kind: Literal["svm"]
    # as of logistic-regression
    c: float = Field(0.3, gt=0, le=1e6)
    # of the solver, at most
    iterations: int = Field(1000, ge=1, le=1_000_000)


LinearModel = NaiveBayesModel | LogisticModel | SvmModel
