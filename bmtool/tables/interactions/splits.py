"""Which interactions are learned from and which are measured on, and what was counted on the way. All over rows on the disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bmtool.config.interactions import InteractionData
from bmtool.data.splitting import SPLITS
from bmtool.errors import DataError
from bmtool.tables.interactions.names import Names
from bmtool.tables.interactions.spill import Spill, shuffle

TRAIN, VALID, TEST = range(3)
LEFT_OUT = -2
ROUNDS = 10_000  # of the k-core


@dataclass
class Counted:
    """What was found in the rows."""

    repeated: int = 0
    ties: int = 0
    rows: int = 0
    cored: dict[str, int] = field(default_factory=dict)


def in_order(spill: Spill, data: InteractionData) -> Counted:
    """Each user's rows by time, ties by a hash; of the same user and item the last alone. Without times rows stay as they came."""
    found = Counted()
    for part, rows in enumerate(spill):
        kept = _latest(rows)
        keys = (shuffle(kept, data.tie_seed), kept["time"]) if data.columns.time else (np.arange(len(kept)),)
        ordered = kept[np.lexsort((*keys, kept["user"]))]
        found.repeated += len(rows) - len(kept)
        found.rows += len(kept)
        found.ties += _tied(ordered) if data.columns.time else 0
        spill.replace(part, ordered)
    return found


def _latest(rows: np.ndarray) -> np.ndarray:
    """Of the same user and item the last one by time, and of the same time the last one of the file."""
    order = np.lexsort((np.arange(len(rows)), rows["time"], rows["item"], rows["user"]))
    is_followed = np.append(_same(rows[order], "user", "item"), np.zeros(min(1, len(rows)), bool))
    return rows[np.sort(order[~is_followed])]


def _tied(ordered: np.ndarray) -> int:
    """How many rows have the time of another of the same user."""
    if not len(ordered):
        return 0
    tied = _same(ordered, "user", "time")
    return int((np.append(tied, False) | np.append(False, tied)).sum())


def _same(rows: np.ndarray, *fields: str) -> np.ndarray:
    """bool [N - 1]: whether a row has what the next one has."""
    return np.logical_and.reduce([rows[name][1:] == rows[name][:-1] for name in fields])


def core(spill: Spill, users: Names, items: Names, least: int) -> tuple[Names, Names]:
    """Leave out users and items with fewer than `least` rows until there are none; the names that are left."""
    if least <= 1:
        return users, items
    there = [np.ones(len(users), bool), np.ones(len(items), bool)]
    for _ in range(ROUNDS):
        counts = [np.zeros(len(users), np.int64), np.zeros(len(items), np.int64)]
        for rows in spill:
            mine, theirs = users.ranks(rows["user"]), items.ranks(rows["item"])
            alive = there[0][mine] & there[1][theirs]
            counts[0] += np.bincount(mine[alive], minlength=len(users))
            counts[1] += np.bincount(theirs[alive], minlength=len(items))
        after = [count >= least for count in counts]
        if all((new == old).all() for new, old in zip(after, there)):
            break
        there = [new & old for new, old in zip(after, there)]
    for part, rows in enumerate(spill):
        spill.replace(part, rows[there[0][users.ranks(rows["user"])] & there[1][items.ranks(rows["item"])]])
    return users.take(there[0]), items.take(there[1])


def assign(spill: Spill, data: InteractionData) -> str:
    """Give each row its split; the rule as a sentence."""
    match data.split:
        case "time":
            first, second = _moments(spill, data)
            _each(spill, lambda rows: np.searchsorted([first, second], rows["time"], side="right"))
            return "by time over all users; what happened in one moment is in one split"
        case "last":
            _each(spill, _last)
            ties = f"ties in time are broken by a hash (seed {data.tie_seed})"
            return (
                f"of each user with three rows or more the last is the test, the one before it the validation; {ties}"
            )
        case "hash":
            _each(spill, lambda rows: _by_hash(rows, data))
            return f"by a hash of user and item (seed {data.tie_seed})"
    return "as given"


def _each(spill: Spill, split_of) -> None:
    for part, rows in enumerate(spill):
        if len(rows):
            rows["split"] = split_of(rows)
            spill.replace(part, rows)


def _moments(spill: Spill, data: InteractionData) -> tuple[int, int]:
    """When the validation and when the test begins. DataError where all happened at once."""
    times = np.concatenate([rows["time"] for rows in spill])
    times.sort()
    count = len(times)
    at = [
        min(count - 1, round(count * (1 - data.valid_share - data.test_share))),
        min(count - 1, round(count * (1 - data.test_share))),
    ]
    first, second = (int(times[place]) for place in at)
    second = second if data.test_share else int(times[-1]) + 1
    first = first if data.valid_share else second
    if times[0] >= first:
        raise DataError(
            "data.split: too many interactions are of one time for a split by time: choose split: last, or hash, or smaller shares"
        )
    return first, second


def _last(rows: np.ndarray) -> np.ndarray:
    """Rows are by user and time."""
    starts = np.flatnonzero(np.append(True, ~_same(rows, "user")))
    counts = np.diff(np.append(starts, len(rows)))
    split, ends = np.full(len(rows), TRAIN), (starts + counts)[counts >= 3]
    split[ends - 1], split[ends - 2] = TEST, VALID
    return split


def _by_hash(rows: np.ndarray, data: InteractionData) -> np.ndarray:
    share = shuffle(rows, data.tie_seed + 1) / 2.0**64
    split = np.where(share < data.valid_share, VALID, TRAIN)
    return np.where((share >= data.valid_share) & (share < data.valid_share + data.test_share), TEST, split)


def by_split(spill: Spill) -> Iterator[tuple[int, np.ndarray]]:
    """(split, its rows) of each part, parts in order."""
    for rows in spill:
        for number in range(len(SPLITS)):
            yield number, rows[rows["split"] == number]
