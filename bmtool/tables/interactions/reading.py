"""Interactions from their files: rows of text to hashes and numbers, with the place of whatever cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.delimited import number
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.config.interactions import InteractionData
from bmtool.data.splitting import SPLITS, with_own
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.sources import rows as tables
from bmtool.tables.interactions.names import Gathering
from bmtool.tables.interactions.spill import ROW, Spill
from bmtool.tables.interactions.times import Clock
from bmtool.tables.sources import cell, parts_of

CHUNK = 1 << 16  # rows that are turned into numbers together
SHOWN = 20  # names of columns in an error
LONGEST = 1 << 12  # characters of an id
NOT_GIVEN = -1
Cells = tuple[str, str, int, float, int]  # user, item, time, rating, split


@dataclass
class Read:
    """What was met while rows were read."""

    tally: Tally
    users: Gathering = field(default_factory=Gathering)
    items: Gathering = field(default_factory=Gathering)
    clock: Clock = field(default_factory=Clock)


def sources(data: InteractionData, tally: Tally) -> list[tuple[str, str | None]]:
    """(file, the split that all its rows go to, None: another rule says)."""
    found = [
        (str(part.path), part.split if data.split == "given" else None) for part in parts_of(data.source, tally.ignore)
    ]
    return with_own(data, found, lambda source: parts_of(source, tally.ignore))


def read(data: InteractionData, spill: Spill, tally: Tally, limit: int | None = None) -> Read:
    """All rows that can be used, to the disk. DataError where a column is not there, or times are a mix."""
    found = Read(tally)
    for source, split in sources(data, tally):
        rows = _rows(Path(source), data, split, found)
        chosen = islice(rows, limit)
        while chunk := list(islice(chosen, CHUNK)):
            spill.add(_numbers(chunk, found))
            tally.kept += len(chunk)
    return found


def _numbers(chunk: list[Cells], found: Read) -> np.ndarray:
    users, items, times, values, splits = zip(*chunk)
    rows = np.empty(len(chunk), ROW)
    rows["user"], rows["item"] = found.users.add(users), found.items.add(items)
    rows["time"], rows["value"], rows["split"] = times, values, splits
    return rows


def _rows(path: Path, data: InteractionData, split: str | None, found: Read) -> Iterator[Cells]:
    tally, of_file = found.tally, NOT_GIVEN if split is None else SPLITS.index(split)
    if split is None and data.split == "given" and data.columns.split is None:
        of_file = SPLITS.index("train")
    for row in tables.rows(path, data.columns.named):
        tally.read += 1
        if row.values is None:
            tally.drop(row.problem, row.place)
            continue
        _require_columns(row, data)
        try:
            yield _cells(row.values, row.place, data=data, clock=found.clock, split=of_file)
        except BadInput as error:
            tally.drop(str(error), row.place)


def _require_columns(row: tables.Row, data: InteractionData) -> None:
    if missing := [name for name in data.columns.named if name not in row.values]:
        raise DataError(
            f"{row.place.rpartition(':')[0]} has no column {missing[0]!r}{suggest(missing[0], row.values)} "
            f"(columns are {few(list(row.values), SHOWN)}): set data.columns"
        )


def _cells(values: dict[str, Any], place: str, *, data: InteractionData, clock: Clock, split: int) -> Cells:
    """BadInput for what cannot be used."""
    columns = data.columns
    user, item = _id(values[columns.user], "user"), _id(values[columns.item], "item")
    rating = 1.0 if columns.rating is None else _rating(cell(values[columns.rating]))
    if data.min_rating is not None and rating < data.min_rating:
        raise BadInput(f"a rating below {data.min_rating:g}")
    time = 0 if columns.time is None else _time(cell(values[columns.time]), place, clock)
    if columns.split is not None:
        split = _split(cell(values[columns.split]))
    return user, item, time, rating, split


def _id(value: Any, kind: str) -> str:
    text = cell(value)
    if not text:
        raise BadInput(f"no {kind}")
    if len(text) > LONGEST:
        raise BadInput(f"a {kind} of more than {LONGEST:,} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"a {kind} with half of a surrogate pair") from error
    return text


def _rating(text: str) -> float:
    value = number(text)
    if value is None:
        raise BadInput("no rating" if not text else "a rating that is no number")
    return value


def _time(text: str, place: str, clock: Clock) -> int:
    if not text:
        raise BadInput("no time")
    return clock.read(text, place)


def _split(text: str) -> int:
    if text not in SPLITS:
        raise BadInput("a split that is none of train, valid and test")
    return SPLITS.index(text)


# --- tables beside them ---


def table(source: str, key: str, setting: str, tally: Tally) -> Iterator[tuple[str, dict[str, str]]]:
    """(id, cells) of each row of a table of items or users. ConfigError without its column of ids."""
    for part in parts_of(source, tally.ignore):
        for row in tables.rows(part.path):
            if row.values is None:
                tally.drop(row.problem, row.place)
                continue
            if key not in row.values:
                raise ConfigError(
                    f"{setting}: {part.path} has no column {key!r}{suggest(key, row.values)} (columns are {few(list(row.values), SHOWN)})"
                )
            cells = {name: _text(value) for name, value in row.values.items()}
            if not cells[key]:
                tally.drop("no id", row.place)
                continue
            yield cells[key], cells


def _text(value: Any) -> str:
    """As text; a list of words has | between them, and what has no form is nothing."""
    if isinstance(value, list):
        return "|".join(_text(one) for one in value)
    try:
        text = cell(value)
        text.encode()
    except (BadInput, UnicodeEncodeError):
        return ""
    return text
