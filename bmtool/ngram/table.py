"""A read-only map from 64-bit keys to small numbers in 1.13 cells of 8 or 16 bits a key, whatever the keys: they are not stored.

The value of a key is the exclusive or of three cells of one array (a Bloomier filter, Chazelle et al. 2004, laid out as a binary fuse
filter, Graf & Lemire 2022). The bits that the value leaves are a fingerprint of the key: with n of them, a key that is not in the map is
taken for one that is once in 2 ** n.
"""

from dataclasses import dataclass

import numpy as np

_CELLS_A_KEY = 3


@dataclass(frozen=True)
class Table:
    cells: np.ndarray  # uint8 or uint16
    value_bits: int
    segment: int  # a power of 2: a key's cells are in three neighbouring segments of so many cells
    seed: int

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(value, whether the key is there) of each int64 key; a value means nothing where there is no key."""
        hashed = _hash(keys, self.seed)
        first, second, third = _places(hashed, self.segment, len(self.cells))
        cell = self.cells[first] ^ self.cells[second] ^ self.cells[third] ^ self._fingerprint(hashed)
        return cell, cell >> self.value_bits == 0

    def _fingerprint(self, hashed: np.ndarray) -> np.ndarray:
        """What a key adds to its cells: bits of its hash above those of the value."""
        bits = self.cells.itemsize * 8 - self.value_bits
        return ((hashed >> np.uint64(20) & np.uint64((1 << bits) - 1)) << np.uint64(self.value_bits)).astype(
            self.cells.dtype
        )


def build(keys: np.ndarray, values: np.ndarray, value_bits: int, cell: type[np.unsignedinteger]) -> Table:
    """The table of distinct int64 `keys` with their `values`, each below 2 ** value_bits, in cells of type `cell`."""
    segment, size = _layout(len(keys))
    for seed in range(100):
        hashed = _hash(keys, seed)
        places = np.stack(_places(hashed, segment, size))
        peeled = _peel(places, size)
        if peeled is None:
            continue
        table = Table(np.zeros(size, cell), value_bits, segment, seed)
        cells, wanted = table.cells, values.astype(cell) ^ table._fingerprint(hashed)
        for key, place in reversed(peeled):  # every cell that is still to be written is 0
            cells[place] = wanted[key] ^ np.bitwise_xor.reduce(cells[places[:, key]], axis=0)
        return table
    raise ValueError("the keys are not distinct")


def _layout(keys: int) -> tuple[int, int]:
    """(cells in a segment, cells in all); the constants are those of the paper for three cells a key."""
    keys = max(keys, 2)
    segment = 1 << max(2, min(18, int(np.log(keys) / np.log(3.33) + 2.25)))
    wanted = keys * max(1.125, 0.875 + 0.25 * np.log(1e6) / np.log(keys))
    return segment, max(_CELLS_A_KEY, -(-int(wanted) // segment)) * segment


def _hash(keys: np.ndarray, seed: int) -> np.ndarray:
    """Mixed bits (the finalizer of MurmurHash3, Appleby 2016)."""
    mixed = keys.astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ mixed >> np.uint64(33)


def _places(hashed: np.ndarray, segment: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = np.uint64(size - (_CELLS_A_KEY - 1) * segment)
    first = ((hashed >> np.uint64(32)) * starts >> np.uint64(32)).astype(np.int64)
    low = hashed.astype(np.int64)
    second = first + segment ^ (low >> 18 & segment - 1)
    return first, second, first + 2 * segment ^ (low & segment - 1)


def _peel(places: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Rounds of (keys, a cell of each that no key of this or a later round uses); None when some keys block each other."""
    degree = np.bincount(places.ravel(), minlength=size)
    keys = np.arange(places.shape[1])
    # Of the keys that use a cell.
    total = sum(np.bincount(row, keys, minlength=size) for row in places).astype(np.int64)
    rounds, peeled = [], 0
    lonely = np.flatnonzero(degree == 1)
    while len(lonely):
        found, first = np.unique(total[lonely], return_index=True)
        rounds.append((found, lonely[first]))
        peeled += len(found)
        touched = places[:, found]
        np.subtract.at(degree, touched.ravel(), 1)
        np.subtract.at(total, touched.ravel(), np.tile(found, _CELLS_A_KEY))
        candidates = np.unique(touched)
        lonely = candidates[degree[candidates] == 1]
    return rounds if peeled == places.shape[1] else None
