"""Meters: what is added up while a model is measured, and the figures that follow. Validation and evaluation share them.

Validation feeds a meter of one column with what the network says, evaluation one of 1 + RESAMPLES columns with what the predictor says.
So a figure has one name and one implementation, and any of them can decide which checkpoint is best.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import numpy as np

# Figures of which less is better; of all others more is.
LOWER = frozenset(
    {
        "loss",
        "perplexity",
        "cer",
        "ece",
        "mse",
        "mae",
        "rmse",
        "frechet",
        "kernel_distance",
        "token_loss",
        "cost",
        "cost_at_half",
    }
)


class Meter(Protocol):
    names: ClassVar[tuple[str, ...]]  # of all figures, in the order they are shown

    def add(self, said: Any, truth: Any, weight: np.ndarray) -> None:
        """Count what was said of some examples; `weight` [examples, columns] is 1 in column 0."""
        ...

    def state(self) -> list[np.ndarray]:
        """What was counted, for `join`."""
        ...

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        """Take the place of what several meters have counted together."""
        ...

    def figures(self) -> dict[str, np.ndarray]:
        """name -> [columns]; NaN where nothing was counted."""
        ...


class Totals:
    """Sums [columns, width] of weighted rows of numbers: what a meter of ratios is made of."""

    def __init__(self, width: int, columns: int = 1):
        self.total = np.zeros((columns, width))

    def add(self, rows: np.ndarray, weight: np.ndarray) -> None:
        """`rows` [examples, width], `weight` [examples, columns]."""
        self.total += weight.T.astype(np.float64) @ rows

    def state(self) -> list[np.ndarray]:
        return [self.total]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        self.total = sum((state[0] for state in states), np.zeros_like(self.total))


def is_lower_better(name: str) -> bool:
    return name in LOWER


def better(name: str, value: float, than: float | None) -> bool:
    """Whether a figure has improved; a number is better than none and than NaN."""
    if than is None or np.isnan(than):
        return not np.isnan(value)
    return value < than if is_lower_better(name) else value > than
