"""Rows on the disk, parted by their users, so that no more than a part has to be in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

# One row: hashes of user and item, milliseconds, the rating, the split (SPLITS; -1: not given).
ROW = np.dtype([("user", "<u8"), ("item", "<u8"), ("time", "<i8"), ("value", "<f4"), ("split", "<i4")])
BITS = 6  # of a user's hash: so many parts, of users in the order of their numbers


class Spill:
    """Files of ROW in a folder."""

    def __init__(self, folder: Path):
        self._files = [folder / f"rows-{part:02}.bin" for part in range(1 << BITS)]
        for file in self._files:
            file.touch()

    def add(self, rows: np.ndarray) -> None:
        part = (rows["user"] >> np.uint64(64 - BITS)).astype(np.int64)
        for number in np.unique(part).tolist():
            with self._files[number].open("ab") as stream:
                stream.write(rows[part == number].tobytes())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each part, of users in rising order; in it rows stand as they came."""
        for file in self._files:
            yield np.fromfile(file, ROW)

    def replace(self, part: int, rows: np.ndarray) -> None:
        rows.tofile(self._files[part])

    def remove(self) -> None:
        for file in self._files:
            file.unlink()


def shuffle(rows: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [N]: a hash of each row's user and item, by which ties in time are broken (the finaliser of MurmurHash3)."""
    with np.errstate(over="ignore"):
        mixed = (
            rows["user"] ^ (rows["item"] * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(seed * 0x632BE5AB & (1 << 63) - 1)
        )
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(33))
