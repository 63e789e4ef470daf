"""Images in a list: rows of a path and a label, or of a path and a box; columns by name, or, in a .csv without names, by order."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bmtool.base import delimited
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images.items import Box, Item
from bmtool.sources import rows as tables

# What each column may be called, in small letters; the first is what messages and lists without a heading call it.
NAMES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "img_path"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "label": ("label", "class", "category", "class_name", "label_name", "target"),
}  # fmt: skip
BOXES, LABELS = tuple(NAMES), ("path", "label")
# As `data.columns` calls them.
_FIELD = {"image": "path", "label": "label"}
UNLABELLED = "no label"
_SHOWN = 10  # columns in an error


class _Row(NamedTuple):
    place: str
    cells: dict[str, str]
    # of columns that are not looked at, by their names
    others: dict[str, str]


def items(path: Path, tally: Tally, columns: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """The images that a list names; paths are relative to it and lie below its folder. `columns` are the names of other columns than usual.

    A .csv has cells apart by comma, semicolon or tab; of rows of JSON and of tables the first one names the columns. An image has as
    many rows as boxes; one with the path alone says it has none. Rows without a label, and columns that are not looked at, are counted in
    `tally`. DataError names the line of what cannot be read.
    """
    cells = _cells(path) if path.suffix.lower() in (".csv", ".tsv") else _values(path, tally)
    rows = _named(path, cells, tally, {_FIELD[field]: name for field, name in columns.items()})
    return _boxed(path, rows) if rows and "x1" in rows[0].cells else _labelled(path, rows, tally)


def _cells(path: Path) -> list[tuple[str, list[str]]]:
    """(file:line, cells) of every row that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            mark = delimited.separator(path, stream.readline())
            stream.seek(0)
            reader = csv.reader(stream, delimiter=mark, strict=True)
            return [(f"{path}:{reader.line_num}", [cell.strip() for cell in row]) for row in reader if row]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _values(path: Path, tally: Tally) -> list[tuple[str, list[str]]]:
    """As `_cells` has them: the names of the columns, then the rows; those that are broken are counted."""
    found: list[tuple[str, list[str]]] = []
    names: list[str] = []
    for row in tables.rows(path):
        if row.values is None:
            tally.read += 1
            tally.drop(row.problem, row.place)
            continue
        if not found:
            names = list(row.values)
            found.append((row.place, names))
        found.append((row.place, [text(row.values.get(name)) for name in names]))
    return found


def text(value: Any) -> str:
    """A cell of a table as a list has it; "" for none."""
    return "" if value is None else str(value).strip()


def _named(path: Path, rows: list[tuple[str, list[str]]], tally: Tally, own: Mapping[str, str]) -> list[_Row]:
    """Cells by what they hold; `own` are columns by the names that they have here. DataError for a row of another length than the first."""
    if not rows:
        return []
    place, first = rows[0]
    heading = [cell.casefold() for cell in first]
    if own or set(heading) & set(NAMES["path"]) or path.suffix.lower() not in (".csv", ".tsv"):
        columns, called, rows = _columns(place, first, own), first, rows[1:]
        for name in (cell for cell, held in zip(first, columns) if held is None):
            tally.ignore(f"column {name!r}", place)
    else:
        columns = called = list(BOXES if len(first) == len(BOXES) else LABELS)
        _require_path(path, place, first)
    for place, row in rows:
        if len(row) != len(columns):
            raise DataError(f"{place}: expected {','.join(called)}, got {len(row)} columns")
    return [
        _Row(
            place,
            {name: cell for name, cell in zip(columns, row) if name},
            {name: cell for name, held, cell in zip(called, columns, row) if held is None},
        )
        for place, row in rows
    ]


def _columns(place: str, heading: list[str], own: Mapping[str, str]) -> list[str | None]:
    """What each column of a heading holds, None for one that is not looked at. DataError when one is missing or there twice."""
    for column, name in own.items():
        require_column(place, column, name, heading)
    called = {name: column for column, name in own.items()}
    holds = {name: column for column, names in NAMES.items() for name in names if column not in own}
    columns = [called.get(name) or holds.get(name.casefold()) for name in heading]
    wanted = BOXES if set(columns) & {"x1", "y1", "x2", "y2"} else LABELS
    for column in wanted:
        if (count := columns.count(column)) != 1:
            problem = "no column" if count == 0 else f"{count} columns"
            raise DataError(
                f"{place}: {problem} that could be the {column}: call one {few(NAMES[column], _SHOWN)} "
                f"(columns are {few([name.casefold() for name in heading], _SHOWN)}){_hint(column)}"
            )
    return columns


def _hint(column: str) -> str:
    """How a config names one."""
    key = next((field for field, name in _FIELD.items() if name == column), "")
    return f", or name it: data.columns: {{{key}: ...}}" if key else ""


def require_column(place: str, column: str, name: str, heading: Sequence[str]) -> None:
    """DataError when a column that the config names is not there."""
    if name not in heading:
        raise DataError(
            f"{place}: data.columns: no column {name!r} for the {column}{suggest(name, heading)} (columns are {few(heading, _SHOWN)})"
        )


def _require_path(path: Path, place: str, first: list[str]) -> None:
    """DataError where the first row of a list without a known heading looks like one: it names no file, by no ending either."""
    if not Path(first[0]).suffix and not os.path.isfile(path.parent / first[0]):
        raise DataError(
            f"{place}: {first[0]!r} names no file: call columns {','.join(LABELS)} or {','.join(BOXES)} where this is a heading, "
            "or name them: data.columns: {image: ..., label: ...}"
        )


def _labelled(path: Path, rows: list[_Row], tally: Tally) -> list[Item]:
    out = []
    for row in rows:
        file = _below(path, row)
        if row.cells["label"]:
            out.append(Item(row.cells["path"], row.cells["label"], None, file, fields=row.others))
        else:
            tally.read += 1
            tally.drop(UNLABELLED, row.place, row.cells["path"])
    return out


def _boxed(path: Path, rows: list[_Row]) -> list[Item]:
    """An item for each path, in the order of their first rows, with the boxes of all its rows."""
    held: dict[str, list[Box]] = {}
    files = {}
    for row in rows:
        name = row.cells["path"]
        files[name] = _below(path, row)
        boxes = held.setdefault(name, [])
        if any(row.cells[column] for column in BOXES[1:]):
            boxes.append(_box(row))
    return [Item(name, None, None, files[name], boxes=tuple(boxes)) for name, boxes in held.items()]


def _box(row: _Row) -> Box:
    """DataError unless it has a label and four finite numbers that span an area."""
    corners, label = [row.cells[column] for column in ("x1", "y1", "x2", "y2")], row.cells["label"]
    try:
        box = Box(*map(float, corners), label)
    except ValueError as error:
        raise DataError(f"{row.place}: x1,y1,x2,y2 are numbers, not {','.join(corners)}") from error
    if not all(map(math.isfinite, box[:4])) or box.x1 >= box.x2 or box.y1 >= box.y2:
        raise DataError(f"{row.place}: a box needs x1 < x2 and y1 < y2, in pixels: {','.join(corners)}")
    if not label:
        raise DataError(f"{row.place}: the box has no label")
    return box


def _below(path: Path, row: _Row) -> Path:
    root = path.parent.resolve()
    try:
        target = (root / row.cells["path"]).resolve()
    except (ValueError, OSError) as error:
        raise DataError(f"{row.place}: {row.cells['path'][:40]!r} is no path: {error}") from error
    if not target.is_relative_to(root):
        raise DataError(f"{row.place}: {row.cells['path']} lies outside {path.parent}: paths are relative to the file")
    return target
