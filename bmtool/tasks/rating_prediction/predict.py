"""From who and what to a rating, in raw ids and with what it is made of. numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bmtool.errors import BadInput
from bmtool.predict import exported
from bmtool.predict.assets import Assets, arrays
from bmtool.predict.backends import Backend
from bmtool.predict.inputs import record
from bmtool.predict.values import Rating, Term
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.names import UNKNOWN
from bmtool.tables.sources import cell
from bmtool.tasks.rating_prediction.config import Options

RATINGS = "ratings.safetensors"
CELLS = 1 << 22  # numbers of what the model is run on at once
TERMS = ("mean", "user", "item", "factors")
VALUE, REASONS = "value", "reasons"
EPSILON = 1e-6


class About(exported.About):
    # how the model is called in a configuration
    kind: str
    # names of the columns of users and items
    columns: dict[str, str]
    # that of ratings
    target: str
    # how the data were split
    rule: str
    # the lowest and the highest rating of training, and their standard deviation
    low: float
    high: float
    spread: float
    # what the ratings of the user (items) and those of the item (users) are taken for: "value", "reasons" alone, or "" nothing
    reads: dict[str, str]
    # numbers that a row takes beside them, at a guess
    width: int


class Asked(NamedTuple):
    """A row as it was read; `user` and `item` are -1 for those of whom training had no rating."""

    user: int
    item: int
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        known = [name for name, number in (("user", self.user), ("item", self.item)) if number != UNKNOWN]
        return " and ".join(known) or "mean"


class Rows(NamedTuple):
    """Ratings by user or by item: those of row r are at `bounds[r] : bounds[r + 1]`."""

    bounds: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(columns int64 [B, L], -1 behind the last; values float32 [B, L]) of rows, none of an unknown one."""
        start, count = self.bounds[rows], self.counts(rows)
        width = np.arange(max(1, count.max(initial=1)))
        there = width < count[:, None]
        place = np.where(there, start[:, None] + width, 0)
        return np.where(there, self.columns[place], UNKNOWN).astype(np.int64), np.where(there, self.values[place], 0)

    def counts(self, rows: np.ndarray) -> np.ndarray:
        return np.where(rows < 0, 0, np.diff(self.bounds)[rows])


