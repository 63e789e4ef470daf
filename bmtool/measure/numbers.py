"""Measuring what gives one number: regression."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured

DRAWN = 2_000  # points of the picture


class NumberMeter:
    """`said` and `truth` are numbers [B]. `r2` is 1 - squared error / variance: 0 is what the mean would reach, NaN where no truth differs.

    Truths are added up less the first of them, so that a variance that is small beside them is not lost in rounding (Chan et al. 1983).
    """

    names: ClassVar = ("r2", "mae", "rmse")

    def __init__(self, columns: int = 1):
        # examples, |error|, error^2, truth, truth^2; truths less the first
        self.columns, self._totals, self._first = columns, Totals(5, columns), float("nan")
        self._drawn: list[np.ndarray] = []
        self.examples = 0

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        if not self.examples and len(truth):
            self._first = float(truth[0])
        error, moved = said.astype(np.float64) - truth, truth.astype(np.float64) - self._first
        self._totals.add(np.stack([np.ones(len(said)), np.abs(error), error**2, moved, moved**2], axis=1), weight)
        if self.examples < DRAWN:
            self._drawn.append(np.stack([truth, said], axis=1)[: DRAWN - self.examples])
        self.examples += len(said)

    def state(self) -> list[np.ndarray]:
        return [self._totals.total, np.array([self.examples]), np.array([self._first])]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        held = [(total, int(examples[0]), float(first[0])) for total, examples, first in states if examples[0]]
        self.examples, self._first = sum(examples for _, examples, _ in held), held[0][2] if held else float("nan")
        self._totals.join([_moved(total, first - self._first)] for total, _, first in held)

    def figures(self) -> dict[str, np.ndarray]:
        count, absolute, squared, total, squares = self._totals.total.T
        spread = squares - ratio(total, count) * total
        spread = np.where(spread > count * np.finfo(np.float64).eps * squares, spread, 0)  # else it is rounding
        return {
            "r2": 1 - ratio(squared, spread),
            "mae": ratio(absolute, count),
            "rmse": np.sqrt(ratio(squared, count)),
        }

    def measured(self) -> Measured:
        points = np.concatenate(self._drawn)
        return Measured(
            examples=self.examples,
            resamples=self.figures(),
            pictures={"predicted": lambda path: _draw(points, path)},
        )


def _moved(total: np.ndarray, by: float) -> np.ndarray:
    """Totals [columns, 5] of truths that are all larger by so much."""
    count, absolute, squared, moved, squares = total.T
    return np.stack([count, absolute, squared, moved + by * count, squares + by * (2 * moved + by * count)], axis=1)


def _draw(points: np.ndarray, path: Path) -> None:
    from bmtool.measure import plots  # matplotlib, which training does without

    plots.scatter(points[:, 0], points[:, 1], path)
