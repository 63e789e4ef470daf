"""Raw ids as numbers. The number of an id is the rank of its hash: it depends neither on the order of rows nor on how ids are written,
so whoever breaks a tie by number breaks it by a hash.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bmtool.data.prepared import array
from bmtool.errors import DataError

UNKNOWN = -1
PENDING = 1 << 20  # ids that are gathered before they are merged
TAKEN = 1 << 18  # strings that are copied together
FEW = 1 << 21  # ids that are looked up in a dictionary
PARTS = ("hashes", "bounds", "text")


def hashes(ids: Sequence[str]) -> np.ndarray:
    """uint64 [N]."""
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


class Texts(NamedTuple):
    """Strings as bytes beside each other: string n is `text[bounds[n] : bounds[n + 1]]` in UTF-8."""

    bounds: np.ndarray
    text: np.ndarray

    @classmethod
    def of(cls, strings: Iterable[str]) -> "Texts":
        held = [one.encode() for one in strings]
        bounds = np.cumsum([0, *map(len, held)], dtype=np.int64)
        return cls(bounds, np.frombuffer(b"".join(held), np.uint8))

    def __len__(self) -> int:  # type: ignore[override]  # how many strings
        return len(self.bounds) - 1

    def at(self, number: int) -> str:
        return self.text[self.bounds[number] : self.bounds[number + 1]].tobytes().decode()

    def every(self) -> list[str]:
        whole, bounds = self.text.tobytes(), self.bounds.tolist()
        return [whole[start:end].decode() for start, end in pairwise(bounds)]

    def take(self, numbers: np.ndarray) -> "Texts":
        """Those strings, in that order."""
        lengths = np.diff(self.bounds)[numbers]
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        text = np.empty(bounds[-1], np.uint8)
        # A part at a time: places take eight times as much room as what stands there.
        for start in range(0, len(numbers), TAKEN):
            part = slice(start, start + TAKEN)
            first, count = bounds[start], lengths[part].sum()
            places = np.arange(count) + np.repeat(
                self.bounds[numbers[part]] - (bounds[:-1][part] - first), lengths[part]
            )
            text[first : first + count] = self.text[places]
        return Texts(bounds, text)


class Names:
    """All ids of one kind, such as users: hashes uint64 [N], rising, and their texts."""

    def __init__(self, hashed: np.ndarray, texts: Texts):
        self.hashes, self.texts = hashed, texts

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Names":
        gathering = Gathering()
        gathering.add(list(ids))
        return gathering.names()

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> "Names":
        """From what `arrays` gave."""
        return cls(arrays["hashes"].astype(np.uint64), Texts(arrays["bounds"], arrays["text"]))

    @classmethod
    def open(cls, folder: Path, kind: str) -> "Names":
        return cls.read({part: array(folder / f"{kind}.{part}.npy", mapped=True) for part in PARTS})

    def arrays(self) -> dict[str, np.ndarray]:
        """By the names in PARTS; hashes as int64, which every format of arrays has."""
        return {"hashes": self.hashes.astype(np.int64), "bounds": self.texts.bounds, "text": self.texts.text}

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, number: int) -> str:
        return self._every[number] if len(self) <= FEW else self.texts.at(number)

    @cached_property
    def _every(self) -> list[str]:
        return self.texts.every()

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._every)}

    def numbers(self, ids: Sequence[str]) -> np.ndarray:
        """int64 [N], UNKNOWN for an id that is none of these."""
        if len(self) <= FEW:
            known = self._number
            return np.fromiter(map(known.get, ids, repeat(UNKNOWN)), np.int64, len(ids))
        found = self.ranks(hashes(ids))
        right = [rank != UNKNOWN and self.texts.at(rank) == one for rank, one in zip(found.tolist(), ids)]
        return np.where(right, found, UNKNOWN)

    def ranks(self, hashed: np.ndarray) -> np.ndarray:
        """int64 [N] of hashes [N], UNKNOWN for those that are not here."""
        if not len(self):
            return np.full(len(hashed), UNKNOWN)
        places = np.searchsorted(self.hashes, hashed).clip(max=len(self) - 1)
        return np.where(self.hashes[places] == hashed, places, UNKNOWN)

    def take(self, chosen: np.ndarray) -> "Names":
        """Those that are chosen (bool [N])."""
        return Names(self.hashes[chosen], self.texts.take(np.flatnonzero(chosen)))


class Gathering:
    """Names as they are met, in memory for each distinct id once: its bytes and 16 more."""

    def __init__(self) -> None:
        self._merged = Names(np.zeros(0, np.uint64), Texts.of([]))
        self._pending = dict[str, int]()

    def add(self, ids: Sequence[str]) -> np.ndarray:
        """Their hashes, uint64 [N]."""
        new = list(dict.fromkeys(one for one in ids if one not in self._pending))
        self._pending.update(zip(new, hashes(new).tolist()))
        found = np.fromiter((self._pending[one] for one in ids), np.uint64, len(ids))
        if len(self._pending) > PENDING:
            self._merge()
        return found

    def names(self) -> Names:
        self._merge()
        return self._merged

    def _merge(self) -> None:
        """DataError for two ids with one hash."""
        hashed = np.fromiter(self._pending.values(), np.uint64, len(self._pending))
        both = Texts.of(self._pending)
        old = self._merged
        known = old.ranks(hashed)
        for place in np.flatnonzero(known != UNKNOWN).tolist():
            _require_equal(old.texts.at(int(known[place])), both.at(place))
        fresh = np.flatnonzero(known == UNKNOWN)
        order = np.argsort(hashed[fresh], kind="stable")
        fresh = fresh[order]
        for place in np.flatnonzero(np.diff(hashed[fresh]) == 0).tolist():
            _require_equal(both.at(int(fresh[place])), both.at(int(fresh[place + 1])))
        self._merged, self._pending = _joined(old, Names(hashed[fresh], both.take(fresh))), {}


def _joined(old: Names, new: Names) -> Names:
    """Both, by hash."""
    hashed = np.concatenate([old.hashes, new.hashes])
    order = np.argsort(hashed, kind="stable")
    bounds = np.concatenate([old.texts.bounds, old.texts.bounds[-1] + new.texts.bounds[1:]])
    texts = Texts(bounds, np.concatenate([old.texts.text, new.texts.text]))
    return Names(hashed[order], texts.take(order))


def _require_equal(one: str, other: str) -> None:
    if one != other:
        raise DataError(
            f"the ids {one!r} and {other!r} have the same hash, which should not happen: rename one of them"
        )
