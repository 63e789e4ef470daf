"""Memory-mapped shards of variable-length examples: read at random, never held in memory whole.

A split is a series of shards; each is one `.npy` file a field, all of one length, and `offsets.npy` (uint32) that says where every
example starts. Reading touches only the pages asked for, so memory does not grow with the corpus.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.data.prepared import array

SHARD_TOKENS = 1 << 28  # a corpus of any size stays a handful of files


def ragged(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ... for each of the lengths, one after the other; int64."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def write_part(directory: Path, split: str, lengths: np.ndarray, fields: dict[str, np.ndarray]) -> None:
    """Keep examples of one split for `assemble`."""
    for name, values in ({"lengths": lengths.astype(np.uint32)} | fields).items():
        np.save(directory / f"{split}.{name}.npy", values)


def assemble(directory: Path, split: str, parts: list[Path]) -> None:
    """Join parts, in their order, to shards of about SHARD_TOKENS."""
    for number, group in enumerate(_groups(split, parts)):
        prefix = f"{split}-{number:05d}"
        names = sorted(path.name.split(".")[1] for path in group[0].glob(f"{split}.*.npy"))
        for name in names:
            arrays = (np.load(part / f"{split}.{name}.npy") for part in group)
            size = sum(len(np.load(part / f"{split}.{name}.npy", mmap_mode="r")) for part in group)
            if name == "lengths":
                _join(directory / f"{prefix}.offsets.npy", _offsets(arrays), size + 1)
            else:
                _join(directory / f"{prefix}.{name}.npy", arrays, size)


def _groups(split: str, parts: list[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    held = 0
    for part in parts:
        size = int(np.load(part / f"{split}.lengths.npy").sum())
        if group and held + size > SHARD_TOKENS:
            yield group
            group, held = [], 0
        group.append(part)
        held += size
    if group:
        yield group


def _offsets(lengths: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The running sum of all lengths, from 0; uint32, part by part."""
    total = 0
    yield np.zeros(1, np.uint32)
    for part in lengths:
        ends = total + np.cumsum(part, dtype=np.int64)
        total = int(ends[-1])
        yield ends.astype(np.uint32)


def _join(path: Path, arrays: Iterator[np.ndarray], size: int) -> None:
    """One `.npy` of all arrays, `size` numbers in all, written one after the other."""
    with path.open("wb") as stream:
        for index, array in enumerate(arrays):
            if index == 0:
                header = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": (size,),
                }
                np.lib.format.write_array_header_1_0(stream, header)
            array.tofile(stream)


class Shards:
    """One split, addressed by example number."""

    def __init__(self, directory: Path, split: str, fields: tuple[str, ...]):
        paths = sorted(directory.glob(f"{split}-*.offsets.npy"))
        self._offsets = [array(path, mapped=True) for path in paths]
        self._columns = {
            field: [array(path.with_name(path.name.replace(".offsets.", f".{field}.")), mapped=True) for path in paths]
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

    def bounds(self) -> np.ndarray:
        """Where each example begins in the stream of all, and where the last ends; int64 [examples + 1]."""
        ends = [offsets[1:].astype(np.int64) for offsets in self._offsets]
        before = np.cumsum([0, *(int(offsets[-1]) for offsets in self._offsets)])
        return np.concatenate([[0], *(end + start for end, start in zip(ends, before))]).astype(np.int64)

    def span(self, field: str, start: int, stop: int) -> np.ndarray:
        """The values from `start` to `stop` of the stream of all examples, wherever examples and shards end."""
        before = np.cumsum([0, *(len(column) for column in self._columns[field])])
        first, last = (int(np.searchsorted(before, place, side="right")) - 1 for place in (start, max(start, stop - 1)))
        pieces = [
            self._columns[field][shard][max(0, start - before[shard]) : stop - before[shard]]
            for shard in range(first, last + 1)
        ]
        return np.concatenate(pieces)

    def flat(self, field: str, tokens: int) -> Iterator[np.ndarray]:
        """All examples one after the other with a 0 behind each, in pieces of about `tokens` values; no example is torn."""
        for offsets, column in zip(self._offsets, self._columns[field]):
            row = 0
            while row < len(offsets) - 1:
                last = int(np.searchsorted(offsets, offsets[row] + np.uint64(tokens), side="right")) - 1
                last = min(max(last, row + 1), len(offsets) - 1)
                begin, end = int(offsets[row]), int(offsets[last])
                yield np.insert(column[begin:end], (offsets[row + 1 : last + 1] - offsets[row]).astype(np.int64), 0)
                row = last

    def _locate(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shard = np.searchsorted(self._starts, examples, side="right") - 1
        return shard, examples - self._starts[shard]
