"""What the columns of a table hold, and how a row becomes numbers: one code for preparing and for predicting."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bmtool.base.delimited import DECIMAL_COMMA, is_beyond, number
from bmtool.base.files import read_json
from bmtool.errors import BadInput
from bmtool.tables import lists
from bmtool.tables.sources import cell, listed

SOME = ("buckets", "length", "of", "words")  # what only some columns have
OTHER = 0  # the number of a category that is missing, or was not among the training rows


@dataclass(frozen=True)
class Column:
    """A column as the training rows have it: figures of the values that are there; `missing` counts the others by how they are written."""

    name: str
    kind: Literal["number", "category", "list"]
    missing: dict[str, int]
    median: float = 0.0
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0
    categories: tuple[str, ...] = ()  # by falling frequency; the first is number 1
    counts: tuple[int, ...] = ()
    buckets: int = 0  # names are hashed to so many numbers and not kept
    length: int = 0  # of a list: so many of its numbers are read
    of: str = ""  # of a list: the column of categories whose ids it holds; "": its own
    words: bool = False  # a list of the words of a text

    @property
    def width(self) -> int:
        """Numbers of a row that are the column's."""
        return self.length or 1

    @property
    def known(self) -> int:
        """Of a category: its highest number."""
        return self.buckets or len(self.categories)

    def told(self, value: float) -> str:
        """The column with a value as `Schema.encode` gives it: "age = 70"."""
        return f"{self.name} = {self.shown(value)}"

    def shown(self, value: float) -> str:
        """A value as `Schema.encode` gives it, for people; of hashed categories, whose names are not kept, the number."""
        if self.kind == "number":
            return "missing" if np.isnan(value) else f"{value:.6g}"
        if value == OTHER:
            return "missing"
        return f"bucket {int(value)}" if self.buckets else self.categories[int(value) - 1]

    def typical(self) -> float:
        """The median, or the number of the commonest category; a list is empty."""
        return self.median if self.kind == "number" else 1.0 if self.kind == "category" and self.known else float(OTHER)

    def absent(self) -> float:
        """What stands where the column says nothing."""
        return float("nan") if self.kind == "number" else float(OTHER)

    def number(self, name: str) -> int:
        """Of a category whose names are hashed."""
        return 1 + zlib.crc32(name.encode()) % self.buckets


