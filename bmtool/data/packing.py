"""Rows out of one long stream of tokens, by arithmetic alone: no padding, and no list of rows."""

from typing import NamedTuple

import numpy as np

from bmtool.data.batching import Permutation, hashed


class Cut(NamedTuple):
    """How a stream is cut: rows of `width` tokens, each beginning `stride` after the one before."""

    width: int
    stride: int


class Rows:
    """Where the rows of each batch begin, as a function of (seed, position). Every epoch cuts the stream at other places and takes the
    rows in another order; what is left over at both ends is less than two rows."""

    def __init__(self, tokens: int, cut: Cut, *, batch: int, seed: int):
        self.width = min(cut.width, tokens)
        self._stride, self._seed, spare = cut.stride, seed, tokens - self.width
        self.rows = max(1, spare // cut.stride)
        self._offsets = min(cut.stride, spare - (self.rows - 1) * cut.stride + 1)
        self._batch = min(batch, self.rows)
        self.per_epoch = self.rows // self._batch
        self._permutation: tuple[int, Permutation] | None = None

    def __getitem__(self, position: int) -> np.ndarray:
        """int64 [rows of the batch]."""
        epoch, batch = divmod(position, self.per_epoch)
        if self._permutation is None or self._permutation[0] != epoch:
            self._permutation = epoch, Permutation(self.rows, self._seed, epoch)
        offset = int(hashed(np.array([epoch]), self._seed)[0] % np.uint64(self._offsets))
        places = np.arange(batch * self._batch, (batch + 1) * self._batch)
        return offset + self._stride * self._permutation[1](places)


class Windows:
    """All of every document, once: documents that are too long in several windows, where `width` is more than `stride` with the last
    tokens of one before those of the next."""

    def __init__(self, bounds: np.ndarray, cut: Cut):
        """`bounds` int64 [documents + 1]: where each begins in the stream, and where the last ends."""
        lengths = np.diff(bounds)
        counts = np.maximum(1, -((cut.width - cut.stride - lengths) // cut.stride))
        self.document = np.repeat(np.arange(len(lengths)), counts)
        number = np.arange(len(self.document)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.starts = bounds[:-1][self.document] + number * cut.stride
        self.lengths = np.minimum(cut.width, bounds[1:][self.document] - self.starts)

    def __len__(self) -> int:
        return len(self.starts)
