"""Memory-mapped shards of variable-length examples: written one at a time, read at random, never held in memory whole.

A split is a series of shards; each shard is one `.npy` file a field, all of one flat dtype, and `offsets.npy` that says where
every example starts. Reading touches only the pages asked for, so memory does not grow with the corpus.
"""

from pathlib import Path

import numpy as np

SHARD_EXAMPLES = 1 << 17


class ShardWriter:
    """Collects examples (one 1-D array a field, all of one length) and writes a shard whenever SHARD_EXAMPLES are there."""

    def __init__(self, directory: Path, split: str, fields: tuple[str, ...], dtype: type = np.uint16):
        self.directory, self.split, self.fields, self.dtype = directory, split, fields, dtype
        self.examples = self.tokens = self._shards = 0
        self._pending: list[tuple[list[int], ...]] = []

    def add(self, *values: list[int]) -> None:
        self._pending.append(values)
        self.examples += 1
        self.tokens += len(values[0])
        if len(self._pending) == SHARD_EXAMPLES:
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        lengths = [len(example[0]) for example in self._pending]
        columns = {"offsets": np.cumsum([0, *lengths], dtype=np.uint32)}
        for index, field in enumerate(self.fields):
            flat = (value for example in self._pending for value in example[index])
            columns[field] = np.fromiter(flat, self.dtype, count=sum(lengths))
        for name, column in columns.items():
            np.save(self.directory / f"{self.split}-{self._shards:05d}.{name}.npy", column)
        self._shards += 1
        self._pending = []


class Shards:
    """One split, addressed by example number."""

    def __init__(self, directory: Path, split: str, fields: tuple[str, ...]):
        paths = sorted(directory.glob(f"{split}-*.offsets.npy"))
        self._offsets = [np.load(path, mmap_mode="r") for path in paths]
        self._columns = {
            field: [
                np.load(path.with_name(path.name.replace(".offsets.", f".{field}.")), mmap_mode="r") for path in paths
            ]
            for field in fields
        }
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])
        self.tokens = int(sum(int(offsets[-1]) for offsets in self._offsets))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def lengths(self, examples: np.ndarray) -> np.ndarray:
        """Length of each example, int64."""
        shard, row = self._locate(examples)
        out = np.empty(len(examples), np.int64)
        for index, offsets in enumerate(self._offsets):
            here = shard == index
            rows = row[here]
            out[here] = offsets[rows + 1].astype(np.int64) - offsets[rows]
        return out

    def padded(self, field: str, examples: np.ndarray, fill: int = 0) -> np.ndarray:
        """The examples as rows of one int64 array [len(examples), longest], filled up with `fill`."""
        rows = [self.example(field, int(example)) for example in examples]
        out = np.full((len(rows), max(map(len, rows))), fill, np.int64)
        for target, row in zip(out, rows):
            target[: len(row)] = row
        return out

    def example(self, field: str, number: int) -> np.ndarray:
        shard, row = self._locate(np.array([number]))
        offsets = self._offsets[shard[0]]
        return self._columns[field][shard[0]][offsets[row[0]] : offsets[row[0] + 1]]

    def _locate(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shard = np.searchsorted(self._starts, examples, side="right") - 1
        return shard, examples - self._starts[shard]
