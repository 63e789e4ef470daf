"""Figures by group, and how far groups are apart.

A group is one more set of weights: those of the bootstrap for its examples, 0 for all others. So one pass measures the whole and every
group, with any meter, and two models are compared group by group in pairs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.errors import ConfigError
from bmtool.measure.bootstrap import RESAMPLES
from bmtool.measure.report import COUNT, Measured, figure_of, show

GAP = "gap"
MOST = 20  # groups of a column
BINS = 4  # of a column of more numbers than that
LEAST = 30  # examples of a group that counts in the gap
NONE = "(none)"  # the group of examples without a value
WIDTH = 1 + RESAMPLES
_SHOWN = 5  # names in a remark


@dataclass(frozen=True)
class Grouping:
    """The groups of a column; with `edges`, a number belongs to the one it lies in: below the first, between two, from the last on."""

    column: str
    groups: tuple[str, ...]
    edges: tuple[float, ...] = ()
    values: int = 0  # different ones that were put into bins

    def group(self, value: Any) -> str:
        text = _text(value)
        if self.edges and text != NONE:
            return self.groups[int(np.searchsorted(self.edges, float(text), side="right"))]
        return text


def _text(value: Any) -> str:
    """A value as the name of its group."""
    return (str(value).lower() if isinstance(value, bool) else str(value).strip() if value is not None else "") or NONE


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def groupings(columns: Sequence[str], fields: Iterable[Mapping[str, Any]]) -> tuple[Grouping, ...]:
    """The groups of each column among the fields of all examples.

    ConfigError for a column that none of them has, or that has too many values that are no numbers.
    """
    known: dict[str, None] = {}
    counted = {column: Counter[str]() for column in dict.fromkeys(columns)}
    for held in fields:
        known.update(dict.fromkeys(held))
        for column, counts in counted.items():
            counts[_text(held.get(column))] += 1
    for column, counts in counted.items():
        if column not in known:
            there = f"{suggest(column, known)} (columns are {', '.join(known)})" if known else ": they have no columns"
            raise ConfigError(f"--by {column}: the examples have no column {column!r}{there}")
        if not counts.keys() - {NONE}:
            raise ConfigError(
                f"--by {column}: no example has a value there; where the column is left out of learning, measure on its file, --data FILE"
            )
    return tuple(_grouping(column, counts) for column, counts in counted.items())


def _grouping(column: str, counts: Counter[str]) -> Grouping:
    values = {text: _number(text) for text in counts if text != NONE}
    last = (NONE,) if NONE in counts else ()
    numbers = {text: value for text, value in values.items() if value is not None}
    if len(values) <= MOST:
        ordered = sorted(values, key=lambda text: (text not in numbers, numbers.get(text, 0.0), text))
        return Grouping(column, (*ordered, *last))
    if odd := [text for text in values if text not in numbers]:
        raise ConfigError(
            f"--by {column}: {len(values):,} different values ({few(sorted(odd), _SHOWN)}), and {MOST} groups at most can be told "
            "apart: make a column of fewer, such as a kind or a range"
        )
    held = np.repeat(list(numbers.values()), [counts[text] for text in numbers])
    return _binned(Grouping(column, last, values=len(values)), np.sort(held))


def _binned(one: Grouping, held: np.ndarray) -> Grouping:
    """With groups of about as many of the numbers [N], which are in order; equal ones are in one group."""
    quantiles = np.unique(np.quantile(held, np.arange(1, BINS) / BINS, method="higher"))
    # Where most are the smallest, all others are the other group.
    edges = [edge for edge in quantiles.tolist() if edge > held[0]] or [float(held[held > held[0]][0])]
    return replace(one, groups=(*_ranges(edges), *one.groups), edges=tuple(edges))


def _ranges(edges: list[float]) -> Iterator[str]:
    """`< 20`, `20 ... < 35`, `>= 35`."""
    yield f"< {edges[0]:g}"
    yield from (f"{low:g} ... < {high:g}" for low, high in pairwise(edges))
    yield f">= {edges[-1]:g}"


class Groups:
    """The columns of an evaluation by groups: WIDTH for the whole, and WIDTH for each group of each grouping."""

    def __init__(self, found: Sequence[Grouping]):
        self.found = tuple(found)
        each = [(one.column, group) for one in found for group in one.groups]
        self._place = {key: place for place, key in enumerate(each, start=1)}

    @property
    def columns(self) -> int:
        return WIDTH * (1 + len(self._place))

    def weights(self, fields: Sequence[Mapping[str, Any]], weight: np.ndarray) -> np.ndarray:
        """[examples, columns], of the weights [examples, WIDTH] of the whole."""
        if not self._place:
            return weight
        chosen = np.zeros((len(fields), 1 + len(self._place)), weight.dtype)
        chosen[:, 0] = 1
        for row, held in enumerate(fields):
            for one in self.found:
                chosen[row, self._place[one.column, one.group(held.get(one.column))]] = 1
        return (chosen[:, :, None] * weight[:, None, :]).reshape(len(fields), -1)

    def split(self, measured: Measured, counts: Counter[tuple[str, str]]) -> Measured:
        """What was measured of the whole, with a slice for each group that has examples; `counts` are those by column and group."""
        slices = {
            dimension: {
                part: {name: values[:WIDTH] for name, values in figures.items()} for part, figures in parts.items()
            }
            for dimension, parts in measured.slices.items()
        }
        for one in self.found:
            slices[self.dimension(one.column, measured)] = {
                group: {COUNT: np.array([float(counts[one.column, group])]), **self._of(measured, one.column, group)}
                for group in one.groups
                if counts[one.column, group]
            }
        whole = {name: values[:WIDTH] for name, values in measured.resamples.items()}
        return replace(measured, resamples=whole, slices=slices)

    @staticmethod
    def dimension(column: str, measured: Measured) -> str:
        """What the slices of a column are called: as it is, unless a task has slices of that name."""
        return f"column {column}" if column in measured.slices else column

    def _of(self, measured: Measured, column: str, group: str) -> dict[str, np.ndarray]:
        start = WIDTH * self._place[column, group]
        return {name: values[start : start + WIDTH] for name, values in measured.resamples.items()}


# --- how far groups are apart ---


def names(known: Sequence[str], by: Sequence[str]) -> list[str]:
    """Of all figures of an evaluation that has the `known` ones."""
    return [*known, *([GAP] if by else [])]


class Gap(NamedTuple):
    """The figure of the best group less that of the worst [WIDTH], and which they are; NaN and "" where there are not two."""

    column: str
    values: np.ndarray
    lowest: str = ""
    highest: str = ""
    # with too few examples, or without the figure
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ends = {"lowest": self.lowest, "highest": self.highest, "left_out": list(self.left_out)}
        return figure_of(GAP, self.values).as_dict() | ends


def gap(column: str, parts: Mapping[str, Mapping[str, np.ndarray]], figure: str) -> Gap:
    """Of a figure between groups of LEAST examples or more; `parts` are the slices of the column.

    Each resample has its own best and worst group; so it is too large on average, which centring the interval takes back.
    """
    compared = {
        name: held[figure] for name, held in parts.items() if held[COUNT][0] >= LEAST and np.isfinite(held[figure][0])
    }
    left_out = tuple(name for name in parts if name not in compared)
    if len(compared) < 2:
        return Gap(column, np.full(WIDTH, np.nan), left_out=left_out)
    names, values = list(compared), np.stack(list(compared.values()))
    there = np.isfinite(values)
    low, high = np.where(there, values, np.inf).min(axis=0), np.where(there, values, -np.inf).max(axis=0)
    found = np.where(there.sum(axis=0) >= 2, high - low, np.nan)
    return Gap(column, found, names[int(values[:, 0].argmin())], names[int(values[:, 0].argmax())], left_out)


def largest(gaps: Sequence[Gap]) -> np.ndarray:
    """[WIDTH], over the columns."""
    values = np.stack([one.values for one in gaps])
    there = np.isfinite(values)
    return np.where(there.any(axis=0), np.where(there, values, -np.inf).max(axis=0), np.nan)


def remarks(found: Sequence[Grouping], parts: Mapping[str, Mapping], gaps: Sequence[Gap], figure: str) -> Iterator[str]:
    """How values became groups, which are furthest apart, and which do not count; `parts` are the slices by column."""
    for one, distance in zip(found, gaps):
        held = parts[one.column]
        if one.edges:
            numbers = f"{one.values:,} different numbers, in {len(one.edges) + 1} groups of about as many examples"
            yield f"by {one.column}: {numbers}"
        if NONE in held:
            yield f"by {one.column}: {int(held[NONE][COUNT][0]):,} examples have no value, and are a group, {NONE}"
        yield _told(distance, held, figure)


def _told(found: Gap, held: Mapping[str, Mapping[str, np.ndarray]], figure: str) -> str:
    less = f"; too few in {few(found.left_out, _SHOWN)}" if found.left_out else ""
    if not found.lowest:
        return f"by {found.column}: no gap, as {figure} is not known of two groups of {LEAST} examples{less}"
    ends = " to ".join(
        f"{show(float(held[name][figure][0]))} ({name}, {int(held[name][COUNT][0]):,} examples)"
        for name in (found.lowest, found.highest)
    )
    return f"by {found.column}: {figure} from {ends}, of groups of {LEAST} examples or more{less}"
