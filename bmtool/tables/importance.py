"""Which columns a model goes by: how much worse it is when one is shuffled (Breiman 2001; Fisher, Rudin and Dominici 2019)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROWS = 1_000  # of those that are measured on; more say little more
REPEATS = 5


class Importance(NamedTuple):
    """Mean and deviation [columns] over REPEATS shuffles of what a figure loses."""

    figure: str
    drop: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]

    def slices(self) -> dict[str, dict[str, np.ndarray]]:
        """column -> figures without resamples, the most important first."""
        order = np.argsort(-self.drop, kind="stable")
        return {
            self.names[n]: {f"{self.figure}_lost": self.drop[n : n + 1], "deviation": self.spread[n : n + 1]}
            for n in order
        }

    def draw(self, path: Path) -> None:
        from bmtool.tables import plots  # matplotlib, which training does without

        label = f"{self.figure} lost when the column is shuffled"
        plots.importance(self.drop, self.spread, self.names, label=label, path=path)


def permuted(figure: str, names: Sequence[str], values: np.ndarray, score: Callable[[np.ndarray], float]) -> Importance:
    """Of what `score` gives for rows float32 [N, columns], more being better; the same shuffles every time."""
    whole, lost = score(values), np.empty((REPEATS, values.shape[1]))
    for repeat in range(REPEATS):
        random = np.random.default_rng(repeat)
        for place in range(values.shape[1]):
            shuffled = values.copy()
            shuffled[:, place] = random.permutation(values[:, place])
            lost[repeat, place] = whole - score(shuffled)
    return Importance(figure, lost.mean(axis=0), lost.std(axis=0), tuple(names))


class Rows:
    """The first ROWS rows that an evaluation saw, with what is right, and how often a category was unknown."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.truth: list[Any] = []
        self.unseen: dict[str, int] = {}

    def add(self, rows: Sequence[Any], truth: Sequence[Any]) -> None:
        """`rows` are `predict.Row`."""
        for row, true in zip(rows, truth):
            for name in row.unseen:
                self.unseen[name] = self.unseen.get(name, 0) + 1
            if len(self.values) < ROWS:
                self.values.append(row.values)
                self.truth.append(true)
