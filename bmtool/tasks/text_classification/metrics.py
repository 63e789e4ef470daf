"""Measuring on texts: what all classifiers and regressors are measured by, orders of classes, and several classes at once."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from bmtool.errors import DataError
from bmtool.measure.ordinal import OrdinalMeter
from bmtool.measure.report import Measured
from bmtool.measure.several import SeveralMeter
from bmtool.predict import labels, number
from bmtool.predict.examples import Example
from bmtool.tasks.text_classification.predict import unlike

Numbers = number.Evaluation


class One(labels.Evaluation):
    """One class; of an order how far off it is counts too."""

    def __init__(self, predictor: Any, columns: int):
        super().__init__(predictor, columns)
        if predictor.goal == "ordinal":
            self.meter = OrdinalMeter(predictor.labels, columns)
        self.names = self.meter.names

    def unlike(self, other: Any) -> dict[str, str]:
        """DataError when the other model is asked for something else, or has another order of classes."""
        _require_alike(self.predictor, other.predictor)
        return super().unlike(other)


def _require_alike(one: Any, other: Any) -> None:
    if differ := unlike(one, other):
        raise DataError(f"the models {differ}: they cannot be compared")


class Several:
    """Any number of classes: the truth of an example is the list of their names."""

    of_groups: ClassVar = "micro_f1"

    def __init__(self, predictor: Any, columns: int):
        self.predictor = predictor
        self.meter = SeveralMeter(predictor.labels, columns, thresholds=predictor.thresholds)
        self.names = self.meter.names
        self._number = {label: number for number, label in enumerate(predictor.labels)}

    def read(self, example: Example) -> Any:
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        return "" if set(example.truth) <= self._number.keys() else "a class that the model does not know"

    def unlike(self, other: Any) -> dict[str, str]:
        """DataError when the other knows other classes, over which means are taken."""
        _require_alike(self.predictor, other.predictor)
        if set(self.predictor.labels) != set(other.predictor.labels):
            raise DataError("the models know other classes: they cannot be compared")
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict[str, Any]]:
        said = self.predictor.probabilities([example.read for example in examples])
        truth = np.zeros(said.shape)
        for row, example in enumerate(examples):
            truth[row, [self._number[name] for name in example.truth]] = 1
        self.meter.add(said, truth, weight)
        for example, p, given in zip(examples, said, self.meter.given(said)):
            named = [self.predictor.labels[c] for c in np.flatnonzero(given)]
            yield {
                "input": example.name, "reference": example.truth, "prediction": named,
                "probabilities": {label: round(float(p[c]), 6) for label, c in self._number.items()},
            }  # fmt: skip

    def measured(self) -> Measured:
        return self.meter.measured()

    def warnings(self, measured: Measured) -> Iterator[str]:
        if measured.figures["micro_f1"].low <= 0:
            yield "no better than chance: no class is told apart (micro_f1 is not above 0)"


class Evaluation:
    """That of what a model gives."""

    names: ClassVar = tuple(dict.fromkeys((*OrdinalMeter.names, *SeveralMeter.names)))

    def __new__(cls, predictor: Any, columns: int) -> Any:
        return (Several if predictor.goal == "several" else One)(predictor, columns)
