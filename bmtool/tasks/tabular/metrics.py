"""Measuring on rows: what all classifiers and regressors are measured by, which columns matter, and what deciding costs."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from bmtool.measure.decision import CostMeter
from bmtool.measure.labels import LabelMeter
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.report import Measured
from bmtool.predict import labels, number
from bmtool.tables.importance import ByColumns


class Classes(ByColumns, labels.Evaluation):
    figure: ClassVar = "auc"
    names: ClassVar = (*LabelMeter.names, *CostMeter.names)

    def __init__(self, predictor: Any, columns: int):
        super().__init__(predictor, columns)
        self.costs = None if self.decision is None else CostMeter(self.decision, columns)

    def unlike(self, other: labels.Evaluation) -> dict[str, str]:
        """Costs are compared where both models count them alike."""
        found, theirs = super().unlike(other), other.decision
        if self.decision is not None and theirs is not None and self._cost(self) != self._cost(other):
            found |= dict.fromkeys(CostMeter.names, "the two count mistakes otherwise (decide)")
        return found

    @staticmethod
    def _cost(evaluation: labels.Evaluation) -> tuple:
        """The positive class by name, and what mistakes cost."""
        held = evaluation.decision
        return evaluation.predictor.labels[held.positive], held.false_positive, held.false_negative

    def count(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        super().count(said, truth, weight)
        if self.costs is not None:
            self.costs.add(said, truth, weight)

    def score(self, values: np.ndarray, truth: Sequence[str]) -> float:
        meter = LabelMeter(self.predictor.labels)
        numbers = np.array([self._number[true] for true in truth])
        meter.add(np.exp(self.predictor.run(values)), numbers, np.ones((len(values), 1)))
        return float(meter.figures()["auc"][0])

    def measured(self) -> Measured:
        found = super().measured()
        if self.costs is not None:
            found.resamples |= self.costs.figures()
            found.notes["threshold"] = self.costs.decision.threshold
        return found

    def warnings(self, measured: Measured) -> Iterator[str]:
        yield from super().warnings(measured)
        if self.costs is not None:
            given, cost = self.costs.chance()
            if measured.figures["cost"].high >= cost:
                always = f"always saying {self.predictor.labels[given]!r} would cost {cost:.4f} of an example"
                yield f"no better than chance: {always}, and the interval of this cost reaches that"


class Numbers(ByColumns, number.Evaluation):
    figure: ClassVar = "r2"

    def score(self, values: np.ndarray, truth: Sequence[float]) -> float:
        meter = NumberMeter()
        meter.add(self.predictor.run(values), np.array(truth), np.ones((len(values), 1)))
        return float(meter.figures()["r2"][0])
