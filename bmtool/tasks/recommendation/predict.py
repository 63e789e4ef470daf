"""From what was taken to what comes next, in raw ids and with reasons. numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from typing_extensions import NotRequired

from bmtool.errors import BadInput
from bmtool.measure.topn import Items
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Arrays, Backend
from bmtool.predict.inputs import lines, record
from bmtool.predict.values import Place, Ranking, Reason
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.names import UNKNOWN
from bmtool.tasks.recommendation.config import Options

FIELDS = ("history", "user", "like", "exclude", "only")
LONGEST = 10_000  # items of a history
CELLS = 1 << 23  # numbers that the model works on at once
SHOWN = 2000  # items that a page can choose from
EXPLAINED = 200  # items of a history that may be reasons, the latest
HISTORY, CONTENT, POPULARITY = "history", "content", "popularity"


class About(exported.About):
    # how the model is called in a configuration
    kind: str
    # names of the columns that it was learned from
    columns: dict[str, str | None]
    # how its data were split
    rule: str
    # what explains an answer: "parts", the sum of what each item says; "without", what each item's leaving out takes away; "" nothing
    reasons: str
    # of "parts": how much an item counts, as a share of that of the one behind it, and how many of the last count (0: all)
    decay: float
    last: int
    # numbers that an item of a history takes while the model reads it, at a guess
    width: int
    # items of a history that the model reads at most, the latest (0: all)
    longest: NotRequired[int]


@dataclass(frozen=True)
class Asked:
    """A record as it was read. `history` are the items that the model knows, the earliest first; `seen` is all that is left out unless it
    is asked for, `exclude` what always is, `only` what alone may come (None: everything)."""

    history: np.ndarray
    seen: np.ndarray
    exclude: np.ndarray
    only: np.ndarray | None
    source: Literal["history", "content", "popularity"]
    notes: tuple[str, ...] = ()


class Recommender:
    """Reads records: `history` (ids, the earliest first), or `user`, whose history is known, or `like`, one item; `exclude` and `only`.

    A history that the model has learned from is answered by the model, one of other items by what is written about them, anything else by
    popularity; the answer names which.
    """

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        self.about, self.backend, self.known_ = about, backend, Known.read(assets)
        self.columns = {key: about["columns"][key] for key in ("user", "item")}
        self.rule = about["rule"]

    def facts(self) -> dict[str, Any]:
        """The commonest items with their titles, as a page lets one choose them; what to ask for example."""
        common = np.argsort(-self.known_.taken, kind="stable")[:SHOWN].tolist()
        items = [{"item": self.name(item), "name": self.known_.title(item)} for item in common]
        return {
            "kind": self.about["kind"], "number of items": len(self.known_.items), "number of users": len(self.known_.users),
            "items": items, "example": {"history": [one["item"] for one in items[:2]]},
        }  # fmt: skip

    # --- reading ---

    def read(self, raw: Any) -> Asked:
        """BadInput for a record that asks for nothing, or for what is no list of ids."""
        given = record(raw)
        if unknown := [name for name in given if name not in FIELDS]:
            raise BadInput(f"{unknown[0]!r} means nothing: a record has {', '.join(FIELDS)}")
        if given.get("like") is not None and ("history" in given or "user" in given):
            raise BadInput("like is one item alone: leave history and user out")
        ids, notes = self._ids(given)
        numbers = self.known_.items.numbers(ids)
        notes += [f"unknown item {one!r}" for one, number in zip(ids, numbers.tolist()) if number == UNKNOWN]
        history = numbers[numbers != UNKNOWN]
        only = given.get("only")
        return replace(
            self._asked(history), exclude=self._listed(given.get("exclude") or [], "exclude"),
            only=None if only is None else self._listed(only, "only"), notes=tuple(notes),
        )  # fmt: skip

    def _ids(self, given: dict[str, Any]) -> tuple[list[str], list[str]]:
        """What was taken, and what should be said of it."""
        if given.get("like") is not None:
            return _strings([given["like"]], "like"), []
        if given.get("history") is not None:
            return _strings(given["history"], "history"), []
        if given.get("user") is None:
            raise BadInput("neither history nor user nor like: nothing to go on")
        (user,) = _strings([given["user"]], "user")
        held = self.known_.of_user(user)
        if held is None:
            return [], [f"unknown user {user!r}"]
        return [self.known_.items[item] for item in held.tolist()], []

    def _asked(self, history: np.ndarray) -> Asked:
        nothing = np.zeros(0, np.int64)
        taken = history[self.known_.taken[history] > 0]
        if self.about["kind"] == CONTENT:
            taken = history[self._says_something(history)]
        if len(taken):
            return Asked(taken, history, nothing, None, HISTORY)
        if self._says_something(history).any():
            return Asked(history, history, nothing, None, CONTENT)
        return Asked(nothing, history, nothing, None, POPULARITY)

    def _says_something(self, items: np.ndarray) -> np.ndarray:
        words = self.known_.words
        return np.zeros(len(items), bool) if words is None else words.bounds[items + 1] > words.bounds[items]

    def _listed(self, ids: Any, field: str) -> np.ndarray:
        found = self.known_.items.numbers(_strings(ids, field))
        return found[found != UNKNOWN]

    def users(self) -> Iterator[str]:
        """The ids of all users that the model knows."""
        return (self.known_.users[number] for number in range(len(self.known_.users)))

    def known(self, user: str) -> list[str]:
        """The ids of what a user is known to have taken."""
        held = self.known_.of_user(user)
        return [] if held is None else [self.known_.items[item] for item in held.tolist()]

    # --- scores ---

    def items(self) -> Items:
        return self.known_.measured()

    def number(self, ids: Sequence[str]) -> np.ndarray:
        return self.known_.items.numbers(ids)

    def name(self, number: int) -> str:
        return self.known_.items[number]

    def catalogue(self) -> bytes:
        """What tells items apart from those of another model."""
        return self.known_.items.hashes.tobytes()

    def scores(self, reads: Sequence[Asked]) -> np.ndarray:
        """float32 [N, items]."""
        out = np.zeros((len(reads), len(self.known_.items)), np.float32)
        known = [place for place, read in enumerate(reads) if read.source == HISTORY]
        out[known] = self._run([reads[place].history for place in known])
        for place, read in enumerate(reads):
            if read.source == CONTENT:
                out[place] = self.known_.alike(read.history)
            elif read.source == POPULARITY:
                out[place] = self.known_.taken
        return out

    def _run(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """The scores of all items [N, items]."""
        out = np.zeros((len(histories), len(self.known_.items)), np.float32)
        nothing = [np.zeros(0, np.int64)] * len(histories)
        for places, found in self._batches(histories, nothing, 1):
            out[places] = self.backend.numpy(found["all"])
        return out

    def _batches(
        self, histories: Sequence[np.ndarray], exclude: Sequence[np.ndarray], k: int
    ) -> Iterator[tuple[list[int], Arrays]]:
        """(places among the histories, what the model gives): those of like lengths together."""
        read = [history[-self._longest :] for history in histories]
        order, start = sorted(range(len(read)), key=lambda place: len(read[place])), 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * self._cells(len(read[order[end]])) <= CELLS:
                end += 1
            places = order[start:end]
            feeds = {
                "history": padded([read[place] for place in places]), "exclude": padded([exclude[place] for place in places]),
                "k": np.array(k),
            }  # fmt: skip
            yield places, self.backend.run("model", feeds)
            start = end

    def _cells(self, length: int) -> int:
        """Numbers that a history takes while the model reads it, at a guess."""
        return length * self.about["width"] + len(self.known_.items)

    @property
    def _longest(self) -> int:
        return self.about.get("longest") or LONGEST

    # --- answers ---

    def predict(self, reads: Sequence[Asked], options: Options = Options()) -> list[Ranking]:
        reads = self._filtered(reads, options)
        left_out = [self._left_out(read, options) for read in reads]
        best = self._best(reads, left_out, options.top)
        return [self._answer(read, *found, options) for read, found in zip(reads, best)]

    def _filtered(self, reads: Sequence[Asked], options: Options) -> list[Asked]:
        """With what files exclude, and what alone they allow."""
        exclude = None if options.exclude is None else self._listed(_of_file(options.exclude), "exclude")
        only = None if options.only is None else self._listed(_of_file(options.only), "only")
        found = list(reads)
        if exclude is not None:
            found = [replace(read, exclude=np.append(read.exclude, exclude)) for read in found]
        if only is not None:
            found = [
                replace(read, only=only if read.only is None else np.intersect1d(read.only, only)) for read in found
            ]
        return found

    def _answer(self, read: Asked, items: np.ndarray, scores: np.ndarray, options: Options) -> Ranking:
        if not len(items):
            return Ranking((), read.source, (*read.notes, "nothing is left to recommend"))
        reasons = self._reasons(read, items, options.reasons)
        places = [
            Place(self.name(item), self.known_.title(item), score, because)
            for item, score, because in zip(items.tolist(), scores.tolist(), reasons)
        ]
        return Ranking(tuple(places), read.source, read.notes)

    def _left_out(self, read: Asked, options: Options) -> np.ndarray:
        """Each once."""
        out = read.exclude if options.seen else np.append(read.exclude, read.seen)
        if read.only is not None:
            out = np.append(out, np.setdiff1d(np.arange(len(self.known_.items)), read.only))
        return np.unique(out).astype(np.int64)

    def _best(
        self, reads: Sequence[Asked], left_out: Sequence[np.ndarray], top: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each the best items and their scores, of what is not left out."""
        out = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(reads)
        known = [place for place, read in enumerate(reads) if read.source == HISTORY]
        k = min(top, len(self.known_.items))
        batches = self._batches([reads[place].history for place in known], [left_out[place] for place in known], k)
        for places, found in batches:
            listed = zip(places, self.backend.numpy(found["items"]), self.backend.numpy(found["scores"]))
            for place, items, scores in listed:
                there = scores > -np.inf
                out[known[place]] = items[there], scores[there]
        for place in (place for place, read in enumerate(reads) if read.source != HISTORY):
            scores = self.scores([reads[place]])[0]
            scores[left_out[place]] = -np.inf
            items = np.argsort(-scores, kind="stable")[:k]
            items = items[scores[items] > -np.inf]
            out[place] = items, scores[items]
        return out

    # --- why ---

    def _reasons(self, read: Asked, items: np.ndarray, count: int) -> list[tuple[Reason, ...]]:
        """Of each item the items of the history that add most to its score, if they add anything."""
        how = self.about["reasons"] if read.source == HISTORY else "parts" if read.source == CONTENT else ""
        if not how or not count or not len(read.history):
            return [()] * len(items)
        history = read.history[-min(EXPLAINED, self._longest) :]
        added = self._added(replace(read, history=history), items, how)
        return [self._most(history, column, count) for column in added.T]

    def _added(self, read: Asked, items: np.ndarray, how: str) -> np.ndarray:
        """[history, items]."""
        history = read.history
        if read.source == CONTENT:
            return np.stack([self.known_.alike(history[place : place + 1])[items] for place in range(len(history))])
        if how == "without":
            rest = [np.delete(history, place) for place in range(len(history))]
            without = self._run(rest) if len(history) > 1 else np.zeros((1, len(self.known_.items)), np.float32)
            return self._run([history])[0][items] - without[:, items]
        alone = self._run([history[place : place + 1] for place in range(len(history))])[:, items]
        return (alone - self._run([history[:0]])[:, items]) * self._counts(len(history))[:, None]

    def _counts(self, length: int) -> np.ndarray:
        """How much each item of a history counts, as `modules.steps` has it."""
        behind = np.arange(length)[::-1]
        last = self.about["last"] or length
        return self.about["decay"] ** behind * (behind < last)

    def _most(self, history: np.ndarray, added: np.ndarray, count: int) -> tuple[Reason, ...]:
        order = np.argsort(-added, kind="stable")[:count]
        return tuple(
            Reason(self.name(int(history[place])), self.known_.title(int(history[place])), float(added[place]))
            for place in order.tolist()
            if added[place] > 0
        )

    # --- probes ---

    def probes(self, count: int) -> list[Asked]:
        """Histories of one to twenty of the items that were taken, and one of nothing."""
        random, warm = np.random.default_rng(0), np.flatnonzero(self.known_.taken)
        histories = [random.choice(warm, min(len(warm), 1 + number % 20), replace=False) for number in range(count - 1)]
        return [self._asked(history) for history in [*histories, np.zeros(0, np.int64)]]


def padded(histories: Sequence[np.ndarray]) -> np.ndarray:
    """int64 [N, longest], at least one place each, UNKNOWN behind the last."""
    width = max(1, max(map(len, histories), default=1))
    out = np.full((len(histories), width), UNKNOWN, np.int64)
    for row, history in zip(out, histories):
        row[: len(history)] = history
    return out


def _strings(value: Any, field: str) -> list[str]:
    """Ids; a number is its text."""
    if not isinstance(value, list) or len(value) > LONGEST:
        raise BadInput(f"{field}: a list of at most {LONGEST:,} ids is wanted")
    if set(map(type, value)) - {str, int}:
        raise BadInput(f"{field}: ids are texts")
    return [str(one) for one in value]


def _of_file(path: str) -> list[str]:
    """Ids, one a line."""
    return [line for _, line in lines(path) if line]


def predictor(about: dict[str, Any], backend: Backend, assets: Assets) -> Recommender:
    return Recommender(about, backend, assets)
