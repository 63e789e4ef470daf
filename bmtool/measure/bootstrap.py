"""Confidence intervals in one streaming pass, in memory that does not grow with the data.

The Poisson bootstrap (Hanley & MacGibbon 2006; Chamandy et al. 2012): each resample gives each example a weight drawn from
Poisson(1) instead of drawing examples with replacement. The weights of example i depend on (seed, i) only, so two models
measured on the same examples are resampled alike, which is what a paired test needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 1000
BLOCK = 256  # examples whose weights are drawn together
LEVEL = 0.95


def weights(seed: int = 0) -> Iterator[np.ndarray]:
    """Weights [BLOCK, 1 + RESAMPLES] of one block of examples after the other; column 0 is the data itself, all ones."""
    block = 0
    while True:
        drawn = np.random.default_rng((seed, block)).poisson(1.0, (BLOCK, RESAMPLES))
        yield np.concatenate([np.ones((BLOCK, 1)), drawn], axis=1).astype(np.float32)
        block += 1


def summed(classes: np.ndarray, examples: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which classes there are among `classes` [things], and the weights [examples, columns] of the examples that have each, added up
    [those classes, columns]; `examples` [things] says which of them each thing is in."""
    used, place = np.unique(classes, return_inverse=True)
    here = np.zeros((len(used), len(weight)), np.float32)
    np.add.at(here, (place, examples), 1.0)
    return used, here @ weight


class Counts:
    """Weighted counts per class [classes, 1 + RESAMPLES], for macro averages; classes appear as they are met."""

    def __init__(self, columns: int = 1 + RESAMPLES) -> None:
        self.index: dict[str, int] = {}
        self.total = np.zeros((256, columns), np.float32)

    def add(self, classes: list[tuple[str, int]], weight: np.ndarray) -> None:
        """(class, example within the block) of each thing to count; `weight` [examples, 1 + RESAMPLES]."""
        if not classes:
            return
        rows = np.array([self.index.setdefault(name, len(self.index)) for name, _ in classes])
        while len(self.index) > len(self.total):
            self.total = np.concatenate([self.total, np.zeros_like(self.total)])
        used, sums = summed(rows, np.array([example for _, example in classes]), weight)
        self.total[used] += sums

    def rows(self, names: list[str]) -> np.ndarray:
        """Counts [names, 1 + RESAMPLES]; zero for a class never met."""
        out = np.zeros((len(names), self.total.shape[1]), np.float32)
        for row, name in enumerate(names):
            if name in self.index:
                out[row] = self.total[self.index[name]]
        return out


@dataclass(frozen=True)
class Figure:
    """A metric with its confidence interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: null where there is no number."""
        return {
            k: v if np.isfinite(v) else None for k, v in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def centred(values: np.ndarray) -> np.ndarray:
    """The finite resamples, moved so that their mean is the figure itself where their bias is worth it.

    Macro averages need it: a resample misses rare classes, which are the worst ones, so its average over the classes
    that are left is too high. A bias under a quarter of the standard error is left alone (Efron & Tibshirani 1993,
    section 10.3), which it is for ratios of sums.
    """
    resampled = values[1:][np.isfinite(values[1:])]
    if not len(resampled):
        return resampled
    bias = resampled.mean() - values[0]
    return resampled - bias if abs(bias) > 0.25 * resampled.std() else resampled


def figure(values: np.ndarray, lowest: float = -np.inf, highest: float = np.inf) -> Figure:
    """The figure in column 0 of `values` [1 + RESAMPLES] with the percentile interval of the centred resamples.

    Centring may push an end out of what the figure can be, `lowest` ... `highest`. No truth lies there, so the end is cut off without
    any loss of coverage (a range-preserving interval: Efron & Tibshirani 1993, section 13.7). The figure itself is always inside.
    """
    return _interval(float(values[0]), centred(values), lowest, highest)


def _interval(value: float, resampled: np.ndarray, lowest: float, highest: float) -> Figure:
    if not len(resampled) or not np.isfinite(value):
        return Figure(value, float("nan"), float("nan"))
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).clip(lowest, highest)
    return Figure(value, min(float(low), value), max(float(high), value))


def widened(found: Figure, examples: int) -> Figure:
    """A share that is 0 or 1 in all resamples of so many examples, with Wilson's (1927) interval.

    Where all are right, or none, no resample differs, and the bootstrap says that nothing is uncertain.
    """
    if found.value not in (0, 1) or not found.low == found.value == found.high:
        return found
    squared = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    reach = squared / (examples + squared)
    return Figure(1, 1 - reach, 1) if found.value else Figure(0, 0, reach)


@dataclass(frozen=True)
class Difference:
    """A paired comparison: model minus baseline, and the two-sided bootstrap p-value of no difference."""

    value: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        return self.p < 1 - LEVEL


def difference(model: np.ndarray, baseline: np.ndarray, lowest: float = -np.inf, highest: float = np.inf) -> Difference:
    """Compare two sets of resamples [1 + RESAMPLES] made with the same weights, of a figure that is in `lowest` ... `highest`.

    Resamples in which both have the same figure speak for no difference, however the others are moved.
    """
    delta = model - baseline
    finite = np.where(delta[1:][np.isfinite(delta[1:])] == 0, 0, centred(delta))
    shown = _interval(float(delta[0]), finite, lowest - highest, highest - lowest)
    tail = min((finite <= 0).sum(), (finite >= 0).sum()) if len(finite) else RESAMPLES
    return Difference(shown.value, shown.low, shown.high, float(min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient; NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)
