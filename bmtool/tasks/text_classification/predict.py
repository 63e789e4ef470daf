"""From texts to classes or to a number. Numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from typing_extensions import NotRequired

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


class _Reader(Explains):
    """Scores of texts: of a long one the mean over its windows, each as much as it has tokens."""

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        super().__init__(about, backend, assets)
        self.goal = about["goal"]
        several, pair = self.goal == "several", len(self.columns) > 1
        section = {"source": "-", "prepared": "-", "pair": pair, "separator": about["separator"]}
        data = Data.model_validate(section | {"classes": "several" if several else "one"})
        self.kind = kind_of(data, numeric=self.goal == "number")

    def mean(self, reads: Sequence[Read], say: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """What `say` makes of scores [1, S], float64 [N, ...], the mean over the windows of each text."""
        windows = self.windows(reads)
        total, weight = None, np.zeros(len(reads))
        for number, row, said in self.run(reads, windows):
            found = say(said["scores"][None])[0]
            total = np.zeros((len(reads), *np.shape(found))) if total is None else total
            example = windows.example[number]
            total[example] += row.length * found
            weight[example] += row.length
        return np.zeros((0, 1)) if total is None else total / weight.reshape(-1, *[1] * (total.ndim - 1))


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
        return found if self.goal != "several" else [self._several(one, p) for one, p in zip(found, said)]

    def _several(self, found: Labels, p: np.ndarray) -> Several:
        chosen = np.flatnonzero(p >= self.thresholds)
        given = [self.labels[c] for c in sorted(chosen.tolist(), key=lambda c: -p[c])]
        shown = dict(found.classes) | {self.labels[c]: float(p[c]) for c in chosen.tolist()}
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


def predictor(about: dict[str, Any], backend: Backend, assets: Assets) -> Classifier | Regressor:
    if about.get("ngrams"):
        from bmtool.tasks.text_classification.ngrams import NgramClassifier  # which builds on this file

        return NgramClassifier(about, backend, assets)
    return (Regressor if about["goal"] == "number" else Classifier)(about, backend, assets)
