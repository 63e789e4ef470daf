"""Meters: what is added up while a model is measured, and the figures that follow. Validation and evaluation share them.

Validation feeds a meter of one column with what the network says, evaluation one of 1 + RESAMPLES columns with what the predictor says.
So a figure has one name and one implementation, and any of them can decide which checkpoint is best.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np


class Scale(NamedTuple):
    """What a figure can be, and whether less of it is better."""

    lowest: float = -np.inf
    highest: float = np.inf
    less_is_better: bool = False


SHARE, ANY = Scale(0, 1), Scale()
_ERROR = Scale(lowest=0, less_is_better=True)
SCALES = {
    **dict.fromkeys(("accuracy", "top5_accuracy", "character_accuracy", "sentence_accuracy"), SHARE),
    **dict.fromkeys(("network_accuracy", "token_accuracy"), SHARE),
    **dict.fromkeys(("precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1"), SHARE),
    **dict.fromkeys(("place_f1", "partial_f1"), SHARE),
    **dict.fromkeys(("micro_precision", "micro_recall", "micro_f1"), SHARE),
    **dict.fromkeys(("ndcg@10", "ndcg@20", "recall@10", "precision@10", "f1@10", "hr@10", "map", "coverage@10"), SHARE),
    "diversity@10": SHARE,
    "serendipity@10": SHARE,
    "novelty@10": Scale(lowest=0),
    "gini@10": Scale(0, 1, less_is_better=True),
    "popularity_bias@10": Scale(lowest=-1, less_is_better=True),
    "quadratic_kappa": Scale(highest=1),
    "hamming_loss": Scale(0, 1, less_is_better=True),
    **dict.fromkeys(("exact_match", "no_answer_accuracy", "recall@1", "recall@5", "recall@20"), SHARE),
    **dict.fromkeys(("auc", "gauc", "average_precision", "p@1", "p@5", "p@10", "mrr", "share_of_hanzi"), SHARE),
    **dict.fromkeys(
        (
            "loss",
            "token_loss",
            "cer",
            "bits_per_character",
            "mse",
            "mae",
            "rmse",
            "frechet",
            "cost",
            "cost_at_half",
            "calibration_error",
        ),
        _ERROR,
    ),
    "ece": Scale(0, 1, less_is_better=True),
    "perplexity": Scale(lowest=1, less_is_better=True),
    "kernel_distance": Scale(less_is_better=True),  # an unbiased estimate, below 0 where two sets are alike
    "r2": Scale(highest=1),
    "diversity": Scale(lowest=0),
    "psnr": ANY,
    "gap": _ERROR,  # of another figure, between groups of examples
}


# Figure -> settings under which it means something else, beside the examples and the classes.
SETTINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cost", "cost_at_half"), ("decide.cost_false_positive", "decide.cost_false_negative")),
    **dict.fromkeys(("frechet", "kernel_distance"), ("features",)),
    "average_precision": ("data.positive",),
    "calibration_error": ("data.positive",),
    "gauc": ("data.columns.user",),
}


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


class SumMeter:
    """What meters share whose figures follow from sums: what is said are rows of numbers, unless `add` makes such rows of it."""

    def __init__(self, width: int, columns: int = 1):
        self._totals = Totals(width, columns)

    def add(self, said: Any, truth: Any, weight: np.ndarray) -> None:
        self._totals.add(said, weight)

    def state(self) -> list[np.ndarray]:
        return self._totals.state()

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        self._totals.join(states)


def is_lower_better(name: str) -> bool:
    return scale(name).less_is_better


def scale(name: str) -> Scale:
    """Of a figure; one that has none here can be anything, and more of it is better."""
    return SCALES.get(name, ANY)


def better(name: str, value: float, than: float | None) -> bool:
    """Whether a figure has improved; a number is better than none and than NaN."""
    if than is None or np.isnan(than):
        return not np.isnan(value)
    return value < than if is_lower_better(name) else value > than
