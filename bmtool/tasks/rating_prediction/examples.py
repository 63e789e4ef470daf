"""Ratings to measure on: of a prepared split, or of a file, each with who, what, and the rating that is right."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bmtool.base.delimited import number
from bmtool.config.interactions import InteractionData
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example, reader_of
from bmtool.sources import rows as tables
from bmtool.sources.parts import to_measure
from bmtool.tables.interactions.store import Interactions
from bmtool.tables.sources import cell, parts_of

# Columns that figures may be parted by (`evaluate --by`): how many ratings of training there are of the user, and of the item.
ACTIVITY, POPULARITY = "user_ratings", "item_ratings"


def split(data: InteractionData, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The ratings of a split, by user."""
    held, columns = Interactions(prepared), data.columns
    rows, train = held.split(name), held.split("train")
    active, popular = train.counts, train.popularity(len(held.items))
    for user, item, value in zip(rows.users.tolist(), rows.items.tolist(), rows.values.tolist()):
        raw = {columns.user: held.users[user], columns.item: held.items[item]}
        fields = held.profile(user) | {ACTIVITY: str(active[user]), POPULARITY: str(popular[item])}
        yield Example(f"{held.users[user]}, {held.items[item]}", raw, float(value), fields=fields)


def key(example: Example) -> tuple:
    """What tells a rating apart in any preparation."""
    return *example.raw.values(), example.truth


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The rows of a table with the columns of the model. DataError when it has none of ratings."""
    if unit is not None:
        raise ConfigError("--unit is for text")
    reader = reader_of(reads[0])
    ids = [reader.columns["user"], reader.columns["item"]]
    for part in to_measure(parts_of(str(path), tally.ignore), tally.ignore):
        for row in tables.rows(part):
            tally.read += 1
            if row.values is None:
                tally.drop(row.problem, row.place)
                continue
            if missing := [column for column in (*ids, reader.target) if column not in row.values]:
                raise DataError(f"{part} has no column {missing[0]!r}: there is nothing to compare with")
            if (right := _rating(row.values[reader.target])) is None:
                tally.drop("a rating that is no number", row.place)
                continue
            yield Example(row.place, {column: row.values[column] for column in ids}, right, fields=row.values)


def _rating(value: Any) -> float | None:
    try:
        return number(cell(value))
    except BadInput:
        return None