@dataclass(frozen=True)
class Schema:
    """All that turns a row into the numbers float32 [width] of a model: numbers as they are, NaN where missing; categories by number;
    lists by the numbers of what is in them, with OTHER behind."""

    columns: tuple[Column, ...]
    target: str
    ignored: tuple[str, ...]
    missing: tuple[str, ...]  # what stands for a missing value
    labels: tuple[str, ...] = ()  # names of the classes, where the target is one
    positive: int | None = None
    mean: float = 0.0  # of a target that is a number
    deviation: float = 1.0
    _numbers: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _width: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_width", sum(column.width for column in self.columns))
        for column in self.columns:
            self._numbers[column.name] = {name: n for n, name in enumerate(column.categories, start=1)}

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return self._width

    @property
    def lists(self) -> list[str]:
        """The columns whose values may be lists."""
        return [column.name for column in self.columns if column.kind == "list"]

    def owner(self) -> np.ndarray:
        """int64 [width], of which column each number of a row is."""
        return np.repeat(np.arange(len(self.columns)), [column.width for column in self.columns])

    def typical(self) -> np.ndarray:
        """float32 [width], a row of typical values."""
        return self._row(Column.typical)

    def absent(self) -> np.ndarray:
        """float32 [width], a row of which nothing is known."""
        return self._row(Column.absent)

    def _row(self, value: Callable[[Column], float]) -> np.ndarray:
        return np.array([value(column) for column in self.columns], np.float32)[self.owner()]

    def named(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def told(self, values: np.ndarray) -> list[str]:
        """Each column with its values of a row float32 [width]."""
        own, owner = [], self.owner()
        for place, column in enumerate(self.columns):
            held = values[owner == place]
            own.append(column.told(held[0]) if column.kind != "list" else self._told(column, held[held != OTHER]))
        return own

    def _told(self, column: Column, numbers: np.ndarray) -> str:
        names = [self.source(column).shown(number) for number in numbers]
        return f"{column.name} = {(' ' if column.words else lists.BAR).join(names) or 'nothing'}"

    def source(self, column: Column) -> Column:
        """The column whose names those in a list are."""
        return self.named(column.of) if column.of else column

    def encode(self, record: Mapping[Any, Any]) -> tuple[np.ndarray, list[str]]:
        """(float32 [width], names of the columns with something unknown). BadInput that names the column for what cannot be used."""
        known = {self.target, *self.ignored}
        unknown = [name for name in record if name not in self._numbers and name not in known]
        if unknown:
            raise BadInput(f"no column {unknown[0]!r} was learned from")
        values, unseen, place = np.zeros(self._width, np.float32), [], 0
        for column in self.columns:
            if column.name not in record:
                raise BadInput(f"column {column.name!r} is missing")
            if column.kind == "list":
                found, unknown_ones = self._list(column, record[column.name])
                values[place : place + len(found)] = found
            else:
                text = cell(record[column.name])
                values[place] = self._number(column, text)
                unknown_ones = column.kind == "category" and values[place] == OTHER and text not in self.missing
            if unknown_ones:
                unseen.append(column.name)
            place += column.width
        return values, unseen

    def _list(self, column: Column, value: Any) -> tuple[list[int], bool]:
        """The numbers that are read, and whether an id among them is unknown; of the words of a text many are."""
        try:
            text = listed(value)
            held = [] if text in self.missing else lists.words(text) if column.words else lists.ids(text)
        except BadInput as error:
            raise BadInput(f"column {column.name!r} holds {error}") from error
        numbers = [self._of_category(self.source(column), name) for name in held]
        known = [number for number in numbers if number != OTHER]
        read = known[: column.length] if column.words else known[-column.length :]
        return read, not column.words and len(known) < len(numbers)

    def _of_category(self, column: Column, text: str) -> int:
        if column.buckets:
            return OTHER if text in self.missing else column.number(text)
        return self._numbers[column.name].get(text, OTHER)

    def _number(self, column: Column, text: str) -> float:
        if column.kind == "category":
            return self._of_category(column, text)
        if text in self.missing:
            return float("nan")
        value = number(text)
        if value is None:
            raise BadInput(f"column {column.name!r} holds no number{_why_none(text)}")
        return value

    def as_dict(self) -> dict[str, Any]:
        """For JSON. What only some columns have is left out of the others, as it was before there were any."""
        held = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        return held | {"columns": [_plain(column) for column in held["columns"]]}

    @classmethod
    def of(cls, held: dict[str, Any]) -> "Schema":
        """From what `as_dict` gave."""
        return _tupled(cls, held | {"columns": [_tupled(Column, column) for column in held["columns"]]})

    def dump(self) -> str:
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1)

    @classmethod
    def read(cls, path: Path, again: str) -> "Schema":
        """That of a file. DataError when it is damaged, with what makes it again."""
        return cls.of(read_json(path, cls, again))

    def vocabulary(self) -> str:
        """What weights depend on: names, kinds, categories and classes."""
        columns = [
            (c.name, c.kind, c.categories, *(value for name in SOME if (value := getattr(c, name))))
            for c in self.columns
        ]
        return json.dumps([columns, self.target, self.labels])


def _why_none(text: str) -> str:
    """What to add of a text that might pass for a number."""
    if is_beyond(text):
        return ": infinite, or too large"
    return ": a decimal comma is read in files separated by ; or tabs only" if DECIMAL_COMMA.fullmatch(text) else ""


def _plain(column: dict[str, Any]) -> dict[str, Any]:
    """Without what only some columns have."""
    return {name: value for name, value in column.items() if value or name not in SOME}


def _tupled(kind: Any, held: dict) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in held.items()})
