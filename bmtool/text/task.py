"""What a task adds to preparing text, and what it gives back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bmtool.text.records import DIALOGUES


@dataclass
class Encoded:
    """Sentences as the task's numbers: flat `fields` (name -> 1-D array), and the examples that are cut from them."""

    fields: dict[str, np.ndarray]
    starts: np.ndarray  # int64 [examples]: where each example begins in the fields
    lengths: np.ndarray  # int64 [examples]
    rows: np.ndarray  # int64 [examples]: the sentence each comes from
    dropped: list[tuple[int, str]] = field(default_factory=list)  # sentence, reason
    flagged: list[tuple[int, str]] = field(default_factory=list)  # sentence, what to know about it


@dataclass
class Counts:
    """How often each number occurred."""

    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        joined = np.concatenate([self.keys, keys])
        self.keys, at = np.unique(joined, return_inverse=True)
        weights = np.concatenate([self.counts, counts])
        self.counts = np.bincount(at, weights, len(self.keys)).astype(np.int64)


@dataclass(frozen=True)
class TextTask:
    """What a task adds. `encode`, `count` and `learn` are sent to workers, so they can be pickled.

    A sentence is a line of text, or a record: its texts, then its targets as JSON, with a tab between them. `encode` takes sentences,
    their keys (uint64) and which of them are for training; where the task learns, also `learned=`, the directory of what was learned.
    """

    name: str
    rules: int  # the version of `encode`, `count` and `learn`: raise it when a change in them gives other numbers
    columns: tuple[str, ...]  # that a record may have in place of "text"
    settings: dict  # all that `encode` and `count` depend on, as JSON; by the names of the `data` section where they come from it
    inputs: dict  # what `finish` depends on beside the counts, as JSON
    encode: Callable[..., Encoded]
    count: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]  # fields of a split -> numbers to count, by name
    finish: Callable[[Path, dict[str, dict[str, Counts]]], dict]  # directory, split -> counts -> part of the manifest
    targets: tuple[str, ...] = ()  # of the columns, those that are kept as they are
    dialogue: bool = False  # sources hold dialogues: the text of a sentence is all that is said, its target the turns
    # A fixed sample of the training sentences -> file name -> contents. The files go into the prepared directory.
    learn: Callable[[Iterator[str]], dict[str, bytes]] | None = None
    learning: dict = field(default_factory=dict)  # all that `learn` depends on, as `settings`

    @property
    def ways(self) -> tuple[tuple[str, ...], ...]:
        """The columns that a record may have, in one way or another."""
        if self.dialogue:
            return tuple(layout.columns for layout in DIALOGUES)
        return (self.columns,) if "text" in self.columns else (("text",), *([self.columns] if self.columns else []))
