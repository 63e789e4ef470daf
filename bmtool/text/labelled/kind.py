"""What a task adds to preparing labelled text."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.sources.rows import Row


class Draft(NamedTuple):
    """An example as it came: `texts` in the order of the task's columns, `target` as JSON has it, and the other columns of its row."""

    place: str  # file:line
    texts: tuple[str, ...]
    target: Any
    fields: dict[str, str]
    split: str


def same_text(texts: Sequence[str]) -> tuple[str, ...]:
    """What is equal for texts that differ in white space, or in how their characters are composed, alone."""
    return tuple(" ".join(unicodedata.normalize("NFC", text).split()) for text in texts)


# What is found out from training examples and kept as schema.json, such as the names of classes.
Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How a task reads rows. Columns have the names that the task calls them by; `data.columns` says how a file does."""

    # of the task
    task: str
    # the version of what is read out of a row: raised when a change gives other examples
    rules: int
    # columns of text; rows of windows are cut from the last
    texts: tuple[str, ...]
    # columns that hold what is right
    targets: tuple[str, ...]
    # the columns of targets and those beside of a row, and its texts -> the target, as JSON has it; BadInput for what cannot be used
    read: Callable[[Mapping[str, Any], tuple[str, ...]], Any]
    # training examples -> the schema; DataError when there is nothing to learn
    describe: Callable[[Sequence[Draft]], Schema]
    # why an example does not go with a schema, such as a class that no training example has; "" where it does
    unfit: Callable[[Draft, Schema], str]
    # suffix -> rows of a format of the task's own, with the columns as the task calls them
    formats: Mapping[str, Callable[[Path], Iterator[Row]]] = field(default_factory=dict)
    # rows of a file as tools write theirs -> with the columns as the task calls them; a problem beside values is noted, and the row is kept
    rows: Callable[[Iterator[Row]], Iterator[Row]] = lambda rows: rows
    # columns that say more about what is right, where a file has them
    beside: tuple[str, ...] = ()
    # what examples of a split are counted by: a name for each class -> how often, in an example
    counted: Callable[[Any], Sequence[str]] = lambda target: ()
    # what is found of all examples that should be said
    warnings: Callable[[Sequence[Draft], Schema], Iterator[str]] = lambda drafts, schema: iter(())
