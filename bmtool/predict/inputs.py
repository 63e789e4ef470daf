"""What goes in: how each kind of input is named on a command line, and how one is read. Needs numpy and Pillow only."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base import delimited
from bmtool.errors import BadInput, DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # of images
KEY = {"image": "file", "text": "input", "number": "seed", "record": "row"}  # what an answer calls its input


class Named(NamedTuple):
    name: str
    raw: Any


def named(takes: str, given: Sequence[str]) -> Iterator[Named]:
    """Everything that the arguments of a command name: files in folders, rows in tables, lines."""
    return {"image": _images, "text": _lines, "number": _lines, "record": _records}[takes](given)


def _lines(given: Iterable[str]) -> Iterator[Named]:
    return (Named(line, line) for line in given)


def _images(given: Iterable[str]) -> Iterator[Named]:
    """The files named, and the images in the folders named."""
    for name in given:
        path = Path(name)
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        yield from (Named(str(file), file) for file in inside)


def _records(given: Iterable[str]) -> Iterator[Named]:
    """Rows of .csv and .jsonl files, or JSON objects as they stand."""
    for argument in given:
        if argument.lstrip().startswith("{"):
            yield Named(argument, argument)
        else:
            yield from _rows(Path(argument))


def _rows(path: Path) -> Iterator[Named]:
    try:
        if path.suffix != ".jsonl":
            for number, cells in delimited.rows(path):
                yield Named(f"{path}:{number}", BadInput(delimited.RAGGED) if cells is None else cells)
            return
        with path.open(encoding="utf-8-sig") as stream:
            yield from (Named(f"{path}:{number}", line) for number, line in enumerate(stream, 1) if line.strip())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


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
