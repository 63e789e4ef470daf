"""Which split the rows of a table are of where they are not told apart by a hash: by when they were, or by a column of their own."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from bmtool.config.table import FieldData, TableData
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, DataError
from bmtool.sources.parts import SPLIT_OF
from bmtool.tables.interactions.times import Clock


class Kept(NamedTuple):
    """A row whose target is there: a number in text, or the name of a class."""

    place: str
    cells: dict[str, str]
    split: str


def settled(data: TableData, kept: list[Kept], tally: Tally) -> tuple[list[Kept], list[str]]:
    """The rows with their splits, and what should be said of these; those that have none are dropped and counted."""
    if not isinstance(data, FieldData) or data.split == "hash" or not kept:
        return kept, []
    if data.split == "given":
        return list(_given(kept, str(data.columns.split), tally)), []
    return _by_time(data, kept, tally)


def _given(kept: list[Kept], column: str, tally: Tally) -> Iterator[Kept]:
    for row in kept:
        named = _cell(row, column, "data.columns.split")
        if (split := SPLIT_OF.get(named.casefold())) is None:
            tally.drop(f"a split that is none of train, valid and test ({column})", row.place, named)
        else:
            yield row._replace(split=split)


def _by_time(data: FieldData, kept: list[Kept], tally: Tally) -> tuple[list[Kept], list[str]]:
    """The latest `test_share` of the rows are the test, those before them the validation; rows of one time stay together."""
    dated = list(_dated(kept, str(data.columns.time), tally))
    times = sorted(when for when, _ in dated)
    at = (round(len(times) * (1 - data.valid_share - data.test_share)), round(len(times) * (1 - data.test_share)))
    first, last = (times[place] if place < len(times) else float("inf") for place in at)
    if not times or times[0] == min(first, last):
        raise DataError(f"{data.source}: no row is before the others in {data.columns.time!r}: split by hash instead")
    together = sum(1 for before, after in pairwise(times) if before == after)
    said = f"split by {data.columns.time!r}: {together:,} of {len(times):,} rows have the time of the row before them, and stay with it"
    found = [
        row._replace(split="test" if when >= last else "valid" if when >= first else "train") for when, row in dated
    ]
    return found, [said] if together else []


def _dated(kept: Sequence[Kept], column: str, tally: Tally) -> Iterator[tuple[float, Kept]]:
    clock = Clock()
    for row in kept:
        text = _cell(row, column, "data.columns.time")
        try:
            yield clock.read(text, row.place), row
        except BadInput as error:
            tally.drop(f"{error} ({column})", row.place, text)


def _cell(row: Kept, column: str, key: str) -> str:
    if column not in row.cells:
        raise DataError(f"{row.place.rpartition(':')[0]} has no column {column!r}: set {key}")
    return row.cells[column]
