"""Pieces of a text that may be the answer, from scores of where one begins and ends, joined across windows. Numpy only.

A window is one row of a network: what stands at its first token says how likely it holds no answer. Scores of pieces count from there, so
that those of several windows compare.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

KEPT = 64  # pieces of a text that are weighed


class Scores(NamedTuple):
    """Of the tokens of a text that one window shows, the `first` on: float [tokens] each, less those of having no answer."""

    first: int
    start: np.ndarray
    end: np.ndarray


class Ranked(NamedTuple):
    """Pieces as tokens `first` to `last`, int64 [pieces, 2], the likeliest first, with their probabilities, and that of no answer."""

    pieces: np.ndarray
    probabilities: np.ndarray
    no_answer: float


def best(window: Scores, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """(pieces int64 [KEPT at most, 2] of up to `longest` tokens, their scores), the best first."""
    count = len(window.start)
    width = min(longest, count)
    last = np.arange(count)[:, None] + np.arange(width)
    scores = window.start[:, None] + np.append(window.end, np.full(width, -np.inf))[last]
    order = np.argsort(-scores, axis=None, kind="stable")[:KEPT]
    order = order[np.isfinite(scores.flat[order])]
    first = order // max(width, 1)
    return window.first + np.stack([first, first + order % max(width, 1)], axis=1), scores.flat[order]


def rank(windows: Iterable[Scores], longest: int) -> Ranked:
    """What all windows of a text say together: a piece that several show has the best of its scores."""
    found: dict[tuple[int, int], float] = {}
    for window in windows:
        pieces, scores = best(window, longest)
        for piece, score in zip(map(tuple, pieces.tolist()), scores.tolist()):
            found[piece] = max(score, found.get(piece, -np.inf))
    order = sorted(found, key=lambda piece: (-found[piece], piece))[:KEPT]
    scores = np.array([0.0, *(found[piece] for piece in order)])
    p = np.exp(scores - scores.max())
    p /= p.sum()
    return Ranked(np.array(order, np.int64).reshape(-1, 2), p[1:], float(p[0]))


def characters(offsets: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """From where to where tokens stand in the text, by the places of all tokens, int64 [tokens, 2]."""
    return int(offsets[first, 0]), int(offsets[last, 1])


def tokens(offsets: np.ndarray, start: int, end: int) -> tuple[int, int] | None:
    """The tokens that characters `start` to `end` lie in; None where no token does."""
    inside = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None
