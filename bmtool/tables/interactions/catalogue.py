"""What is known of items: titles to show, words to compare; and of users: what groups they are in."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.config.interactions import InteractionData
from bmtool.data.prepared import array
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError
from bmtool.tables.interactions import reading
from bmtool.tables.interactions.names import UNKNOWN, Names, Texts

TITLE, CONTENT, PROFILE = "items.titles", "items.content", "users.profiles"
SHOWN = 20  # columns that an error names
ONLY_THERE = "items of the catalogue without an interaction, which content alone can recommend"
NOT_THERE = "items without a line in the catalogue"


def items(data: InteractionData, tally: Tally) -> dict[str, tuple[str, str]]:
    """id -> title and content, of every line of the catalogue; the last of several counts."""
    if (asked := data.items) is None:
        return {}
    found = dict[str, tuple[str, str]]()
    wanted = [*([asked.title] if asked.title else []), *asked.text]
    for name, cells in reading.table(asked.source, asked.item, "data.items", tally):
        if missing := [column for column in wanted if column not in cells]:
            raise ConfigError(
                f"data.items: {asked.source} has no column {missing[0]!r}{suggest(missing[0], cells)} "
                f"(columns are {few(list(cells), SHOWN)})"
            )
        title = cells[asked.title] if asked.title else ""
        found[name] = title or name, "|".join(cells[column] for column in asked.text)
    return found


def users(data: InteractionData, tally: Tally) -> dict[str, str]:
    """id -> the other columns of its row, as JSON."""
    if (asked := data.users) is None:
        return {}
    return {
        name: json.dumps({key: text for key, text in cells.items() if key != asked.user}, ensure_ascii=False)
        for name, cells in reading.table(asked.source, asked.user, "data.users", tally)
    }


def write(folder: Path, kind: str, texts: Iterator[str]) -> None:
    bounds, text = Texts.of(texts)
    np.save(folder / f"{kind}.bounds.npy", bounds)
    np.save(folder / f"{kind}.text.npy", text)


def open_texts(folder: Path, kind: str) -> Texts:
    return Texts(array(folder / f"{kind}.bounds.npy", mapped=True), array(folder / f"{kind}.text.npy", mapped=True))


def joined(names: Names, more: dict[str, tuple[str, str]]) -> Names:
    """Those of the interactions, and those that the catalogue alone has."""
    found = names.numbers(list(more))
    alone = [name for name, number in zip(more, found.tolist()) if number == UNKNOWN]
    if not alone:
        return names
    return Names.of([*names.texts.every(), *alone])
