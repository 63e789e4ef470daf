"""Prepared interactions as training and evaluation read them: see `tables.interactions.prepare`."""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.files import parse_json
from bmtool.config.interactions import InteractionData
from bmtool.data import prepared
from bmtool.data.prepared import array
from bmtool.data.splitting import SPLITS
from bmtool.tables.interactions import catalogue
from bmtool.tables.interactions.names import Names, Texts

FORMAT, NAME = 1, "tables.interactions"


class Manifest(prepared.Manifest):
    """Of prepared interactions."""

    settings: dict[str, Any]
    fingerprint: str  # type: ignore[misc]  # always there
    # how rows came to their splits, and ties in time to their order, as a sentence
    rule: str
    # what the times are (`times.Clock.kind`); "" for none
    times: str
    # users, items, interactions and what else was counted
    counts: dict[str, float]
    warnings: list[str]
    noted: dict[str, int]
    ignored: dict[str, int]
    read: int
    kept: int
    dropped: dict[str, int]
    examples: dict[str, list[str]]


class Rows(NamedTuple):
    """Interactions by user: those of user u are at `bounds[u] : bounds[u + 1]`, the earliest first.

    `bounds` int64 [users + 1]; `items` int32, `values` float32 (ratings, 1 where there are none), `times` int64 (milliseconds since
    1970, or positions; 0 where there are none), each [rows].
    """

    bounds: np.ndarray
    items: np.ndarray
    values: np.ndarray
    times: np.ndarray

    def __len__(self) -> int:  # type: ignore[override]  # how many rows
        return len(self.items)

    @property
    def counts(self) -> np.ndarray:
        """Of each user, int64 [users]."""
        return np.diff(self.bounds)

    @property
    def users(self) -> np.ndarray:
        """Of each row, int64 [rows]."""
        return np.repeat(np.arange(len(self.bounds) - 1), self.counts)

    def of(self, user: int) -> np.ndarray:
        """What a user took, int32, the earliest first."""
        return self.items[self.bounds[user] : self.bounds[user + 1]]

    def popularity(self, items: int) -> np.ndarray:
        """How often each item was taken, int64 [items]."""
        return np.bincount(self.items, minlength=items)


class Interactions:
    """A prepared directory. Users and items are numbers (`names.Names`); ties by number are ties by a hash."""

    def __init__(self, directory: str | Path):
        """DataError that names the command to run when there is none."""
        self.path = Path(directory)
        self.manifest = prepared.read_manifest(self.path, Manifest, is_readable)
        self.users, self.items = Names.open(self.path, "users"), Names.open(self.path, "items")

    def split(self, name: str) -> Rows:
        """train, valid or test."""
        return Rows(*(array(self.path / f"{name}.{part}.npy", mapped=True) for part in Rows._fields))

    def history(self, split: str) -> Rows:
        """What is known of users when `split` is measured: the training rows, and for the test those of the validation behind them."""
        train = self.split("train")
        return train if split != "test" else merged(train, self.split("valid"))

    @cached_property
    def titles(self) -> Texts | None:
        """Of all items; None without a catalogue."""
        return self._texts(catalogue.TITLE)

    @cached_property
    def content(self) -> Texts | None:
        """What is written about all items; None without a catalogue."""
        return self._texts(catalogue.CONTENT)

    def profile(self, user: int) -> dict[str, str]:
        """The columns of a user's row; none without a table of users."""
        held = self._profiles
        if held is None or not (row := held.at(user)):
            return {}
        return parse_json(row, dict[str, str], origin=f"{self.path}: user {user + 1}", again=prepared.AGAIN)

    @cached_property
    def _profiles(self) -> Texts | None:
        return self._texts(catalogue.PROFILE)

    def _texts(self, kind: str) -> Texts | None:
        there = (self.path / f"{kind}.bounds.npy").is_file()
        return catalogue.open_texts(self.path, kind) if there else None


def merged(first: Rows, second: Rows) -> Rows:
    """The rows of both by user, those of the second behind."""
    users = np.concatenate([first.users, second.users])
    order = np.argsort(users, kind="stable")
    both = (np.concatenate(pair)[order] for pair in zip(first[1:], second[1:]))
    return Rows(first.bounds + second.bounds, *both)


def open_same(data: InteractionData) -> Interactions:
    """Those that a configuration names. ConfigError where they were prepared with other settings."""
    found = Interactions(data.prepared)
    prepared.require_same(data.prepared, setting_changes(found.manifest, data))
    return found


def settings_of(data: InteractionData) -> dict[str, Any]:
    return data.model_dump(exclude={"prepared"})


def setting_changes(manifest: Any, data: InteractionData) -> list[str]:
    return prepared.differing(manifest["settings"], settings_of(data))


def is_readable(manifest: dict) -> bool:
    """Whether it describes interactions, prepared in the format that this version reads."""
    return manifest.get("kind") == NAME and manifest.get("format") == FORMAT


ARRAYS = (*(f"{split}.{part}.npy" for split in SPLITS for part in Rows._fields),)
