"""Users to measure on: of a prepared split, or of a file, each with what is known of them and with what they took next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bmtool.config.interactions import InteractionColumns, InteractionData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example, reader_of
from bmtool.sources import rows as tables
from bmtool.sources.parts import to_measure
from bmtool.tables.interactions.store import Interactions
from bmtool.tables.sources import cell, parts_of

USER = "user"


def split(data: InteractionData, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The users who took something in a split: `raw` is a record with their history, `truth` the ids of what they took."""
    held = Interactions(prepared)
    history, truth = held.history(name), held.split(name)
    for user in np.flatnonzero(truth.counts).tolist():
        known = [held.items[item] for item in history.of(user).tolist()]
        right = [held.items[item] for item in truth.of(user).tolist()]
        raw = {USER: held.users[user], "history": known}
        yield Example(held.users[user], raw, right, fields=held.profile(user))


def key(example: Example) -> tuple:
    """What tells a user's test apart in any preparation."""
    return example.name, tuple(sorted(example.truth))


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The users of a table of interactions with the columns of the model: what they took there is right, what the model learned of them
    is known. DataError when it has no such columns."""
    if unit is not None:
        raise ConfigError("--unit is for text")
    reader = reader_of(reads[0])
    columns, found = InteractionColumns(**reader.columns), dict[str, list[str]]()
    for part in to_measure(parts_of(str(path), tally.ignore), tally.ignore):
        for row in tables.rows(part, [columns.user, columns.item]):
            tally.read += 1
            if row.values is None:
                tally.drop(row.problem, row.place)
                continue
            for column in (columns.user, columns.item):
                if column not in row.values:
                    raise DataError(f"{part} has no column {column!r}: there is nothing to compare with")
            user, item = cell(row.values[columns.user]), cell(row.values[columns.item])
            if not user or not item:
                tally.drop("no user or no item", row.place)
                continue
            found.setdefault(user, []).append(item)
    for user, items in found.items():
        known = reader.known(user)
        seen = set(known)
        if right := [item for item in dict.fromkeys(items) if item not in seen]:
            yield Example(user, {USER: user, "history": known}, right)
        else:
            tally.drop("a user who took nothing new", user)
