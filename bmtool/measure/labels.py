"""Measuring what gives classes: images, texts, rows of tables. One pass; in memory stay sums, and the probabilities that areas need."""

from collections.abc import Iterable, Iterator
from functools import reduce

import numpy as np

from bmtool.measure import calibration, classes, ranking
from bmtool.measure.bootstrap import ratio, summed
from bmtool.measure.decision import Decision
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured

KEPT = 20_000_000  # probabilities that stay in memory; of more there is no area
TOP = 5


def positive_number(labels: list[str], positive: int | None) -> int | None:
    """The class that average precision is of: of two classes the second, unless another is named; None: the mean over all."""
    return 1 if positive is None and len(labels) == 2 else positive


class LabelMeter:
    """`said` are probabilities [B, classes], `truth` class numbers [B].

    `auc` is the mean over the classes, one against the rest; so is `average_precision`, but of two classes it is that of `positive`.
    The class that is given is the likeliest, or what `decision` says. Of TOP classes or fewer there is no `top5_accuracy`: it is always 1.
    """

    names: tuple[str, ...] = (
        "accuracy", "top5_accuracy", "macro_precision", "macro_recall", "macro_f1", "auc", "average_precision", "loss", "ece",
    )  # fmt: skip

    def __init__(
        self, labels: list[str], columns: int = 1, *, positive: int | None = None, decision: Decision | None = None
    ):
        self.labels, self.columns, self.decision = labels, columns, decision
        self.positive = positive_number(labels, positive)
        self.names = tuple(name for name in type(self).names if name != "top5_accuracy" or len(labels) > TOP)
        self._totals = Totals(4, columns)  # examples, right, right among TOP, nats
        self._calibration = Totals(calibration.WIDTH, columns)
        self._counts = np.zeros((3, len(labels), columns))  # true, given, given rightly
        self._truth: list[np.ndarray] = []
        self._said: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []  # as `ranking.counted` has them

    def add(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        self._truth.append(truth.astype(np.int64))
        self._said.append(said.astype(np.float32))
        self._parts.append(ranking.counted(weight))
        rows, said = np.arange(len(said)), np.nan_to_num(said)  # what is no number takes all figures away, in the end
        likeliest, given, chance = said.argmax(axis=1), self._given(said), said[rows, truth]
        right, rank = given == truth, (said > chance[:, None]).sum(axis=1)
        nats = -np.log(np.maximum(chance, 1e-12))
        self._totals.add(np.stack([np.ones(len(said)), right, rank < TOP, nats], axis=1), weight)
        self._calibration.add(calibration.rows(said.max(axis=1), likeliest == truth), weight)
        for number, (chosen, counted) in enumerate(((truth, rows), (given, rows), (truth[right], rows[right]))):
            used, sums = summed(chosen, counted, weight)
            self._counts[number][used] += sums

    def _given(self, said: np.ndarray) -> np.ndarray:
        return said.argmax(axis=1) if self.decision is None else self.decision.given(said)

    def state(self) -> list[np.ndarray]:
        truth, said = self.answers()
        return [self._totals.total, self._calibration.total, self._counts, truth, said]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        totals, bins, counts, truth, said = zip(*states)
        self._totals.total, self._calibration.total = reduce(np.add, totals), reduce(np.add, bins)
        self._counts = reduce(np.add, counts)
        self._truth, self._said = list(truth), list(said)

    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all examples in their order: the class numbers [N] that are right, and the probabilities [N, classes] that were said."""
        if not self._said:
            return np.empty(0, np.int64), np.empty((0, len(self.labels)), np.float32)
        return np.concatenate(self._truth), np.concatenate(self._said)

    @property
    def examples(self) -> int:
        return sum(map(len, self._truth))

    def _areas(self) -> ranking.Areas:
        if self.examples * len(self.labels) > KEPT or self._is_broken():
            return ranking.Areas({}, {}, {})
        parts = np.concatenate(self._parts) if self.columns > 1 and self._parts else None
        return ranking.areas(*self.answers(), columns=self.columns, parts=parts)

    def _ratios(self) -> dict[str, np.ndarray]:
        count, right, among, nats = self._totals.total.T
        figures = {"accuracy": ratio(right, count), "top5_accuracy": ratio(among, count), "loss": ratio(nats, count)}
        return figures | classes.macro(*self._counts) | {"ece": calibration.error(self._calibration.total)}

    def figures(self) -> dict[str, np.ndarray]:
        return self._with(self._areas())

    def found(self, areas: ranking.Areas) -> dict[str, np.ndarray]:
        """All that can be said of what was added, by name; a meter that says more extends it."""
        precision = areas.average_precision
        chosen = [precision[self.positive]] if self.positive in precision else list(precision.values())
        return self._ratios() | {
            "auc": ranking.mean(list(areas.auc.values()), self.columns),
            "average_precision": ranking.mean(chosen, self.columns),
        }

    def _with(self, areas: ranking.Areas) -> dict[str, np.ndarray]:
        if self._is_broken():
            return {name: np.full(self.columns, np.nan) for name in self.names}
        found = self.found(areas)
        return {name: found[name] for name in self.names}

    def _is_broken(self) -> bool:
        """Whether the model said what is no number: no figure tells anything then."""
        return not all(np.isfinite(said).all() for said in self._said)

    def _remarks(self, areas: ranking.Areas) -> Iterator[str]:
        yield from classes.remarks(self.labels, *self._counts[:2, :, 0])
        cells = self.examples * len(self.labels)
        if cells > KEPT:
            yield f"no auc and no average_precision: {cells:,} probabilities are more than {KEPT:,}"
            return
        if out := [name for number, name in enumerate(self.labels) if number not in areas.auc]:
            yield f"left out of auc and average_precision, true nowhere or everywhere: {classes.named(out, len(self.labels))}"
        if self.columns > 1 and cells > ranking.RESAMPLED:
            yield f"auc and average_precision have no interval: {cells:,} probabilities are more than {ranking.RESAMPLED:,}"

    def chance(self) -> tuple[str, float]:
        """The commonest class, and the accuracy of always saying it."""
        counts = self._counts[0, :, 0]
        return self.labels[int(counts.argmax())], float(counts.max() / max(1.0, counts.sum()))

    def measured(self) -> Measured:
        """Figures, every class by itself, and the pictures: confusion matrix, ROC and precision-recall curves."""
        if self._is_broken():
            return Measured.broken(self.examples, self.names, self.columns)
        from bmtool.measure import plots  # matplotlib, which training does without

        areas, each = self._areas(), classes.each(*self._counts)
        truth, said = self.answers()
        met = np.flatnonzero(self._counts[:2, :, 0].any(axis=0))
        matrix = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(matrix, (truth, self._given(said)), 1)
        curves = {self.labels[number]: curve for number, curve in areas.curves.items()}
        return Measured(
            examples=self.examples,
            resamples=self._with(areas),
            remarks=list(self._remarks(areas)),
            slices={"class": {self.labels[n]: {name: v[n] for name, v in each.items()} for n in met}},
            pictures={
                "confusion": lambda path: plots.confusion(matrix, self.labels, path),
                "roc": lambda path: plots.roc(curves, path),
                "precision_recall": lambda path: plots.precision_recall(curves, path),
            },
        )
