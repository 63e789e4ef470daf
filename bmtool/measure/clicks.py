"""Measuring how likely something is to be taken: two classes, and whose examples they are. One pass, as `labels.LabelMeter`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bmtool.measure import calibration, ranking
from bmtool.measure.bootstrap import ratio
from bmtool.measure.grouped import mean_area
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured


class ClickMeter(LabelMeter):
    """`said` are probabilities [B, 2], `truth` int64 [B, 2]: the number of the class that is right, and whose example it is (-1: nobody's).

    `gauc` is the mean over people of the area of each (`grouped`); `calibration_error` is how far the mean probability is from the share
    that was taken, as a share of it. Without `grouped` there is no `gauc`.
    """

    names: tuple[str, ...] = ("auc", "gauc", "average_precision", "loss", "ece", "calibration_error", "accuracy")

    def __init__(self, labels: list[str], columns: int = 1, *, positive: int | None = None, grouped: bool = True):
        super().__init__(labels, columns, positive=positive)
        self.names = tuple(name for name in self.names if name != "gauc" or grouped)
        self._rates = Totals(2, columns)  # probability of the positive class, and whether it is right
        self._bins = Totals(calibration.WIDTH)
        self._whose: list[np.ndarray] = []

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        super().add(said, truth[:, 0], weight)
        taken = truth[:, 0] == self.positive
        self._rates.add(np.stack([said[:, self.positive], taken], axis=1), weight)
        self._bins.add(calibration.rows(said[:, self.positive], taken), np.ones((len(said), 1)))
        self._whose.append(truth[:, 1])

    def state(self) -> list[np.ndarray]:
        return [*super().state(), self._rates.total, self._bins.total, self.whose()]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        held = list(states)
        super().join(state[:-3] for state in held)
        self._rates.join([state[-3]] for state in held)
        self._bins.join([state[-2]] for state in held)
        self._whose = [state[-1] for state in held]

    def whose(self) -> np.ndarray:
        """int64 [N], of all examples in their order."""
        return np.concatenate(self._whose) if self._whose else np.empty(0, np.int64)

    def found(self, areas: ranking.Areas) -> dict[str, np.ndarray]:
        said, taken = self._rates.total.T
        off = np.abs(ratio(said, taken) - 1)
        return super().found(areas) | {"calibration_error": off} | self._grouped()

    def _grouped(self) -> dict[str, np.ndarray]:
        if "gauc" not in self.names:
            return {}
        truth, said = self.answers()
        parts = np.concatenate(self._parts) if self.columns > 1 and self._parts else None
        scores = said[:, self.positive]
        return {"gauc": mean_area(truth == self.positive, scores, self.whose(), columns=self.columns, parts=parts)}

    def measured(self) -> Measured:
        found = super().measured()
        if not self._is_broken():
            said, taken = self._rates.total[0] / max(1, self.examples)
            found.notes |= {"share that was taken": round(float(taken), 6), "mean probability": round(float(said), 6)}
            found.pictures["calibration"] = self._draw
        return found

    def _draw(self, path: Path) -> None:
        from bmtool.measure import plots  # matplotlib, which training does without

        plots.calibration(calibration.points(self._bins.total[0]), path)
