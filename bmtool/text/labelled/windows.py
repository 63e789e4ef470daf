"""Texts as rows that a model reads: what begins a text, the first texts with what ends each, a window of the last text, and what ends it.

Training and predicting cut alike. Numpy only. Shapes: N examples, W windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bmtool.errors import ConfigError


class Windows(NamedTuple):
    """int64 [W] each: of which example, and from where to where in the tokens of its last text."""

    example: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:  # type: ignore[override]  # of windows
        return len(self.example)


class Row(NamedTuple):
    """What a model reads of one window: `token` and `kind` (0 of the first text, 1 of the last of several) int64 [T]; the window stands
    at `at` and has `length` tokens."""

    token: np.ndarray
    kind: np.ndarray
    at: int
    length: int


@dataclass(frozen=True)
class Cutting:
    """How texts are cut: rows of `context` tokens at most; windows of a text share `overlap` tokens with those beside them."""

    context: int
    overlap: int
    texts: int

    def __post_init__(self) -> None:
        if self.overlap >= self._room(self._most_before()):
            room = self._room(self._most_before())
            raise ConfigError(
                f"windows of {room} tokens cannot overlap by {self.overlap}: set a larger model.context, or less overlap"
            )

    def _most_before(self) -> int:
        """Tokens of the first texts at most, with what ends each: half of what a row can hold."""
        return (self.context - 2) // 2 if self.texts > 1 else 0

    def _room(self, before: np.ndarray | int) -> np.ndarray | int:
        return self.context - 2 - before

    def before(self, lengths: np.ndarray) -> np.ndarray:
        """Tokens that the first texts take in a row, [N], of the lengths [N, texts]; what is over half of the row is cut off."""
        wanted = lengths[:, :-1].sum(axis=1) + self.texts - 1
        return np.minimum(wanted, self._most_before())

    def windows(self, lengths: np.ndarray) -> Windows:
        """All windows of texts with these lengths [N, texts]."""
        room = self._room(self.before(lengths))
        last = lengths[:, -1]
        stride = room - self.overlap
        counts = np.maximum(1, -((self.overlap - last) // stride))
        example = np.repeat(np.arange(len(lengths)), counts)
        number = np.arange(len(example)) - np.repeat(np.cumsum(counts) - counts, counts)
        start = number * stride[example]
        return Windows(example, start, np.minimum(start + room[example], last[example]))

    def row(self, texts: Sequence[np.ndarray], start: int, stop: int, *, begin: int, end: int) -> Row:
        """The row of a window of the last of some texts, as tokens without special ones."""
        most = self._most_before()
        first = np.concatenate([np.append(text, end) for text in texts[:-1]])[:most] if len(texts) > 1 else texts[0][:0]
        window = texts[-1][start:stop]
        token = np.concatenate([[begin], first, window, [end]]).astype(np.int64)
        kind = np.zeros(len(token), np.int64)
        if len(texts) > 1:
            # what is cut off ends as the rest does
            token[len(first)] = end
            kind[1 + len(first) :] = 1
        return Row(token, kind, 1 + len(first), len(window))


def centred(windows: Windows, example: int) -> np.ndarray:
    """For each token of an example the number of its window, among all, that shows most of what stands around it, int64."""
    mine = np.flatnonzero(windows.example == example)
    start, stop = windows.start[mine], windows.stop[mine]
    # Of two windows beside each other each has its half of what they share, the first one the token in the middle.
    bounds = np.concatenate([[0], (stop[:-1] + start[1:] + 1) // 2, stop[-1:]])
    return np.repeat(mine, np.diff(bounds))


def padded(rows: Sequence[Row], pad: int) -> dict[str, np.ndarray]:
    """`token`, `keep` and `kind` of rows as arrays [B, T]."""
    shape = len(rows), max(len(row.token) for row in rows)
    token, keep, kind = np.full(shape, pad, np.int64), np.zeros(shape, bool), np.zeros(shape, np.int64)
    for number, row in enumerate(rows):
        stop = len(row.token)
        token[number, :stop], keep[number, :stop], kind[number, :stop] = row.token, True, row.kind
    return {"token": token, "keep": keep, "kind": kind}
