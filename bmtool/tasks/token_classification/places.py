"""Which characters the tokens of a text hold, and spans of characters as spans of them. Numpy only.

A place is a token, or several that share characters (a letter that is spelt in bytes): of those the first speaks for all. Shapes: T tokens,
P places.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Places(NamedTuple):
    """`first` int64 [P]: the token that speaks for each place; `bounds` int64 [P, 2]: from where to where it stands in the text."""

    first: np.ndarray
    bounds: np.ndarray


def places(text: str, spans: np.ndarray) -> Places:
    """Of tokens that stand from where to where [T, 2]; white space around them is left to no place."""
    start, end = _trimmed(text, spans).T if len(spans) else spans.reshape(0, 2).T
    reached = np.concatenate([[0], np.maximum.accumulate(end)[:-1]]) if len(end) else end
    first = np.flatnonzero((end > start) & (start >= reached))
    if not len(first):
        return Places(first, np.empty((0, 2), np.int64))
    return Places(first, np.stack([start[first], np.maximum.reduceat(end, first)], axis=1))


def _trimmed(text: str, spans: np.ndarray) -> np.ndarray:
    """Without the white space that some tokenizers make a part of a token."""
    out = spans.copy()
    for number, (start, end) in enumerate(spans.tolist()):
        held = text[start:end]
        if held[:1].isspace() or held[-1:].isspace():
            out[number] = start + len(held) - len(held.lstrip()), end - len(held) + len(held.rstrip())
    return out


def covered(spans: Sequence[tuple[int, int, int]], bounds: np.ndarray) -> list[tuple[int, int, int]]:
    """Spans (start, end, number of the type) of characters as spans of places; one without a place of its own is left out."""
    out, free = [], 0
    for start, end, label in spans:
        begin = max(free, int(np.searchsorted(bounds[:, 1], start, "right")))
        stop = int(np.searchsorted(bounds[:, 0], end, "left"))
        if begin < stop:
            out.append((begin, stop, label))
            free = stop
    return out


def written(spans: Sequence[tuple[int, int, int]], bounds: np.ndarray) -> list[tuple[int, int, int]]:
    """Spans of places as spans of characters."""
    return [(int(bounds[begin, 0]), int(bounds[stop - 1, 1]), label) for begin, stop, label in spans]
