"""Measuring what gives one number: regression."""

from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import ClassVar

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured

DRAWN = 2_000  # points of the picture


class NumberMeter:
    """`said` and `truth` are numbers [B]. `r2` is 1 - squared error / variance: 0 is what the mean would reach."""

    names: ClassVar = ("r2", "mae", "rmse")

    def __init__(self, columns: int = 1):
        self.columns, self._totals = columns, Totals(5, columns)  # examples, |error|, error^2, truth, truth^2
        self._drawn: list[np.ndarray] = []
        self.examples = 0

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        error = said.astype(np.float64) - truth
        self._totals.add(np.stack([np.ones(len(said)), np.abs(error), error**2, truth, truth**2], axis=1), weight)
        if self.examples < DRAWN:
            self._drawn.append(np.stack([truth, said], axis=1)[: DRAWN - self.examples])
        self.examples += len(said)

    def state(self) -> list[np.ndarray]:
        return [self._totals.total, np.array([self.examples])]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        totals, examples = zip(*states)
        self._totals.total, self.examples = reduce(np.add, totals), sum(int(held[0]) for held in examples)

    def figures(self) -> dict[str, np.ndarray]:
        count, absolute, squared, total, squares = self._totals.total.T
        spread = squares - ratio(total, count) * total
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


def _draw(points: np.ndarray, path: Path) -> None:
    from bmtool.measure import plots  # matplotlib, which training does without

    plots.scatter(points[:, 0], points[:, 1], path)
