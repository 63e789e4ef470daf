"""What the columns of a table hold, and how a row becomes numbers: one code for preparing and for predicting."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bmtool.base.delimited import DECIMAL_COMMA, is_beyond, number
from bmtool.base.files import read_json
from bmtool.config.table import Columns
from bmtool.errors import BadInput
from bmtool.tables.sources import cell

NEARLY = 0.9  # of the values that are numbers: then the others look like mistakes
CODE = re.compile(r"0[0-9]+")  # of digits that are a name: 01000 is not the number 1000
DATE = re.compile(r"[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}([T ].*)?|[0-9]{1,2}([-/.])[0-9]{1,2}\3[0-9]{4}( .*)?")
OTHER = 0  # the number of a category that is missing, or was not among the training rows


@dataclass(frozen=True)
class Column:
    """A column as the training rows have it: figures of the values that are there; `missing` counts the others by how they are written."""

    name: str
    kind: Literal["number", "category"]
    missing: dict[str, int]
    median: float = 0.0
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0
    categories: tuple[str, ...] = ()  # by falling frequency; the first is number 1
    counts: tuple[int, ...] = ()

    def told(self, value: float) -> str:
        """The column with a value as `Schema.encode` gives it: "age = 70"."""
        if self.kind == "category":
            return f"{self.name} = {self.categories[int(value) - 1] if value != OTHER else 'missing'}"
        return f"{self.name} = {'missing' if np.isnan(value) else f'{value:.6g}'}"

    def typical(self) -> float:
        """The median, or the number of the commonest category."""
        return self.median if self.kind == "number" else 1.0 if self.categories else float(OTHER)


@dataclass(frozen=True)
class Schema:
    """All that turns a row into the numbers float32 [columns] of a model: numbers as they are, NaN where missing; categories by number."""

    columns: tuple[Column, ...]
    target: str
    ignored: tuple[str, ...]
    missing: tuple[str, ...]  # what stands for a missing value
    labels: tuple[str, ...] = ()  # names of the classes, where the target is one
    positive: int | None = None
    mean: float = 0.0  # of a target that is a number
    deviation: float = 1.0
    _numbers: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.columns:
            self._numbers[column.name] = {name: n for n, name in enumerate(column.categories, start=1)}

    def encode(self, record: Mapping[Any, Any]) -> tuple[np.ndarray, list[str]]:
        """(float32 [columns], names of the columns whose category is unknown). BadInput that names the column for what cannot be used."""
        known = {self.target, *self.ignored}
        unknown = [name for name in record if name not in self._numbers and name not in known]
        if unknown:
            raise BadInput(f"no column {unknown[0]!r} was learned from")
        values, unseen = np.empty(len(self.columns), np.float32), []
        for place, column in enumerate(self.columns):
            if column.name not in record:
                raise BadInput(f"column {column.name!r} is missing")
            text = cell(record[column.name])
            values[place] = self._number(column, text)
            if column.kind == "category" and values[place] == OTHER and text not in self.missing:
                unseen.append(column.name)
        return values, unseen

    def _number(self, column: Column, text: str) -> float:
        if column.kind == "category":
            return self._numbers[column.name].get(text, OTHER)
        if text in self.missing:
            return float("nan")
        value = number(text)
        if value is None:
            raise BadInput(f"column {column.name!r} holds no number{_why_none(text)}")
        return value

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in asdict(self).items() if name != "_numbers"}

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
        columns = [(column.name, column.kind, column.categories) for column in self.columns]
        return json.dumps([columns, self.target, self.labels])


def _why_none(text: str) -> str:
    """What to add of a text that might pass for a number."""
    if is_beyond(text):
        return ": infinite, or too large"
    return ": a decimal comma is read in files separated by ; or tabs only" if DECIMAL_COMMA.fullmatch(text) else ""


def _tupled(kind: Any, held: dict) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in held.items()})


# --- from training rows ---


def describe(name: str, cells: Sequence[str], missing: Sequence[str], asked: Columns) -> tuple[Column, str]:
    """A column from its training cells, and what should be said of the guess ("" for nothing)."""
    absent = Counter(text for text in cells if text in missing)
    there = [text for text in cells if text not in absent]
    values = [value for text in there if (value := number(text)) is not None]
    kind, said = _kind(name, there, asked)
    if kind == "category":
        counted = sorted(Counter(there).items(), key=lambda item: (-item[1], item[0]))
        names, counts = zip(*counted) if counted else ((), ())
        return Column(name, "category", dict(absent), categories=names, counts=counts), said
    held = np.array(values, np.float64) if values else np.zeros(1)
    figures = (float(f(held)) for f in (np.median, np.mean, np.std, np.min, np.max))
    median, mean, deviation, low, high = figures
    return Column(name, "number", dict(absent), median, mean, deviation or 1.0, low, high), said


def _kind(name: str, there: Sequence[str], asked: Columns) -> tuple[Literal["number", "category"], str]:
    if name in asked.numeric:
        return "number", ""
    if name in asked.categorical:
        return "category", ""
    if said := _beyond(there):
        return "number", f"column {name!r} {said}"
    doubt = _doubt(there)
    if doubt is None:
        return "number", ""
    return "category", f"column {name!r} is taken for categories, though {doubt}" if doubt else ""


def _beyond(there: Sequence[str]) -> str:
    """What should be said of values that are numbers but for some that are beyond all numbers; "" where others are among them, or none."""
    odd = [text for text in there if number(text) is None]
    if not odd or not all(map(is_beyond, odd)):
        return ""
    return (
        f"is infinite or too large in {len(odd):,} of {len(there):,} rows ({odd[0]!r}), which are left out: "
        "name in data.missing what stands for a missing value"
    )


def _doubt(there: Sequence[str]) -> str | None:
    """What of values that are no numbers, or not all, should be said: "" for names, None where all are numbers."""
    odd = [text for text in there if number(text) is None]
    commas, dates = ([text for text in odd if form.fullmatch(text)] for form in (DECIMAL_COMMA, DATE))
    most, numbers = NEARLY * len(there), len(there) - len(odd)
    if numbers + len(commas) >= most and (code := next(filter(CODE.fullmatch, there), None)):
        return f"it holds digits: {code!r} begins with 0, as names do; if these are numbers, name it in data.columns.numeric"
    if not odd:
        return None
    if dates and len(dates) >= most:
        return f"it holds dates ({dates[0]!r}): put it in data.columns.ignore, or make numbers of what matters (days since, month)"
    if commas and numbers + len(commas) >= most:
        return f"it holds numbers with a decimal comma ({commas[0]!r}), read in files separated by ; or tabs only: write points"
    if numbers < most:
        return ""
    return (
        f"{numbers:,} of {len(there):,} values are numbers (not {odd[0]!r}): "
        "name it in data.columns.numeric, or in data.missing what stands for a missing value"
    )
