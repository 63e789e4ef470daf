"""Which columns a model goes by: how much worse it is when one is shuffled (Breiman 2001; Fisher, Rudin and Dominici 2019)."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bmtool.measure.report import Measured
from bmtool.tables.predict import Row

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


def permuted(
    figure: str, names: Sequence[str], values: np.ndarray, *, owner: np.ndarray, score: Callable[[np.ndarray], float]
) -> Importance:
    """Of what `score` gives for rows float32 [N, width], more being better; the same shuffles every time. `owner` int [width] says of which
    column each number is."""
    whole, lost = score(values), np.empty((REPEATS, len(names)))
    for repeat in range(REPEATS):
        random = np.random.default_rng(repeat)
        for place in range(len(names)):
            shuffled, order = values.copy(), random.permutation(len(values))
            shuffled[:, owner == place] = values[order][:, owner == place]
            lost[repeat, place] = whole - score(shuffled)
    return Importance(figure, lost.mean(axis=0), lost.std(axis=0), tuple(names))


class ByColumns:
    """What an evaluation of rows has besides, mixed in before it: which columns matter, and how often a category was unknown."""

    # of which the loss is shown when a column is shuffled; more of it is better
    figure: ClassVar[str]

    def __init__(self, predictor: Any, columns: int):
        super().__init__(predictor, columns)  # type: ignore[call-arg]
        self._values, self._truth, self._unseen = list[np.ndarray](), list[Any](), Counter[str]()

    def score(self, values: np.ndarray, truth: Sequence[Any]) -> float:
        """The figure for rows float32 [N, width] with what is right; NaN where there is none."""
        raise NotImplementedError

    def add(self, examples: Sequence[Any], weight: np.ndarray) -> Iterator[dict]:
        for example in (example for example in examples if isinstance(example.read, Row)):  # not of several models
            self._unseen.update(example.read.unseen)
            if len(self._values) < ROWS:
                self._values.append(example.read.values)
                self._truth.append(example.truth)
        yield from super().add(examples, weight)  # type: ignore[misc]

    def measured(self) -> Measured:
        found = super().measured()  # type: ignore[misc]
        if self._values and np.isfinite(self.score(values := np.stack(self._values), self._truth)):
            schema = self.predictor.schema  # type: ignore[attr-defined]
            names, truth = [column.name for column in schema.columns], self._truth
            shown = permuted(
                self.figure, names, values, owner=schema.owner(), score=lambda rows: self.score(rows, truth)
            )
            found.slices["column"] = shown.slices()
            found.notes |= {"shuffles of each column": REPEATS, "rows that were shuffled": len(values)}
            found.pictures["importance"] = shown.draw
        return found

    def warnings(self, measured: Measured) -> Iterator[str]:
        yield from super().warnings(measured)  # type: ignore[misc]
        for name, count in self._unseen.most_common():
            yield f"column {name!r}: {count:,} x a category that no training row has, taken as missing"
