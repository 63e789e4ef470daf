"""Spans as a tag for each place, and back: B, I, E or S of a type, or O: where a span begins, goes on, ends, or is alone. numpy only."""

from collections.abc import Iterator, Sequence

import numpy as np

from bmtool.nn.chain import NEVER, Transitions

OUTSIDE = 0  # the tag of a place that no span holds
PARTS = 4
BEGIN, INSIDE, END, SINGLE = range(PARTS)


def count(types: int) -> int:
    return 1 + PARTS * types


def tag(label: int, part: int) -> int:
    """The number of a tag: B, I, E and S of the first type, then of the next."""
    return 1 + PARTS * label + part


def legal(types: int) -> Transitions:
    """0 for what may follow, begin or end, NEVER for what may not."""
    tags = np.arange(count(types))
    label, part = (tags - 1) // PARTS, (tags - 1) % PARTS
    closed = (tags == OUTSIDE) | (part == END) | (part == SINGLE)  # no span goes on behind it
    opens = (tags == OUTSIDE) | (part == BEGIN) | (part == SINGLE)  # no span goes on into it
    goes_on = ~closed[:, None] & ~opens[None] & (label[:, None] == label[None])
    between = np.where(closed[:, None] & opens[None] | goes_on, 0.0, NEVER)
    return Transitions(between, np.where(opens, 0.0, NEVER), np.where(closed, 0.0, NEVER))


def numbers(spans: Sequence[tuple[int, int, int]], size: int) -> np.ndarray:
    """The tags int64 [size] of spans (first place, place behind the last, number of the type) that do not overlap."""
    out = np.full(size, OUTSIDE, np.int64)
    for start, end, label in spans:
        out[start:end] = tag(label, INSIDE)
        out[start], out[end - 1] = tag(label, BEGIN), tag(label, END)
        if end - start == 1:
            out[start] = tag(label, SINGLE)
    return out


def spans(tags: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first place, place behind the last, number of the type) of a legal sequence of tags."""
    part = np.where(tags == OUTSIDE, -1, (tags - 1) % PARTS)
    starts = np.flatnonzero((part == BEGIN) | (part == SINGLE))
    ends = np.flatnonzero((part == END) | (part == SINGLE))
    yield from zip(starts.tolist(), (ends + 1).tolist(), ((tags[starts] - 1) // PARTS).tolist())
