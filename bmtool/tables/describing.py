"""What the columns of a table hold, from its training rows: said by the configuration, or guessed, and the guess is said."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np

from bmtool.base.delimited import DECIMAL_COMMA, is_beyond, number
from bmtool.config.table import MANY_ROWS, Columns, Wanted
from bmtool.errors import BadInput, DataError
from bmtool.tables import lists
from bmtool.tables.columns import Column

NEARLY = 0.9  # of the values that are numbers: then the others look like mistakes
CODE = re.compile(r"0[0-9]+")  # of digits that are a name: 01000 is not the number 1000
DATE = re.compile(r"[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}([T ].*)?|[0-9]{1,2}([-/.])[0-9]{1,2}\3[0-9]{4}( .*)?")
MOST = 100_000  # words or ids of a list that has its own; the commonest


def describe(name: str, cells: Sequence[str], missing: Sequence[str], asked: Columns) -> tuple[Column, str]:
    """A column from its training cells, and what should be said of the guess ("" for nothing)."""
    absent, wanted = Counter(text for text in cells if text in missing), asked.wanted(name)
    there = [text for text in cells if text not in absent]
    if wanted.kind == "list":
        return _list(name, there, dict(absent), wanted), ""
    kind, said = _kind(name, there, wanted)
    if kind == "category":
        return _category(name, there, dict(absent), wanted), said
    values = [value for text in there if (value := number(text)) is not None]
    held = np.array(values, np.float64) if values else np.zeros(1)
    figures = (float(f(held)) for f in (np.median, np.mean, np.std, np.min, np.max))
    median, mean, deviation, low, high = figures
    return Column(name, "number", dict(absent), median, mean, deviation or 1.0, low, high), said


def _category(name: str, there: Sequence[str], absent: dict[str, int], wanted: Wanted) -> Column:
    if wanted.buckets:
        return Column(name, "category", absent, buckets=wanted.buckets)
    names, counts = _counted(Counter(there), wanted.least)
    if len(names) > MANY_ROWS:
        raise DataError(
            f"column {name!r} has {len(names):,} categories, and {MANY_ROWS:,} can be told apart: raise data.columns.min_count, "
            f"or name it in data.columns.hashed"
        )
    return Column(name, "category", absent, categories=names, counts=counts)


def _list(name: str, there: Sequence[str], absent: dict[str, int], wanted: Wanted) -> Column:
    """Of histories whose ids are those of another column nothing is counted."""
    made = Column(name, "list", absent, length=wanted.length, of=wanted.of, words=wanted.words)
    if wanted.of:
        return made
    names, counts = _counted(_rows_with(there, lists.words if wanted.words else lists.ids), wanted.least)
    return replace(made, categories=names[:MOST], counts=counts[:MOST])


def _rows_with(there: Sequence[str], read: Callable[[str], list[str]]) -> Counter[str]:
    """How many cells hold each id or word; those that are no list are dropped, and counted, when they are encoded."""
    found = Counter[str]()
    for text, count in Counter(there).items():
        with suppress(BadInput):
            found.update(dict.fromkeys(read(text), count))
    return found


def _counted(found: Counter[str], least: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names that are there so often at least, by falling frequency, and how often."""
    kept = sorted(((n, c) for n, c in found.items() if c >= least), key=lambda item: (-item[1], item[0]))
    names, counts = zip(*kept) if kept else ((), ())
    return names, counts


def _kind(name: str, there: Sequence[str], wanted: Wanted) -> tuple[Literal["number", "category"], str]:
    if wanted.kind in ("number", "category"):
        return wanted.kind, ""
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
