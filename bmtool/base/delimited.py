"""Tables as text: cells apart by commas, semicolons or tabs, under a first line that names them."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from bmtool.errors import DataError

SEPARATORS = ",;\t"
LARGEST = 3.4028234663852886e38  # that float32 holds
RAGGED = "not as many cells as the header has names"
DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")


def rows(path: Path) -> Iterator[tuple[int, dict[str, str] | None]]:
    """(line, cells by the names of their columns) of every row; None for one of another length than the header.

    Numbers of the columns that `decimal_commas` names have points. DataError when the file has no proper header or is not well quoted;
    OSError and UnicodeDecodeError are the caller's.
    """
    written = decimal_commas(path)
    for line, cells in _rows(path):
        for name in written if cells else ():
            cells[name] = cells[name].replace(",", ".")
        yield line, cells


def decimal_commas(path: Path) -> dict[str, str]:
    """Column -> a value such as 1337,58, where every cell with a comma is such a number; none where commas part the cells."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if separator(path, stream.readline()) == ",":
            return {}
    found, others = dict[str, str](), set[str]()
    for _, cells in _rows(path):
        for name, text in (cells or {}).items():
            if DECIMAL_COMMA.fullmatch(text):
                found.setdefault(name, text)
            elif "," in text:
                others.add(name)
    return {name: text for name, text in found.items() if name not in others}


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | None]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator(path, first), strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _require_names(path, names)
            for cells in filter(None, reader):
                whole = len(cells) == len(names)
                yield reader.line_num, dict(zip(names, (text.strip() for text in cells))) if whole else None
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}") from error


def separator(path: Path, header: str) -> str:
    """The one that stands most often between the names of the header."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(SEPARATORS, key=re.sub(r'"[^"]*"', "", header).count)


def _require_names(path: Path, names: list[str]) -> None:
    if not names:
        raise DataError(f"{path} is empty: its first line must name the columns")
    if "" in names:
        raise DataError(f"{path}:1: column {names.index('') + 1} has no name")
    if len(names) == 1 and (parted := [mark for mark in "|:" if mark in names[0]]):
        raise DataError(
            f"{path}:1: one column, {names[0]!r}: separate cells by comma, semicolon or tab, not by {parted[0]}"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}:1: {', '.join(twice)} names more than one column")
    if all(number(name) is not None for name in names):
        raise DataError(f"{path}:1: the first line must name the columns, and it holds numbers")


def is_beyond(text: str) -> bool:
    """Whether a text is how a number is written that is none here: infinite, too large, or NaN."""
    try:
        float(text)
    except ValueError:
        return False
    return number(text) is None and "_" not in text


def number(text: str) -> float | None:
    """A finite decimal number; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= LARGEST and "_" not in text else None  # NaN fails too
