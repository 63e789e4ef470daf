"""Predictors that give classes, several of them as one, and how they are measured. numpy only."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from bmtool.config.options import Top
from bmtool.errors import DataError
from bmtool.measure.decision import Decision
from bmtool.measure.labels import LabelMeter, positive_number
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.predict.values import Labels


class Classifier(Protocol):
    labels: list[str]

    def read(self, raw: Any) -> Any:
        """One input as the model takes it; BadInput when it cannot be used."""
        ...

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        """[N, labels] of inputs that were read, independent of what else is among them."""
        ...


def likeliest(
    labels: Sequence[str], probabilities: np.ndarray, options: Top, decision: Decision | None = None
) -> list[Labels]:
    """The `top` likeliest classes of each row; with a `decision` on two classes, the one that it gives before the other."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    if decision is not None:
        given = decision.given(probabilities)
        order = np.stack([given, 1 - given], axis=1)
    order = order[:, : options.top]
    return [Labels(tuple((labels[c], float(p[c])) for c in best)) for best, p in zip(order, probabilities)]


def apart(predictors: Sequence[Any]) -> str:
    """How predictors differ that are of different columns of tables; "" when they answer the same question."""
    targets = sorted({str(getattr(one, "target", None) or "") for one in predictors})
    return f"are of different columns ({', '.join(targets)})" if len(targets) > 1 else ""


def positive_class(predictor: Classifier) -> str | None:
    """The name of the class that average precision is of; None where it is of all."""
    number = positive_number(predictor.labels, getattr(predictor, "positive", None))
    return None if number is None else predictor.labels[number]


class Ensemble:
    """The weighted mean of the probabilities of several classifiers that tell the same classes apart; each reads inputs in its own way."""

    def __init__(self, members: Sequence[Classifier], weights: Sequence[float]):
        """DataError unless all say the same: of one target, the same classes in whatever order, the likeliest of them."""
        first = members[0]
        if differ := apart(members):
            raise DataError(f"the models {differ}: they cannot be averaged")
        if any(getattr(member, "decision", None) is not None for member in members):
            raise DataError("models that decide by costs cannot be averaged: each has a threshold of its own")
        for member in members[1:]:
            if different := set(first.labels) ^ set(member.labels):
                raise DataError(
                    f"the models differ in their classes ({', '.join(sorted(different)[:5])}): they cannot be averaged"
                )
        self.members, self.labels, self.weights = list(members), list(first.labels), np.array(weights) / sum(weights)
        self._columns = [[member.labels.index(label) for label in self.labels] for member in members]
        positive = {str(positive_class(member)) for member in members}
        if len(positive) > 1:
            raise DataError(
                f"the models differ in what is positive ({', '.join(sorted(positive))}): they cannot be averaged"
            )
        self.target, self.positive = getattr(first, "target", None), getattr(first, "positive", None)

    def read(self, raw: Any) -> Any:
        return [member.read(raw) for member in self.members]

    def probabilities(self, inputs: Sequence[Any]) -> np.ndarray:
        parts = zip(self.members, zip(*inputs), self._columns)
        each = [member.probabilities(read)[:, columns] for member, read, columns in parts]
        return np.tensordot(self.weights, each, axes=1)

    def predict(self, inputs: Sequence[Any], options: Top = Top()) -> list[Labels]:
        return likeliest(self.labels, self.probabilities(inputs), options)


combine = Ensemble


class Evaluation:
    """Feeds a meter with what a classifier says of examples whose truth is the name of a class."""

    names: tuple[str, ...] = LabelMeter.names

    def __init__(self, predictor: Classifier, columns: int):
        self.predictor = predictor
        self.decision = getattr(predictor, "decision", None)
        self.meter = LabelMeter(
            predictor.labels, columns, positive=getattr(predictor, "positive", None), decision=self.decision
        )
        self._number = {label: number for number, label in enumerate(predictor.labels)}

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        """Why an example cannot be measured; "" when it can."""
        return "" if example.truth in self._number else "a class that the model does not know"

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """Figures that cannot be compared with another model's, and why. DataError when the two are of different columns."""
        if differ := apart([self.predictor, other.predictor]):
            raise DataError(f"the models {differ}: they cannot be compared")
        mine, theirs = positive_class(self.predictor), positive_class(other.predictor)
        return {} if mine == theirs else {"average_precision": f"it is of {mine!r} here, of {theirs!r} there"}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        """Count some examples, and give a record of each."""
        said = self.predictor.probabilities([example.read for example in examples])
        truth = np.array([self._number[example.truth] for example in examples])
        self.count(said, truth, weight)
        chosen = said.argmax(axis=1) if self.decision is None else self.decision.given(said)
        for example, p, true, given in zip(examples, said, truth, chosen.tolist()):
            self.note(example, given == true, float(p[given]), self.predictor.labels[given])
            yield {
                "input": example.name, "reference": example.truth, "prediction": self.predictor.labels[given],
                "probability": round(float(p[given]), 6), "probability_of_reference": round(float(p[true]), 6),
            }  # fmt: skip

    def count(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        """Add up probabilities [B, classes] and the numbers of the classes that are right; a kit that measures more extends it."""
        self.meter.add(said, truth, weight)

    def note(self, example: Example, right: bool, probability: float, given: str) -> None:
        """Hears of every answer; a kit that can show mistakes keeps them."""

    def measured(self) -> Measured:
        return self.meter.measured()

    def warnings(self, measured: Measured) -> Iterator[str]:
        """What a reader of the figures should know; a decision by costs gives up accuracy on purpose, so its costs are judged instead."""
        if self.decision is not None:
            return
        commonest, share = self.meter.chance()
        low = measured.figures["accuracy"].low
        if len(self.predictor.labels) > 1 and low <= share:
            yield f"no better than chance: always saying {commonest!r} would be right {share:.4f} of the time"
