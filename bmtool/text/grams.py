"""n-grams of characters or words as features of texts, in numpy: which there are, and how often and how telling they are in a text.

An n-gram is found by walking from its first symbol on: the place of what was read so far and the next symbol are one number, looked up in a
sorted table of its length. What begins a frequent n-gram is frequent too, so no table misses what another one builds on.
N texts, S symbols that occur in enough texts, F features.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

_SPACES = re.compile(r"\s\s+")
_WORDS = re.compile(r"\b\w\w+\b")
_UNICODE = 0x110000
# Characters of texts that are looked up together: what is held of them takes some 100 bytes each.
BLOCK = 1 << 20


class Kind(NamedTuple):
    """Which n-grams are counted: of `characters` or `words`, of `lowest` to `highest` of them."""

    unit: str = "characters"
    lowest: int = 1
    highest: int = 3


class Rows(NamedTuple):
    """Sparse rows one after the other: row i has the features [start[i]:start[i + 1]], in rising order, with these values."""

    start: np.ndarray
    feature: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.start) - 1

    def taken(self, places: np.ndarray) -> "Rows":
        """Some rows, in this order."""
        lengths = np.diff(self.start)[places]
        end = np.cumsum(lengths)
        at = np.repeat(self.start[places] - end + lengths, lengths) + np.arange(int(lengths.sum()))
        return Rows(np.concatenate([[0], end]), self.feature[at], self.value[at])

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """Features [N, K] and values [N, K] of equal length; feature 0 with value 0 fills up, and K is at least 1."""
        lengths = np.diff(self.start)
        places = np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None]
        feature, value = np.zeros(places.shape, np.int64), np.zeros(places.shape, np.float32)
        feature[places], value[places] = self.feature, self.value
        return feature, value


class _Symbols(NamedTuple):
    """The symbols of texts, one after the other (-1: of no use), and of each the number of its text and how many follow in it."""

    symbol: np.ndarray
    text: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class Table:
    """n-grams that are features, and the weight of each (its inverse document frequency)."""

    kind: Kind
    # what is read: code points in rising order, or words
    alphabet: np.ndarray | list[str]
    # of each length from 2 on: place of what begins it * S + symbol, in rising order
    longer: list[np.ndarray]
    # [F]
    weight: np.ndarray
    # a text that has it twice has it 1 + log 2 times
    sublinear: bool = True

    @cached_property
    def _sizes(self) -> list[int]:
        """n-grams of each length."""
        return [len(self.alphabet), *map(len, self.longer)]

    @cached_property
    def _numbers(self) -> np.ndarray | dict[str, int]:
        if isinstance(self.alphabet, list):
            return {word: number for number, word in enumerate(self.alphabet)}
        return _by_code_point(self.alphabet)

    def symbols(self, texts: Sequence[str]) -> _Symbols:
        if isinstance(self._numbers, dict):
            return _of_words(texts, self._numbers)
        return _of_characters(texts, self._numbers)

    def features(self, texts: Sequence[str]) -> Rows:
        """The features of texts with weights by frequency, of length 1 (Euclid) each; nothing where no n-gram of a text is known."""
        counted = [self._counted(block) for block in blocks(texts)]
        lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(rows.start) for rows in counted)])
        feature = np.concatenate([np.zeros(0, np.int64), *(rows.feature for rows in counted)])
        count = np.concatenate([np.zeros(0, np.float32), *(rows.value for rows in counted)])
        start = np.cumsum(lengths)
        value = (1 + np.log(count) if self.sublinear else count) * self.weight[feature]
        square = np.concatenate([[0.0], np.cumsum(np.square(value, dtype=np.float64))])
        norm = np.sqrt(square[start[1:]] - square[start[:-1]])
        return Rows(start, feature, (value / np.repeat(norm, lengths[1:])).astype(np.float32))

    def _counted(self, texts: Sequence[str]) -> Rows:
        held = self.symbols(texts)
        place, first, keys = held.symbol, 0, []
        for length, size in enumerate(self._sizes, 1):
            if length > 1:
                place = _found(self.longer[length - 2], *_extended(held, place, length, self._sizes[0]))
            if length >= self.kind.lowest:
                there = place >= 0
                keys.append(held.text[there] * len(self.weight) + place[there] + first)
                first += size
        key, count = np.unique(np.concatenate(keys), return_counts=True)
        text, feature = np.divmod(key, max(1, len(self.weight)))
        return Rows(np.searchsorted(text, np.arange(len(texts) + 1)), feature, count.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """What `of` makes it of again."""
        alphabet = self.alphabet
        if isinstance(alphabet, list):
            alphabet = np.frombuffer("\n".join(alphabet).encode(), np.uint8)
        longer = {f"longer.{length}": keys for length, keys in enumerate(self.longer, 2)}
        return {"alphabet": alphabet, "weight": self.weight} | longer

    @classmethod
    def of(cls, kind: Kind, arrays: Mapping[str, np.ndarray], *, sublinear: bool) -> "Table":
        alphabet: np.ndarray | list[str] = arrays["alphabet"]
        if kind.unit == "words":
            alphabet = arrays["alphabet"].tobytes().decode().split("\n")
        longer = [arrays[f"longer.{length}"] for length in range(2, kind.highest + 1)]
        return cls(kind, alphabet, longer, arrays["weight"], sublinear)


def blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in order, so many at once as have BLOCK characters; one text is never cut."""
    first, held = 0, 0
    for place, text in enumerate(texts):
        held += len(text)
        if held >= BLOCK:
            yield texts[first : place + 1]
            first, held = place + 1, 0
    if first < len(texts):
        yield texts[first:]


