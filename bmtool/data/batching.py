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


def hashed(values: np.ndarray, *key: int) -> np.ndarray:
    """uint64: numbers drawn by position, even over the whole range and other ones for another key (SplitMix64, Steele et al. 2014)."""
    start = np.random.SeedSequence(key).generate_state(1, np.uint64)
    with np.errstate(over="ignore"):
        mixed = start + values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Order:
    """Which examples make up each batch of `batch_size`, as a function of (seed, position): no epoch is ever drawn up as a whole.

    Every epoch is another permutation, its last incomplete batch left out; without a seed it is the stored order. `balance`:
    "over" draws a class and then one of its examples, so that all classes are equally frequent; "under" takes as many of each
    class as the rarest has, other ones every epoch. A balance keeps the examples sorted by class, 8 bytes each.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int | None, balance: str = "none"):
        # The stored order draws nothing.
        self.seed = seed or 0
        self._batch, self._size = batch_size, len(labels)
        self._choose = self._stored if seed is None else getattr(self, f"_{balance}")
        if balance != "none":
            self._by_class = np.argsort(labels, kind="stable")
            _, self._starts, self._counts = np.unique(labels[self._by_class], return_index=True, return_counts=True)
        if balance == "under":
            self._size = int(self._counts.min()) * len(self._counts)
        self.per_epoch = -(-self._size // batch_size) if seed is None else max(1, self._size // batch_size)
        self._permutation: tuple[int, Permutation] | None = None

    def __getitem__(self, position: int) -> np.ndarray:
        """The examples of a batch, int64."""
        epoch, batch = divmod(position, self.per_epoch)
        return self._choose(epoch, np.arange(batch * self._batch, min((batch + 1) * self._batch, self._size)))

    def _stored(self, epoch: int, places: np.ndarray) -> np.ndarray:
        return places

    def _none(self, epoch: int, places: np.ndarray) -> np.ndarray:
        if self._permutation is None or self._permutation[0] != epoch:
            self._permutation = epoch, Permutation(self._size, self.seed, epoch)
        return self._permutation[1](places)

    def _over(self, epoch: int, places: np.ndarray) -> np.ndarray:
        draws = epoch * self._size + places
        labels = (hashed(draws, self.seed, 0) % np.uint64(len(self._counts))).astype(np.int64)
        members = hashed(draws, self.seed, 1) % self._counts[labels].astype(np.uint64)
        return self._by_class[self._starts[labels] + members.astype(np.int64)]

    def _under(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """Ranks in a permutation of each class, these shuffled among each other."""
        ranks, labels = np.divmod(self._none(epoch, places), len(self._counts))
        out = np.empty_like(places)
        for label in np.unique(labels):
            members = Permutation(int(self._counts[label]), self.seed, epoch, int(label))
            out[labels == label] = self._starts[label] + members(ranks[labels == label])
        return self._by_class[out]


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
