"""64-bit keys of sentences, and keys on disk, sorted, so that blocks of any number can be compared a part of the range at a time."""

from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np

PART_KEYS = 1 << 22
ROW_BITS = 32  # a place is block << ROW_BITS | row
_MIX = 0x9E3779B97F4A7C15


def mix(values: np.ndarray, salt: int) -> np.ndarray:
    """Well-spread uint64 of uint64 (the finaliser of SplitMix64); another `salt` gives independent ones."""
    x = values + np.uint64(salt * _MIX % (1 << 64))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sentence_keys(sentences: list[str]) -> np.ndarray:
    """uint64 of each sentence, BLAKE2b."""
    return np.frombuffer(b"".join([blake2b(s.encode(), digest_size=8).digest() for s in sentences]), np.uint64)


def write_keys(directory: Path, keys: np.ndarray, rows: np.ndarray) -> None:
    """`keys` (uint64) sorted, each with its row; equal keys stay in the order of their rows."""
    order = np.argsort(keys, kind="stable")
    np.save(directory / "keys.npy", keys[order])
    np.save(directory / "rows.npy", rows[order].astype(np.uint32))


def row_keys(directory: Path) -> np.ndarray:
    """What `write_keys` was given for rows 0, 1, ..., in this order."""
    keys = np.load(directory / "keys.npy")
    out = np.empty_like(keys)
    out[np.load(directory / "rows.npy")] = keys
    return out


def parts(count: int) -> list[tuple[int, int]]:
    """Ranges [low, high] of keys, enough of them to hold about PART_KEYS of `count` each."""
    number = max(1, -(-count // PART_KEYS))
    bounds = [(index << 64) // number for index in range(number + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]


def read_part(directories: list[Path], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of a range, sorted, and their places, in order among equal keys."""
    keys, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, directory in enumerate(directories):
        stored = np.load(directory / "keys.npy", mmap_mode="r")
        start = np.searchsorted(stored, np.uint64(low), side="left")
        end = np.searchsorted(stored, np.uint64(high), side="right")
        if end > start:
            rows = np.load(directory / "rows.npy", mmap_mode="r")[start:end].astype(np.uint64)
            keys.append(np.asarray(stored[start:end]))
            places.append(rows | np.uint64(number << ROW_BITS))
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(places)[order]