def learned(
    texts: Sequence[str], kind: Kind, *, least: int, most: int, sublinear: bool = True
) -> tuple[Table, int]:  # fmt: skip
    """The n-grams that stand in `least` texts or more, or in so many more that they are no more than `most`; and in how many they stand.

    A table without features where no n-gram does.
    """
    found = _Learning(texts, kind, least)
    while found.features() > most:
        least += 1
        found.drop_below(least)
    texts_with = np.concatenate(found.texts_with[kind.lowest - 1 :])
    weight = np.log((1 + len(texts)) / (1 + texts_with)) + 1
    return Table(kind, found.alphabet(), found.longer(), weight.astype(np.float32), sublinear), least


class _Learning:
    """n-grams of all lengths with the number of texts that hold each."""

    def __init__(self, texts: Sequence[str], kind: Kind, least: int):
        self.kind, self.least = kind, least
        held = self._read(texts)
        self.keys: list[np.ndarray] = []
        self.texts_with: list[np.ndarray] = []
        place, key, there = held.symbol, held.symbol, np.ones(len(held.symbol), bool)
        for length in range(1, kind.highest + 1):
            if length > 1:
                key, there = _extended(held, place, length, len(self.keys[0]))
            self._add(*_texts_with(key[there], held.text[there]))
            place = _found(self.keys[-1], key, there)
            if length == 1:
                held = held._replace(symbol=place)

    def _read(self, texts: Sequence[str]) -> _Symbols:
        if self.kind.unit == "words":
            self._words = sorted({word for text in texts for word in words(text)})
            return _of_words(texts, {word: number for number, word in enumerate(self._words)})
        return _of_characters(texts, np.arange(_UNICODE))

    def _add(self, key: np.ndarray, count: np.ndarray) -> None:
        kept = count >= self.least
        self.keys.append(key[kept])
        self.texts_with.append(count[kept])

    def features(self) -> int:
        return sum(map(len, self.texts_with[self.kind.lowest - 1 :]))

    def drop_below(self, least: int) -> None:
        """Take out what fewer texts have; places of what is left are new ones."""
        symbols, kept = len(self.keys[0]), [count >= least for count in self.texts_with]
        places = [np.cumsum(one) - 1 for one in kept]
        for number in range(len(self.keys) - 1, 0, -1):
            before, symbol = np.divmod(self.keys[number][kept[number]], symbols)
            self.keys[number] = places[number - 1][before] * int(kept[0].sum()) + places[0][symbol]
        self.keys[0] = self.keys[0][kept[0]]
        self.texts_with = [count[one] for count, one in zip(self.texts_with, kept)]

    def alphabet(self) -> np.ndarray | list[str]:
        return [self._words[place] for place in self.keys[0]] if self.kind.unit == "words" else self.keys[0]

    def longer(self) -> list[np.ndarray]:
        return self.keys[1:]


def words(text: str) -> list[str]:
    """Of two letters or more, in lower case."""
    return _WORDS.findall(text.lower())


def _of_words(texts: Sequence[str], numbers: Mapping[str, int]) -> _Symbols:
    found = [[numbers.get(word, -1) for word in words(text)] for text in texts]
    symbol = np.fromiter((number for text in found for number in text), np.int64)
    return _Symbols(symbol, *_laid_out([len(text) for text in found]))


def _of_characters(texts: Sequence[str], numbers: np.ndarray) -> _Symbols:
    """In lower case, with one space for several."""
    plain = [_SPACES.sub(" ", text.lower()) for text in texts]
    points = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), np.uint32)
    return _Symbols(numbers[points], *_laid_out([len(text) for text in plain]))


def _laid_out(lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of each symbol the number of its text, and how many stand in it from there on."""
    held = np.array(lengths, np.int64)
    end = np.cumsum(held)
    return np.repeat(np.arange(len(held)), held), np.repeat(end, held) - np.arange(int(held.sum()))


def _by_code_point(alphabet: np.ndarray) -> np.ndarray:
    numbers = np.full(_UNICODE, -1)
    numbers[alphabet] = np.arange(len(alphabet))
    return numbers


def _extended(held: _Symbols, place: np.ndarray, length: int, symbols: int) -> tuple[np.ndarray, np.ndarray]:
    """The key of the n-gram of `length` that begins at each symbol, and whether there is one whose parts are known."""
    following = np.full_like(place, -1)
    following[: max(0, len(place) - length + 1)] = held.symbol[length - 1 :]
    there = (place >= 0) & (following >= 0) & (held.left >= length)
    return place * symbols + following, there


def _texts_with(key: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys in rising order, and how many texts hold each; `text` never falls."""
    order = np.argsort(key, kind="stable")
    key, text = key[order], text[order]
    is_new = np.ones(len(key), bool)
    is_new[1:] = (key[1:] != key[:-1]) | (text[1:] != text[:-1])
    return np.unique(key[is_new], return_counts=True)


def _found(table: np.ndarray, key: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The place of each key in a table, -1 for what is not there."""
    found = np.full(len(key), -1)
    if len(table):
        place = np.minimum(np.searchsorted(table, key[there]), len(table) - 1)
        found[there] = np.where(table[place] == key[there], place, -1)
    return found
