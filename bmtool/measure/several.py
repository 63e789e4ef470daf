"""Measuring what gives any number of classes to an example. Shapes: B examples, C classes."""

from collections.abc import Iterable

import numpy as np

from bmtool.measure import classes, ranking
from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured

KEPT = 20_000_000  # probabilities that stay in memory; of more there is no average precision


class SeveralMeter:
    """`said` are probabilities [B, C] of which those from `thresholds` on are given, `truth` 0 or 1 [B, C].

    `accuracy` is the share of examples whose classes are all right; `micro_f1` is over all examples and classes together; `macro_*` are
    means over the classes that are true or given somewhere.
    """

    names: tuple[str, ...] = (
        "accuracy", "micro_precision", "micro_recall", "micro_f1", "macro_precision", "macro_recall", "macro_f1", "average_precision",
        "hamming_loss", "loss",
    )  # fmt: skip

    def __init__(self, labels: list[str], columns: int = 1, *, thresholds: Iterable[float] | None = None):
        self.labels, self.columns = labels, columns
        self.thresholds = np.full(len(labels), 0.5) if thresholds is None else np.array(list(thresholds))
        self._totals = Totals(4, columns)  # examples, all right, cells that are wrong, nats
        self._counts = np.zeros((3, len(labels), columns))  # true, given, given rightly
        self._truth: list[np.ndarray] = []
        self._said: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []  # as `ranking.counted` has them

    def given(self, said: np.ndarray) -> np.ndarray:
        """Which classes are said, bool [B, C]."""
        return said >= self.thresholds

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        true, given = truth > 0.5, self.given(said)
        self._truth.append(true)
        self._said.append(said.astype(np.float32))
        self._parts.append(ranking.counted(weight))
        wrong = true != given
        nats = -np.log(np.maximum(np.where(true, said, 1 - said), 1e-12)).mean(axis=1)
        self._totals.add(np.stack([np.ones(len(said)), ~wrong.any(axis=1), wrong.mean(axis=1), nats], axis=1), weight)
        for number, cells in enumerate((true, given, true & given)):
            self._counts[number] += cells.T.astype(np.float64) @ weight

    def state(self) -> list[np.ndarray]:
        return [self._totals.total, self._counts, *self._joined()]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        totals, counts, truth, said = zip(*states)
        self._totals.total, self._counts = np.sum(totals, axis=0), np.sum(counts, axis=0)
        self._truth, self._said = list(truth), list(said)

    def _joined(self) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.empty((0, len(self.labels)))
        if not self._said:
            return nothing.astype(bool), nothing.astype(np.float32)
        return np.concatenate(self._truth), np.concatenate(self._said)

    @property
    def examples(self) -> int:
        return sum(map(len, self._truth))

    def _average_precision(self) -> np.ndarray:
        """The mean over the classes that are true somewhere and not everywhere."""
        truth, said = self._joined()
        if truth.size > KEPT:
            return np.full(self.columns, np.nan)
        parts = np.concatenate(self._parts) if self.columns > 1 and self._parts else None
        found = [
            ranking.areas(truth[:, c].astype(np.int64), _both(said[:, c]), columns=self.columns, parts=parts)
            for c in range(truth.shape[1])
        ]
        return ranking.mean(
            [areas.average_precision[1] for areas in found if 1 in areas.average_precision], self.columns
        )

    def figures(self) -> dict[str, np.ndarray]:
        if not all(np.isfinite(said).all() for said in self._said):
            return {name: np.full(self.columns, np.nan) for name in self.names}
        count, whole, wrong, nats = self._totals.total.T
        true, given, right = self._counts
        micro = classes.each(*(cells.sum(axis=0, keepdims=True) for cells in (true, given, right)))
        found = {"accuracy": ratio(whole, count), "hamming_loss": ratio(wrong, count), "loss": ratio(nats, count)}
        found |= {f"micro_{name}": values[0] for name, values in micro.items()} | classes.macro(true, given, right)
        found["average_precision"] = self._average_precision()
        return {name: found[name] for name in self.names}

    def measured(self) -> Measured:
        """Figures, and every class by itself."""
        figures = self.figures()
        if np.isnan(figures["loss"]).all():
            return Measured.broken(self.examples, self.names, self.columns)
        each, met = classes.each(*self._counts), np.flatnonzero(self._counts[:2, :, 0].any(axis=0))
        slices = {"class": {self.labels[n]: {name: v[n] for name, v in each.items()} for n in met}}
        return Measured(
            self.examples, figures, slices, remarks=list(classes.remarks(self.labels, *self._counts[:2, :, 0]))
        )


def _both(said: np.ndarray) -> np.ndarray:
    return np.stack([1 - said, said], axis=1)
