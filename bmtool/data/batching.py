"""Batches whose order is a function of (seed, epoch), addressable by position: a resumed run seeks in constant time and memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

WINDOW_BATCHES = (
    100  # sorted by length inside windows of so many batches: hardly any padding, yet every step sees all lengths
)


class Permutation:
    """A pseudo-random permutation of range(size) that needs no memory: a four-round Feistel network with cycle walking
    (Black & Rogaway 2002, "Ciphers with arbitrary finite domains")."""

    def __init__(self, size: int, *key: int):
        self.size = size
        self._half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._mask = np.uint64((1 << self._half_bits) - 1)
        self._keys = np.random.SeedSequence(key).generate_state(4, np.uint64)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The images of `positions` (each below size), int64."""
        values = self._encrypt(positions.astype(np.uint64))
        while (outside := values >= self.size).any():
            values[outside] = self._encrypt(values[outside])
        return values.astype(np.int64)

    def _encrypt(self, values: np.ndarray) -> np.ndarray:
        shift = np.uint64(self._half_bits)
        left, right = values >> shift, values & self._mask
        with np.errstate(over="ignore"):
            for key in self._keys:
                mixed = (right ^ key) * np.uint64(0x9E3779B97F4A7C15)
                mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
                left, right = right, left ^ ((mixed >> np.uint64(32)) & self._mask)
        return (left << shift) | right


class LengthSource(NamedTuple):
    """What LengthBatches needs to know of a data set."""

    examples: int
    tokens: int
    lengths: Callable[[np.ndarray], np.ndarray]
    collate: Callable[[np.ndarray], Any]


class LengthBatches:
    """Batches of about `batch_tokens` tokens out of examples of similar length; `batches[position]` for any position >= 0.

    Every window of the epoch's permutation holds the same number of batches, so position -> (epoch, window, batch) is
    arithmetic. `seed=None` keeps the stored order of examples (validation), still sorted by length inside a window.
    """

    def __init__(self, source: LengthSource, *, batch_tokens: int, seed: int | None):
        self.source, self.seed, self.examples = source, seed, source.examples
        total = max(1, round(source.tokens / batch_tokens))
        self._windows = -(-total // WINDOW_BATCHES)
        self._batches = -(-total // self._windows)
        self.per_epoch = self._windows * self._batches
        self._cached: tuple[tuple[int, int], list[np.ndarray]] | None = None

    def __getitem__(self, position: int) -> Any:
        epoch, rest = divmod(position, self.per_epoch)
        window, batch = divmod(rest, self._batches)
        return self.source.collate(self._window(epoch, window)[batch])

    def _window(self, epoch: int, window: int) -> list[np.ndarray]:
        if self._cached is None or self._cached[0] != (epoch, window):
            self._cached = (epoch, window), self._cut(epoch, window)
        return self._cached[1]

    def _cut(self, epoch: int, window: int) -> list[np.ndarray]:
        size = self.source.examples
        examples = np.arange(window * size // self._windows, (window + 1) * size // self._windows)
        if self.seed is not None:
            examples = Permutation(size, self.seed, epoch)(examples)
        lengths = self.source.lengths(examples)
        order = np.argsort(lengths, kind="stable")
        ends = np.cumsum(lengths[order])
        group = np.minimum((ends - 1) * self._batches // max(int(ends[-1]), 1), self._batches - 1)
        groups = [examples[order[group == index]] for index in range(self._batches)]
        groups = [examples_ if len(examples_) else examples[order[-1:]] for examples_ in groups]
        if self.seed is not None:
            order = np.random.default_rng((self.seed, epoch, window)).permutation(self._batches)
            groups = [groups[index] for index in order]
        return groups
