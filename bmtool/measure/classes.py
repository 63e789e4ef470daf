"""Precision, recall and F1 of each class and over all classes, with resamples."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bmtool.base.units import few
from bmtool.measure.bootstrap import RESAMPLES, Counts, ratio

# True class, class given, example within the block; None where one side has nothing.
Pair = tuple[str | None, str | None, int]
NAMED = 5  # classes that a remark names


def each(true: np.ndarray, given: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """metric -> [classes, columns], of how often [classes, columns] each class was true, given, and given rightly; x / 0 counts as 0."""
    parts = {"recall": (right, true), "precision": (right, given), "f1": (2 * right, true + given)}
    return {name: np.nan_to_num(ratio(above, below)) for name, (above, below) in parts.items()}


def macro(true: np.ndarray, given: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """Means [columns] over the classes that are true or given somewhere (in that resample), as scikit-learn has them by default."""
    met = (true > 0) | (given > 0)
    return {
        f"macro_{name}": ratio((v * met).sum(0), met.sum(0)) for name, v in sorted(each(true, given, right).items())
    }


def remarks(names: Sequence[str], true: np.ndarray, given: np.ndarray) -> Iterator[str]:
    """Which classes macro averages leave out or count as 0; `true` and `given` are counts [classes]."""
    kinds = {
        "left out of macro averages, neither true nor said anywhere": (true == 0) & (given == 0),
        "counted as 0 in macro averages, said though no example is of them": (true == 0) & (given > 0),
        "counted as 0 in macro averages, never said": (true > 0) & (given == 0),
    }
    for what, chosen in kinds.items():
        if chosen.any():
            yield f"{what}: {named([names[n] for n in np.flatnonzero(chosen).tolist()], len(names))}"


def named(chosen: Sequence[str], count: int) -> str:
    """So many classes of `count`, with the names of a few."""
    return f"{len(chosen):,} of {count:,} classes ({few(list(chosen), NAMED)})"


class Classes:
    """How often each class was true, was given, and was given rightly."""

    def __init__(self, columns: int = 1 + RESAMPLES) -> None:
        self._true, self._given, self._right = Counts(columns), Counts(columns), Counts(columns)

    def add(self, pairs: Iterable[Pair], weight: np.ndarray) -> None:
        """`weight` [examples, 1 + RESAMPLES] of the block's examples."""
        held = list(pairs)
        self._true.add([(true, example) for true, _, example in held if true is not None], weight)
        self._given.add([(given, example) for _, given, example in held if given is not None], weight)
        self._right.add(
            [(true, example) for true, given, example in held if true is not None and true == given], weight
        )

    @property
    def names(self) -> list[str]:
        """Of all classes that were met."""
        return list(self._true.index | self._given.index)

    def macro(self) -> dict[str, np.ndarray]:
        return macro(*(counts.rows(self.names) for counts in (self._true, self._given, self._right)))

    def remarks(self) -> Iterator[str]:
        return remarks(self.names, *(counts.rows(self.names)[:, 0] for counts in (self._true, self._given)))
