"""Precision, recall and F1 of each class and over all classes, with resamples."""

from collections.abc import Iterable

import numpy as np

from bmtool.measure.bootstrap import RESAMPLES, Counts, ratio

# True class, class given, example within the block; None where one side has nothing.
Pair = tuple[str | None, str | None, int]


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

    def each(self, names: list[str]) -> dict[str, np.ndarray]:
        """metric -> [names, 1 + RESAMPLES]; the precision of a class that was never given counts as 0."""
        true, given, right = (counts.rows(names) for counts in (self._true, self._given, self._right))
        precision = np.where(given > 0, right / np.maximum(given, 1), 0.0)
        recall = right / np.maximum(true, 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return {"precision": precision, "recall": recall, "f1": f1, "true": true}

    def macro(self) -> dict[str, np.ndarray]:
        """Means over the classes that are true somewhere (in that resample)."""
        found = self.each(list(self._true.index))
        present = found["true"] > 0
        return {
            f"macro_{name}": ratio((found[name] * present).sum(0), present.sum(0))
            for name in ("precision", "recall", "f1")
        }