class Predictor:
    """Reads rows with a user and an item, by the names of their columns."""

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        self.about, self.backend, self.known = about, backend, Known.read(assets)
        self.columns, self.target, self.rule = about["columns"], about["target"], about["rule"]
        self.spread = about["spread"]
        values = np.asarray(arrays(assets, RATINGS)["values"])
        self.by_user = Rows(self.known.bounds, self.known.history, values)

    @cached_property
    def by_item(self) -> Rows:
        order = np.argsort(self.known.history, kind="stable")
        users = np.repeat(np.arange(len(self.known.users)), np.diff(self.known.bounds))
        return Rows(np.concatenate([[0], np.cumsum(self.known.taken)]), users[order], self.by_user.values[order])

    def facts(self) -> dict[str, Any]:
        """What a model card says of it, and what a form that asks for a row is made from."""
        names = {"user": self.known.users, "item": self.known.items}
        example = {self.columns[key]: held[0] for key, held in names.items()}
        return {
            "kind": self.about["kind"], "target": self.target, "scale": f"{self.about['low']:g} to {self.about['high']:g}",
            "users": len(self.known.users), "items": len(self.known.items), "example": example,
            "columns": [{"name": name, "kind": "id", "example": one} for name, one in example.items()],
        }  # fmt: skip

    # --- reading ---

    def read(self, raw: Any) -> Asked:
        """From a JSON object, or name -> value; other columns are passed over. BadInput without a user or an item."""
        given = record(raw)
        ids = {key: _id(given, self.columns[key]) for key in ("user", "item")}
        numbers, notes = [], []
        for key, held in (("user", self.known.users), ("item", self.known.items)):
            number = int(held.numbers([ids[key]])[0])
            told = (
                f"unknown {key} {ids[key]!r}" if number == UNKNOWN else f"training has no rating of {key} {ids[key]!r}"
            )
            number = number if self._is_rated(key, number) else UNKNOWN
            numbers.append(number)
            notes += [told] if number == UNKNOWN else []
        return Asked(*numbers, tuple(notes))

    def _is_rated(self, kind: str, number: int) -> bool:
        if number == UNKNOWN:
            return False
        return bool(self.known.taken[number] if kind == "item" else np.diff(self.known.bounds[number : number + 2])[0])

    # --- numbers ---

    def numbers(self, reads: Sequence[Asked]) -> np.ndarray:
        """float [N]."""
        users, items = (np.array([getattr(one, name) for one in reads], np.int64) for name in ("user", "item"))
        return self.values(users, items)

    def values(self, users: np.ndarray, items: np.ndarray, *, output: str = "value") -> np.ndarray:
        """float32 [N] of users and items by number, unknown ones -1; an output of the model that has one number for each."""
        out = np.zeros(len(users), np.float32)
        for places in self._batches(users, items, {VALUE}):
            out[places] = self._run(users[places], items[places], {VALUE})[output]
        return out

    def _run(self, users: np.ndarray, items: np.ndarray, reads: set[str]) -> dict[str, np.ndarray]:
        rated, ratings = self.by_user.of(
            users if self.about["reads"]["items"] in reads else np.full(len(users), UNKNOWN)
        )
        raters, given = self.by_item.of(
            items if self.about["reads"]["users"] in reads else np.full(len(users), UNKNOWN)
        )
        feeds = {
            "user": users, "item": items, "rated": rated, "ratings": ratings.astype(np.float32), "raters": raters,
            "given": given.astype(np.float32),
        }  # fmt: skip
        found = self.backend.run("model", feeds)
        return {name: self.backend.numpy(values) for name, values in found.items()} | {"rated": rated, "raters": raters}

    def _batches(self, users: np.ndarray, items: np.ndarray, reads: set[str]) -> Iterator[np.ndarray]:
        """Places of rows that read about as many ratings, as many as there is room for."""
        asks = self.about["reads"]
        lengths = [
            rows.counts(numbers) if asks[name] in reads else np.zeros(len(users), np.int64)
            for name, rows, numbers in (("items", self.by_user, users), ("users", self.by_item, items))
        ]
        size = sum(lengths) + self.about["width"]
        order, start = np.argsort(size, kind="stable"), 0
        while start < len(order):
            left = size[order[start:]]
            count = max(1, int((left * np.arange(1, len(left) + 1) <= CELLS).sum()))
            yield order[start : start + count]
            start += count

    # --- answers ---

    def predict(self, reads: Sequence[Asked], options: Options = Options()) -> list[Rating]:
        users, items = (np.array([getattr(one, name) for one in reads], np.int64) for name in ("user", "item"))
        asks, out = {VALUE, REASONS} if options.reasons else {VALUE}, [Rating(0.0)] * len(reads)
        for places in self._batches(users, items, asks):
            found = self._run(users[places], items[places], asks)
            for row, place in enumerate(places.tolist()):
                out[place] = self._rating(reads[place], {name: values[row] for name, values in found.items()}, options)
        return out

    def _rating(self, read: Asked, found: dict[str, np.ndarray], options: Options) -> Rating:
        """Of one row of what the model says."""
        value, whole = float(found["value"]), float(found["unclipped"])
        shown = [*self._terms(read, found["terms"]), *self._reasons(found, options.reasons)]
        rest = whole - sum(term.adds for term in shown)
        shown += [Term("others", "", "", rest)] if abs(rest) > EPSILON else []
        notes = read.notes
        if value != whole:
            shown.append(Term("scale", "", "", value - whole))
            notes = (
                *notes,
                f"{whole:.4g} is outside of the ratings of training ({self.about['low']:g} to {self.about['high']:g})",
            )
        return Rating(value, self.spread, notes, read.source, tuple(shown))

    def _terms(self, read: Asked, terms: np.ndarray) -> Iterator[Term]:
        names = {"user": "" if read.user == UNKNOWN else self.known.users[read.user]}
        names["item"] = "" if read.item == UNKNOWN else self.known.items[read.item]
        for what, adds in zip(TERMS, terms.tolist()):
            title = self.known.title(read.item) if what == "item" and names["item"] else names.get(what, "")
            if what in ("mean", "user", "item") or abs(adds) > EPSILON:
                yield Term(what, names.get(what, ""), title, adds)

    def _reasons(self, found: dict[str, np.ndarray], count: int) -> list[Term]:
        """The ratings of the user, and those of the item by others, that change most."""
        rated, raters = found["rated"], found["raters"]
        terms = [
            Term("rated", self.known.items[item], self.known.title(item), adds)
            for item, adds in _largest(rated, found["by_item"], count)
        ]
        terms += [
            Term("rater", self.known.users[user], self.known.users[user], adds)
            for user, adds in _largest(raters, found["by_user"], count)
        ]
        return sorted(terms, key=lambda term: -abs(term.adds))[:count]

    # --- probes ---

    def probes(self, count: int) -> list[Asked]:
        """Pairs of those who are known; of the last ones the user, the item, and both are not."""
        random = np.random.default_rng(0)
        known = (np.flatnonzero(np.diff(self.known.bounds)), np.flatnonzero(self.known.taken))
        users, items = (random.choice(held, count).tolist() for held in known)
        found = [Asked(user, item) for user, item in zip(users, items)]
        return [*found[:-3], Asked(UNKNOWN, items[-3]), Asked(users[-2], UNKNOWN), Asked(UNKNOWN, UNKNOWN)][-count:]


def _id(given: dict[str, Any], column: str) -> str:
    if column not in given:
        raise BadInput(f"no column {column!r}")
    if not (found := cell(given[column])):
        raise BadInput(f"nothing in column {column!r}")
    return found


def _largest(names: np.ndarray, adds: np.ndarray, count: int) -> Iterator[tuple[int, float]]:
    for place in np.argsort(-np.abs(adds), kind="stable")[:count].tolist():
        if names[place] != UNKNOWN and abs(adds[place]) > EPSILON:
            yield int(names[place]), float(adds[place])


def predictor(about: dict[str, Any], backend: Backend, assets: Assets) -> Predictor:
    return Predictor(about, backend, assets)
