"""Rows of tables, one after the other, whatever they are written in: .csv, .tsv, .jsonl, .json, .parquet, .arrow.

No more than a batch is in memory. Cells of text files are text; those of the others are what they were written as: texts, numbers,
lists, objects, None. A class (`ClassLabel`) comes by its name.
"""

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from bmtool.base import delimited
from bmtool.errors import DataError

LONGEST = 1 << 24  # characters of one row of JSON
_CHUNK = 1 << 20
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
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
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
        start = stream.read(_CHUNK).lstrip()
        if start.startswith("["):
            yield from _of_list(path, start[1:], stream)
            return
    yield from _lines(path, only)


def _of_list(path: Path, held: str, stream: TextIO) -> Iterator[Row]:
    count = 0
    while True:
        held = _more(path, held.lstrip(" \t\r\n,"), stream, count)
        if held.startswith("]"):
            return
        count += 1
        value, end = _element(path, held, stream, count)
        held = end
        yield _row(f"{path}:{count}", value)


def _more(path: Path, held: str, stream: TextIO, count: int) -> str:
    """What is left of the list, with at least the first character of what comes next. DataError where it ends early."""
    while not held:
        chunk = stream.read(_CHUNK)
        if not chunk:
            raise DataError(f"{path}:{count + 1}: the list breaks off here: the file is cut short")
        held = chunk.lstrip(" \t\r\n,")
    return held


def _element(path: Path, held: str, stream: TextIO, count: int) -> tuple[Any, str]:
    """The value that the text begins with, and the text behind it."""
    decoder = json.JSONDecoder()
    while True:
        try:
            value, end = decoder.raw_decode(held)
            # A number at the very end of what was read may go on.
            if held[end:].lstrip():
                return value, held[end:]
        except RecursionError as error:
            raise DataError(f"{path}:{count}: nested too deeply") from error
        except ValueError as error:
            if len(held) >= LONGEST:
                raise DataError(f"{path}:{count}: {NO_JSON}, or {TOO_LONG}: {error}") from error
        chunk = stream.read(max(_CHUNK, len(held)))
        if not chunk:
            raise DataError(f"{path}:{count}: {NO_JSON}, or the list breaks off here")
        held += chunk


# --- by column ---


def _columnar(path: Path, only: Collection[str] | None) -> Iterator[Row]:
    from bmtool.sources import columnar  # pyarrow is asked for by those files alone

    yield from (Row(*row) for row in columnar.rows(path, only))


READERS: dict[str, Callable[[Path, Collection[str] | None], Iterator[Row]]] = {
    ".csv": _delimited, ".tsv": _delimited, ".jsonl": _lines, ".json": _json, ".parquet": _columnar, ".arrow": _columnar,
}  # fmt: skip
