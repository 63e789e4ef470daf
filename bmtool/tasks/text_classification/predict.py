"""From texts to classes or to a number. Numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import NotRequired

from bmtool.base.units import few
from bmtool.errors import DataError
from bmtool.predict import labels, number
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.labels import likeliest
from bmtool.predict.values import Labels, Number, Several
from bmtool.tasks.text_classification.config import Data, NumberOptions, Options
from bmtool.tasks.text_classification.goals import probabilities
from bmtool.tasks.text_classification.kind import kind_of
from bmtool.text.labelled import predict
from bmtool.text.labelled.explain import Answer, Explains
from bmtool.text.labelled.predict import Read

SHOWN = 10  # classes that a message names


class About(predict.About):
    goal: str
    # of a number none
    labels: list[str]
    # what scores are divided by
    temperature: float
    # of several classes: from which probability on each is said
    thresholds: list[float]
    # of a number: mean and standard deviation of what was learned
    scale: list[float]
    separator: str
    # of a linear model: which n-grams it looks up
    ngrams: NotRequired[dict[str, Any]]


class Scores(NamedTuple):
    """What a model says of windows: of which text each is (int64 [W]), how much it counts in that text [W], its scores [W, S]."""

    example: np.ndarray
    weight: np.ndarray
    scores: np.ndarray

    def mean(self, say: Callable[[np.ndarray], np.ndarray], texts: int) -> np.ndarray:
        """What `say` makes of the scores, float64 [texts, ...], the mean over the windows of each text."""
        found = np.asarray(say(self.scores), np.float64)
        weight = self.weight.reshape(-1, *[1] * (found.ndim - 1))
        total, weights = (np.zeros((texts, *one.shape[1:])) for one in (found, weight))
        np.add.at(total, self.example, weight * found)
        np.add.at(weights, self.example, weight)
        return total / weights


class _Reader(Explains):
    """Scores of texts: of a long one the mean over its windows, each as much as it has tokens."""

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        super().__init__(about, backend, assets)
        self.goal = about["goal"]
        several, pair = self.goal == "several", len(self.columns) > 1
        section = {"source": "-", "prepared": "-", "pair": pair, "separator": about["separator"]}
        data = Data.model_validate(section | {"classes": "several" if several else "one"})
        self.kind = kind_of(data, numeric=self.goal == "number")

    def scores(self, reads: Sequence[Read]) -> Scores:
        """Of all windows of texts."""
        windows = self.windows(reads)
        lengths, each = np.zeros(len(windows)), [np.zeros(1)] * len(windows)
        for window, row, said in self.run(reads, windows):
            lengths[window], each[window] = row.length, said["scores"]
        return Scores(windows.example, lengths, np.stack(each) if each else np.zeros((0, 1)))

    def mean(self, reads: Sequence[Read], say: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What `say` makes of scores [W, S], float64 [N, ...], the mean over the windows of each text."""
        return self.scores(reads).mean(say, len(reads))


class Classifier(_Reader):
    """Texts to probabilities [N, classes]; of several classes each by itself."""

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        super().__init__(about, backend, assets)
        self.labels, self.temperature = list(about["labels"]), about["temperature"]
        self.thresholds = np.array(about["thresholds"])

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"labels": self.labels}

    def probabilities(self, reads: Sequence[Read]) -> np.ndarray:
        return self.mean(reads, lambda scores: probabilities(self.goal, scores, self.temperature)).reshape(
            len(reads), -1
        )

    def answer(self, read: Read) -> Answer:
        """The likeliest class; of an order one score is as good as another."""
        shown = int(self.probabilities([read])[0].argmax())
        score = 0 if self.goal == "ordinal" else shown
        return Answer(self.labels[shown], lambda reads: self.probabilities(reads)[:, shown], score)

    def predict(self, reads: Sequence[Read], options: Options = Options()) -> list[Labels]:
        said = self.probabilities(reads)
        found = likeliest(self.labels, said, options)
        if self.goal != "several":
            return found
        return [several(one, p, self.labels, self.thresholds) for one, p in zip(found, said)]


def several(found: Labels, p: np.ndarray, labels: Sequence[str], thresholds: np.ndarray) -> Several:
    """The classes that are said of the probabilities [C] of one text, beside the likeliest."""
    chosen = np.flatnonzero(p >= thresholds)
    given = [labels[c] for c in sorted(chosen.tolist(), key=lambda c: -p[c])]
    shown = dict(found.classes) | {labels[c]: float(p[c]) for c in chosen.tolist()}
    return Several(tuple(sorted(shown.items(), key=lambda one: -one[1])), given=tuple(given))


class Regressor(_Reader):
    """Texts to numbers [N] in the unit of the label."""

    target = "label"

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        super().__init__(about, backend, assets)
        self.centre, self.spread = about["scale"]

    def numbers(self, reads: Sequence[Read]) -> np.ndarray:
        return self.mean(reads, lambda scores: scores.astype(np.float64) * self.spread + self.centre).reshape(
            len(reads)
        )

    def answer(self, read: Read) -> Answer:
        return Answer(self.target, self.numbers, 0)

    def predict(self, reads: Sequence[Read], options: NumberOptions = NumberOptions()) -> list[Number]:
        return [Number(float(value), self.spread) for value in self.numbers(reads)]


def unlike(one: Any, other: Any) -> str:
    """How models differ in what they are asked, whatever their classes are; "" when they are asked the same."""
    if (one.goal == "several") != (other.goal == "several"):
        return "are asked for other things (one gives a text one class, the other any number)"
    if one.goal == other.goal == "ordinal" and one.labels != other.labels:
        return f"have other orders of classes ({few(one.labels, SHOWN)}, and {few(other.labels, SHOWN)})"
    return ""


class Ensemble(labels.Ensemble):
    """Of several classes the thresholds are averaged as the probabilities are."""

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float]):
        """DataError unless all are asked for the same."""
        for one, other in combinations(members, 2):
            if differ := unlike(one, other):
                raise DataError(f"the models {differ}: they cannot be averaged")
        super().__init__(members, weights)
        each = [member.thresholds[columns] for member, columns in zip(members, self._columns) if len(member.thresholds)]
        self.goal, self.thresholds = members[0].goal, self.weights @ np.array(each) if each else np.empty(0)

    def predict(self, inputs: Sequence[Any], options: Options = Options()) -> list[Labels]:
        said = self.probabilities(inputs)
        found = likeliest(self.labels, said, options)
        if self.goal != "several":
            return found
        return [several(one, p, self.labels, self.thresholds) for one, p in zip(found, said)]


def predictor(about: dict[str, Any], backend: Backend, assets: Assets) -> Classifier | Regressor:
    if about.get("ngrams"):
        from bmtool.tasks.text_classification.ngrams import NgramClassifier  # which builds on this file

        return NgramClassifier(about, backend, assets)
    return (Regressor if about["goal"] == "number" else Classifier)(about, backend, assets)


def combine(members: Sequence[Any], weights: Sequence[float]) -> Any:
    """Several as one, by what they give. DataError unless they give the same."""
    return (number.Ensemble if isinstance(members[0], Regressor) else Ensemble)(members, weights)
