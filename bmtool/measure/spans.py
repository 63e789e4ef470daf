"""Measuring what gives spans of a text: which were found, with the right type, from the right letter to the right letter.

A span counts as found where start, end and type are all right: what the field calls strict, and what seqeval gives for BIOES tags.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from bmtool.measure import classes
from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter
from bmtool.measure.report import Measured

NONE = "(none)"  # in the confusion of types: no span stands there
CONFUSED = 5  # pairs of types that are noted


class Span(NamedTuple):
    """A part of a text and what it is; places in characters, the end is the first that is no longer in it."""

    start: int
    end: int
    label: str


def overlapping(spans: Sequence[Span]) -> bool:
    """Whether two of them share a character: such spans are nested or overlap, and no sequence of tags has both."""
    ordered = sorted(spans)
    return any(before.end > after.start for before, after in pairwise(ordered))


def meetings(ours: Sequence[Span], theirs: Sequence[Span]) -> Iterator[tuple[int, int, int]]:
    """(number of ours, number of theirs, characters they share) of those that meet; each side in order and without overlap."""
    a = b = 0
    while a < len(ours) and b < len(theirs):
        shared = min(ours[a].end, theirs[b].end) - max(ours[a].start, theirs[b].start)
        if shared > 0:
            yield a, b, shared
        if ours[a].end < theirs[b].end:
            a += 1
        else:
            b += 1


def paired(truth: Sequence[Span], said: Sequence[Span]) -> Iterator[tuple[Span | None, Span | None]]:
    """Every span that is right with the one said that shares most with it, then every one said that meets none: None stands for none."""
    best: dict[int, tuple[int, int]] = {}
    met = set()
    for right, found, shared in meetings(truth, said):
        met.add(found)
        best[right] = max(best.get(right, (0, 0)), (shared, -found))
    for number, span in enumerate(truth):
        yield span, said[-best[number][1]] if number in best else None
    yield from ((None, span) for number, span in enumerate(said) if number not in met)


def kind_of(right: Span | None, said: Span | None) -> str:
    """What is to be said of such a pair."""
    if right is None:
        return "said where there is none"
    if said is None:
        return "missed"
    same_place, same_type = right[:2] == said[:2], right.label == said.label
    if same_place:
        return "right" if same_type else "right place, wrong type"
    return "right type, wrong place" if same_type else "wrong place and type"


KINDS = (
    "right",
    "right place, wrong type",
    "right type, wrong place",
    "wrong place and type",
    "missed",
    "said where there is none",
)


class SpanMeter(SumMeter):
    """`said` and `truth` are spans of each example, in order and without overlap.

    `precision`, `recall` and `f1` are over all spans, the macro figures means over the types that are true or said somewhere. `place_f1`
    leaves types aside; `partial_f1` takes a span for found that shares a character with one of its type. `sentence_accuracy` is the share
    of examples all of whose spans are right.
    """

    names: ClassVar = (
        "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1", "place_f1", "partial_f1", "sentence_accuracy",
    )  # fmt: skip

    def __init__(self, types: Sequence[str], columns: int = 1):
        # true, said and rightly said of each type; of all: right places, true ones met, said ones met, right examples, examples
        super().__init__(3 * len(types) + 5, columns)
        self.types, self.columns, self.examples = list(types), columns, 0
        self._number = {name: number for number, name in enumerate(types)}
        # Of the pictures and notes of an evaluation, which is one process: not part of the state.
        self._kinds: Counter[str] = Counter()
        self._confused = np.zeros((len(types) + 1, len(types) + 1), np.int64)

    def add(self, said: Sequence[Sequence[Span]], truth: Sequence[Sequence[Span]], weight: np.ndarray) -> None:
        rows = np.zeros((len(said), 3 * len(self.types) + 5))
        for row, ours, right in zip(rows, said, truth):
            self._count(row, ours, right)
        super().add(rows, None, weight)
        self.examples += len(said)

    def _count(self, row: np.ndarray, said: Sequence[Span], truth: Sequence[Span]) -> None:
        each, found = row[:-5].reshape(3, -1), set(said) & set(truth)
        for counts, spans in zip(each, (truth, said, found)):
            np.add.at(counts, [self._number[span.label] for span in spans], 1)
        same = [(a, b) for a, b, _ in meetings(truth, said) if truth[a].label == said[b].label]
        places = {span[:2] for span in said} & {span[:2] for span in truth}
        row[-5:] = len(places), len({a for a, _ in same}), len({b for _, b in same}), set(said) == set(truth), 1
        for right, ours in paired(truth, said):
            self._kinds[kind_of(right, ours)] += 1
            self._confused[self._place(right), self._place(ours)] += 1

    def _place(self, span: Span | None) -> int:
        """Of a span's type in the confusion of types."""
        return -1 if span is None else self._number[span.label]

    def _each(self) -> tuple[np.ndarray, ...]:
        """True, said, and rightly said: [types, columns]."""
        return tuple(self._totals.total[:, :-5].T.reshape(3, len(self.types), -1))

    def figures(self) -> dict[str, np.ndarray]:
        each = self._each()
        true, said, right = (counts.sum(axis=0) for counts in each)
        places, true_met, said_met, whole, count = self._totals.total[:, -5:].T
        found = {
            "precision": _zero(right, said, true), "recall": _zero(right, true, said), "f1": ratio(2 * right, true + said),
            "place_f1": ratio(2 * places, true + said), "partial_f1": _f1(ratio(said_met, said), ratio(true_met, true)),
            "sentence_accuracy": ratio(whole, count),
        }  # fmt: skip
        found |= classes.macro(*each)
        return {name: found[name] for name in self.names}

    def measured(self) -> Measured:
        """Figures, every type by itself, what kinds of mistakes there are, and which type is taken for which."""
        from bmtool.measure import plots  # matplotlib, which training does without

        each = classes.each(*self._each())
        true, said, _ = (counts[:, 0] for counts in self._each())
        names = [*self.types, NONE]
        return Measured(
            examples=self.examples,
            resamples=self.figures(),
            remarks=list(classes.remarks(self.types, true, said)),
            slices={"type": {self.types[n]: {k: v[n] for k, v in each.items()} for n in np.flatnonzero(true + said)}},
            notes={f"spans {kind}": float(self._kinds[kind]) for kind in KINDS} | dict(self._mistaken()),
            pictures={"confusion": lambda path: plots.confusion(self._confused, names, path)},
        )

    def _mistaken(self) -> Iterator[tuple[str, float]]:
        """The pairs of types that are taken for each other most often."""
        pairs = self._confused[:-1, :-1] * (1 - np.eye(len(self.types), dtype=np.int64))
        for at in np.argsort(-pairs, axis=None, kind="stable")[:CONFUSED]:
            right, said = divmod(int(at), len(self.types))
            if count := int(pairs[right, said]):
                yield f"{self.types[right]} taken for {self.types[said]}", float(count)


def _zero(above: np.ndarray, below: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A ratio that counts as 0 where only the other side has something, as seqeval has it; NaN where neither has."""
    return np.where((below == 0) & (other > 0), 0.0, ratio(above, below))


def _f1(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """The harmonic mean; what has nothing counts as 0, and NaN stays where both have nothing."""
    sides = np.nan_to_num(precision), np.nan_to_num(recall)
    both = np.isnan(precision) & np.isnan(recall)
    return np.where(both, np.nan, np.nan_to_num(ratio(2 * sides[0] * sides[1], sides[0] + sides[1])))
