"""A linear chain of tags (Lafferty, McCallum, Pereira 2001): the likeliest path, and how likely its parts are. numpy only, so that a run
and its export decode alike.

Shapes: B texts, T places, K tags. A score is a sum: what each place says of its tag, what each tag says of the next, and of the ends.
"""

from typing import NamedTuple

import numpy as np

NEVER = -1e4  # the score of what may not be: far below any other, and finite


class Transitions(NamedTuple):
    """Scores float32 of a tag behind another [K, K], at the beginning [K] and at the end [K]."""

    between: np.ndarray
    first: np.ndarray
    last: np.ndarray


class Chains:
    """Several chains of scores [B, T, K], of which `lengths` [B] say how many places are real; each is computed as if it were alone."""

    def __init__(self, scores: np.ndarray, lengths: np.ndarray, transitions: Transitions):
        self.scores, self.lengths = scores.astype(np.float64), lengths
        self.transitions = Transitions(*(part.astype(np.float64) for part in transitions))
        self._weights = np.exp(self.transitions.between)

    def best(self) -> np.ndarray:
        """The tags of the best path, int64 [B, T] (Viterbi 1967); of paths that score alike the one with lower tags at the end."""
        count, size, tags = self.scores.shape
        so_far = self.transitions.first + self.scores[:, 0]
        back = np.tile(np.arange(tags, dtype=np.int32), (count, size, 1))
        for at in range(1, size):
            real = (at < self.lengths)[:, None]
            ways = so_far[:, :, None] + self.transitions.between
            back[:, at] = np.where(real, ways.argmax(axis=1), back[:, at])
            so_far = np.where(real, ways.max(axis=1) + self.scores[:, at], so_far)
        path = np.empty((count, size), np.int64)
        path[:, -1] = (so_far + self.transitions.last).argmax(axis=1)
        rows = np.arange(count)
        for at in range(size - 1, 0, -1):
            path[:, at - 1] = back[rows, at, path[:, at]]
        return path

    def before(self) -> np.ndarray:
        """Log of the sum over all ways to come to each tag, its own score included, [B, T, K]."""
        found = np.empty_like(self.scores)
        found[:, 0] = self.transitions.first + self.scores[:, 0]
        for at in range(1, self.scores.shape[1]):
            ways = _product(found[:, at - 1], self._weights) + self.scores[:, at]
            found[:, at] = np.where((at < self.lengths)[:, None], ways, found[:, at - 1])
        return found

    def behind(self) -> np.ndarray:
        """Log of the sum over all ways to go on from each tag, its own score excluded, [B, T, K]."""
        found = np.empty_like(self.scores)
        found[:, -1] = self.transitions.last
        for at in range(self.scores.shape[1] - 2, -1, -1):
            ways = _product(self.scores[:, at + 1] + found[:, at + 1], self._weights.T)
            found[:, at] = np.where((at + 1 < self.lengths)[:, None], ways, self.transitions.last)
        return found

    def whole(self, before: np.ndarray) -> np.ndarray:
        """Log of the sum over all paths, [B], of what `before` gave."""
        last = before[:, -1] + self.transitions.last
        top = last.max(axis=1)
        return np.log(np.exp(last - top[:, None]).sum(axis=1)) + top

    def marginals(self) -> np.ndarray:
        """The probability of each tag at each place, [B, T, K]."""
        before = self.before()
        return np.exp(before + self.behind() - self.whole(before)[:, None, None])

    def steps(self, path: np.ndarray) -> np.ndarray:
        """What each place of a path [B, T] adds to its score: how its tag follows the one before, and the score of the tag, [B, T]."""
        found = np.take_along_axis(self.scores, path[:, :, None], axis=2)[:, :, 0]
        found[:, 1:] += self.transitions.between[path[:, :-1], path[:, 1:]]
        return found


def _product(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log of exp(logs) [B, K] @ weights [K, K]; what is 0 becomes a number far below any other."""
    top = logs.max(axis=1, keepdims=True)
    return np.log(np.maximum(np.exp(logs - top) @ weights, 1e-300)) + top
