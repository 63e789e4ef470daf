"""Measuring what a search finds: how often what was looked for is among the first."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter

DEPTHS = (1, 5, 20)


def ranks(found: Sequence[Sequence[int]], wanted: Sequence[int]) -> np.ndarray:
    """From 1 the place of what each search was for among what it found; 0 where it is not there. int64 [searches]."""
    return np.array([list(row).index(one) + 1 if one in row else 0 for row, one in zip(found, wanted)], np.int64)


class FoundMeter(SumMeter):
    """`said` are `ranks` of searches. `recall@5` is the share of searches of which it is among the first 5; `mrr` the mean of 1 / rank."""

    names: ClassVar = (*(f"recall@{depth}" for depth in DEPTHS), "mrr")

    def __init__(self, columns: int = 1):
        super().__init__(2 + len(DEPTHS), columns)

    def add(self, said: np.ndarray, truth: None, weight: np.ndarray) -> None:
        found = said > 0
        among = [found & (said <= depth) for depth in DEPTHS]
        super().add(np.stack([np.ones(len(said)), *among, found / np.maximum(said, 1)], axis=1), truth, weight)

    def figures(self) -> dict[str, np.ndarray]:
        searches, *sums = self._totals.total.T
        return {name: ratio(total, searches) for name, total in zip(self.names, sums)}
