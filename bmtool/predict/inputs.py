"""What goes in: how each kind of input is named on a command line, and how one is read. Needs numpy and Pillow only."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bmtool.base import delimited
from bmtool.errors import BadInput, DataError

STDIN = "-"  # how a command line names standard input
KEY = {"image": "file", "text": "input", "number": "seed", "record": "record"}  # what an answer calls its input


class Named(NamedTuple):
    name: str
    raw: Any


def named(takes: str, given: Sequence[str], ignore: Callable[[str, str], None]) -> Iterator[Named]:
    """Everything that the arguments of a command name: files in folders, rows in tables, lines; "-" is standard input for lines and rows.

    `ignore` hears of the files in folders that are passed over: (kind, path). DataError for a file that cannot be read.
    """
    if takes == "image":
        return _images(given, ignore)
    return {"text": _texts, "number": _numbers, "record": _records}[takes](given)


def _texts(given: Iterable[str]) -> Iterator[Named]:
    """The lines of the files named, empty ones too; any other argument is a line."""
    for argument in given:
        listed = lines(argument) if argument == STDIN or os.path.isfile(argument) else [(argument, argument)]
        yield from (Named(line, line) for _, line in listed)


def _numbers(given: Iterable[str]) -> Iterator[Named]:
    for argument in given:
        listed = lines(argument) if argument == STDIN else [(argument, argument)]
        yield from (Named(line, line) for _, line in listed if line.strip())


def _images(given: Iterable[str], ignore: Callable[[str, str], None]) -> Iterator[Named]:
    """The files named, and the images in the folders named."""
    from bmtool.predict import folders  # Pillow is for images alone

    for name in given:
        path = Path(name)
        inside = folders.images(path, ignore) if path.is_dir() else [path]
        yield from (Named(str(file), file) for file in inside)


def _records(given: Iterable[str]) -> Iterator[Named]:
    """Rows of .csv, .tsv and .jsonl files, lines of JSON from standard input, or JSON objects as they stand."""
    for argument in given:
        if argument.lstrip().startswith("{"):
            yield Named(argument, argument)
        elif argument == STDIN or Path(argument).suffix.lower() == ".jsonl":
            yield from (Named(place, line) for place, line in lines(argument) if line.strip())
        else:
            yield from _table(Path(argument))


def _table(path: Path) -> Iterator[Named]:
    if path.suffix.lower() == ".parquet":
        raise DataError(
            f"{path} is Parquet: predict reads text, so write it as a .csv first (pandas: read_parquet, to_csv)"
        )
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise DataError(
            f"{path} holds no rows that can be read: give a .csv, .tsv or .jsonl file, a JSON object, "
            "or lines of JSON at standard input (-)"
        )
    try:
        for number, cells in delimited.rows(path):
            yield Named(f"{path}:{number}", BadInput(delimited.RAGGED) if cells is None else cells)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def lines(source: str) -> Iterator[tuple[str, str]]:
    """(file:line, line) of a file of text, or of standard input; DataError when it cannot be read or is not UTF-8."""
    shown = "<stdin>" if source == STDIN else source
    try:
        with _opened(source) as stream:
            for number, line in enumerate(stream, start=1):
                place = f"{shown}:{number}"
                yield place, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{place} is not UTF-8 (byte {error.start + 1} of the line): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {shown}: {error.strerror or error}") from error


def _opened(source: str) -> AbstractContextManager[BinaryIO]:
    if source != STDIN:
        return Path(source).open("rb")
    if sys.stdin is None:
        raise DataError("standard input is closed: name files or give inputs as arguments")
    return nullcontext(sys.stdin.buffer)


def seed(raw: Any) -> int:
    """A number that chooses noise; BadInput for anything else."""
    text = str(raw).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadInput("expected a number: it chooses the noise that an image is made from")
    return int(text)


def record(raw: Any) -> dict[str, Any]:
    """A row as name -> value, from a JSON object or what a reader of tables gave; BadInput for anything else, and for a row that is one."""
    if isinstance(raw, BadInput):
        raise raw
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise BadInput("not JSON") from error
    if not isinstance(raw, dict):
        raise BadInput("no JSON object of names and values")
    return raw
