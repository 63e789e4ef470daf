"""Images that stay in their table until they are decoded: one cell out of a file, of which a few rows are held."""

import threading
from bisect import bisect_right
from collections import deque
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.errors import DataError
from bmtool.sources import columnar

_ROWS = 32  # of a batch; two are held, so that threads which read about the same place do not send each other back


class Cell(NamedTuple):
    """Bytes in a row of a Parquet or Arrow file."""

    path: Path
    # from 0
    row: int
    column: str

    def read(self) -> bytes:
        """ValueError, in the words in which it is counted, when it holds none; DataError when the file cannot be read."""
        value = _cursor(self.path, self.column, _changed(self.path)).value(self.row)
        held = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(held, bytes):
            return held
        has_path = isinstance(value, dict) and value.get("path")
        raise ValueError(
            "a path in place of the image: the set was saved without its bytes" if has_path else "no image"
        )


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


@lru_cache(maxsize=8)
def _cursor(path: Path, column: str, changed: int) -> "_Forward | _Mapped":
    """`changed` is when the file was: another file has another cursor."""
    return (_Forward if path.suffix.lower() == ".parquet" else _Mapped)(path, column)


class _Forward:
    """One column of a Parquet file, read from the group of rows on in which what is wanted lies."""

    def __init__(self, path: Path, column: str):
        self._path, self._column, self._lock = path, column, threading.Lock()
        with columnar.opened(path) as file:
            self._starts = [0, *accumulate(file.groups())]
        self._held: deque[tuple[int, Any]] = deque(maxlen=2)
        self._batches: Any = iter(())
        self._next = self._starts[-1]

    def value(self, row: int) -> Any:
        with self._lock:
            while (found := self._find(row)) is None:
                self._advance(row)
            return found.as_py()

    def _find(self, row: int) -> Any:
        return next((batch[row - start] for start, batch in self._held if start <= row < start + len(batch)), None)

    def _advance(self, row: int) -> None:
        group = bisect_right(self._starts, row) - 1
        if not self._next <= row or self._next < self._starts[group]:
            self._batches, self._next = self._read(group), self._starts[group]
        batch = next(self._batches, None)
        if batch is None:
            raise DataError(f"{self._path}: it has no row {row + 1}: it changed while it was read")
        self._held.append((self._next, batch.column(0)))
        self._next += batch.num_rows

    def _read(self, group: int) -> Any:
        with columnar.opened(self._path) as file:
            yield from file.batches([self._column], group=group, most=_ROWS)


class _Mapped:
    """One column of an Arrow file, which is mapped: nothing is held."""

    def __init__(self, path: Path, column: str):
        self._path, self._lock = path, threading.Lock()
        with columnar.opened(path) as file:
            self._batches = [batch.select([column]) for batch in file.stored()]
        self._starts = [0, *accumulate(batch.num_rows for batch in self._batches)]
        self._sound: set[int] = set()

    def value(self, row: int) -> Any:
        number = bisect_right(self._starts, row) - 1
        with self._lock:
            if number not in self._sound:
                with columnar.refusing(self._path, lambda: f"{self._path}:{self._starts[number] + 1}"):
                    self._batches[number].validate(full=True)
                self._sound.add(number)
        return self._batches[number].column(0)[row - self._starts[number]].as_py()
