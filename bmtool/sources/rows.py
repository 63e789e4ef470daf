"""Rows of tables, one after the other, whatever they are written in: .csv, .tsv, .jsonl, .json, .parquet, .arrow.

No more than a batch is in memory. Cells of text files are text; those of the others are what they were written as: texts, numbers,
lists, objects, None. A class (`ClassLabel`) comes by its name.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from bmtool.base import delimited
from bmtool.errors import DataError

LONGEST = 1 << 24  # characters of one row of JSON
_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
NO_OBJECT, NO_JSON, TOO_LONG = "no JSON object", "not JSON", "a row over 16 MiB"


class Row(NamedTuple):
    """`values` by the names of their columns; None where a row is broken, and `problem` says why."""

    # file:line, or file:row where a file has no lines
    place: str
    values: dict[str, Any] | None
    problem: str = ""


def rows(path: Path, only: Collection[str] | None = None) -> Iterator[Row]:
    """Every row of a file whose suffix is in READERS; `only` are the columns that are wanted, for formats that can leave out others.

    DataError when the file cannot be read, has no names, or breaks off.
    """
    try:
        yield from READERS[path.suffix.lower()](path, only)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start}): convert it, a file of Excel's in Chinese with `iconv -f GB18030 -t UTF-8`"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _delimited(path: Path, only: Collection[str] | None) -> Iterator[Row]:
    for line, cells in delimited.rows(path):
        yield Row(f"{path}:{line}", cells, "" if cells else delimited.RAGGED)


# --- JSON ---


def _lines(path: Path, only: Collection[str] | None) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        yield from _of_lines(path, stream)


def _of_lines(path: Path, stream: TextIO) -> Iterator[Row]:
    count = 0
    while line := stream.readline(LONGEST):
        count += 1
        if len(line) == LONGEST and not line.endswith("\n"):
            while (rest := stream.readline(LONGEST)) and not rest.endswith("\n"):
                pass
            yield Row(f"{path}:{count}", None, TOO_LONG)
        elif line.strip():
            yield _parsed(f"{path}:{count}", line)


def _parsed(place: str, line: str) -> Row:
    try:
        return _row(place, json.loads(line))
    except (ValueError, RecursionError):
        return Row(place, None, NO_JSON)


def _row(place: str, value: Any) -> Row:
    return Row(place, value) if isinstance(value, dict) else Row(place, None, NO_OBJECT)


def _json(path: Path, only: Collection[str] | None) -> Iterator[Row]:
    """A list of objects, read one by one; or, as many files of this name have it, an object a line."""
    with path.open(encoding="utf-8-sig") as stream:
        start = stream.read(_CHUNK)
        if start.lstrip().startswith("["):
            yield from _List(path, stream, start).rows()
            return
    yield from _lines(path, only)


class _List:
    """A list of JSON as it is read: `_at` is how far of `_held`, which is what was read and not left behind yet."""

    def __init__(self, path: Path, stream: TextIO, start: str):
        self._path, self._stream, self._held = path, stream, start
        self._at, self._count = start.index("[") + 1, 0
        self._decoder = json.JSONDecoder()

    def rows(self) -> Iterator[Row]:
        while self._goes_on():
            self._count += 1
            yield _row(f"{self._path}:{self._count}", self._element())
        self._require_end()

    def _goes_on(self) -> bool:
        """Whether an element comes, up to which is read; False where the list is closed, behind which is read."""
        sign = self._sign()
        if sign == "]":
            self._at += 1
        elif sign == "," and self._count:
            self._at += 1
            self._sign()
        elif self._count:
            raise DataError(f"{self._path}:{self._count + 1}: no comma before it: the list is damaged")
        return sign != "]"

    def _sign(self) -> str:
        """The next character that is no white space. DataError when the file ends before it."""
        if not (sign := self._next()):
            raise DataError(f"{self._path}:{self._count + 1}: the list breaks off here: the file is cut short")
        return sign

    def _next(self) -> str:
        """As `_sign`, or "" at the end of the file."""
        while True:
            self._at = _SPACE.match(self._held, self._at).end()
            if self._at < len(self._held) or not self._read():
                return self._held[self._at : self._at + 1]

    def _require_end(self) -> None:
        """DataError when anything follows the list: another one, rows of it that were meant to be read, or what no JSON is."""
        if found := self._next():
            raise DataError(
                f"{self._path}:{self._count + 1}: {found!r} follows the end of the list: write all rows into one list"
            )

    def _element(self) -> Any:
        place = f"{self._path}:{self._count}"
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self._at)
                # A number at the very end of what was read may go on.
                size = end - self._at
                if end < len(self._held) or not self._read():
                    self._at += size
                    return value
            except RecursionError as error:
                raise DataError(f"{place}: nested too deeply") from error
            except ValueError as error:
                if len(self._held) - self._at > LONGEST or not self._read():
                    raise DataError(f"{place}: {NO_JSON}, or the list breaks off here, or {TOO_LONG}") from error

    def _read(self) -> bool:
        """More of the file, behind what is not done with; False at its end."""
        left = self._held[self._at :]
        more = self._stream.read(max(_CHUNK, len(left)))
        self._held, self._at = left + more, 0
        return bool(more)


# --- by column ---


def _columnar(path: Path, only: Collection[str] | None) -> Iterator[Row]:
    from bmtool.sources import columnar  # pyarrow is asked for by those files alone

    yield from (Row(*row) for row in columnar.rows(path, only))


READERS: dict[str, Callable[[Path, Collection[str] | None], Iterator[Row]]] = {
    ".csv": _delimited, ".tsv": _delimited, ".jsonl": _lines, ".json": _json, ".parquet": _columnar, ".arrow": _columnar,
}  # fmt: skip
