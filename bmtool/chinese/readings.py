"""How each hanzi of a text is read: longest match over pypinyin's phrases, done for a whole block of text at once.

The result is that of `pypinyin.lazy_pinyin`: in every run of hanzi the longest phrase of the dictionary is taken from left to
right and read as the dictionary says; a hanzi outside any phrase has its commonest reading. Instead of walking over the text,
every position follows the phrase trie in step (one table look-up a depth), and overlaps are then resolved from the left.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from bmtool.chinese.hanzi import hanzi_runs, is_hanzi
from bmtool.chinese.pinyin import read_toned
from bmtool.chinese.syllables import SYLLABLES
from bmtool.errors import DataError

UNREAD = 0  # number of "no reading" among the toned readings
UNCERTAIN_SHARE = 0.1  # of a hanzi's phrases that read it in another way
# Outside phrases these are practically always read in their commonest way, though many phrases read them otherwise.
_CLEAR = frozenset("的了着没都被给呢呗哦谁哪")


@dataclass(frozen=True)
class Readings:
    """For a text as code points: `toned` numbers Labeller.toned; `guessed` marks hanzi whose reading no phrase settled."""

    toned: np.ndarray  # uint16, UNREAD where there is no hanzi or no reading is known
    guessed: np.ndarray  # bool


class Labeller:
    """Reads text. `entries` (word -> one toned or toneless reading a hanzi) goes before pypinyin's own dictionary.

    `toned` lists the readings by number ("", "zhong1", ..., tone 5 the neutral one, no digit where the tone is unknown);
    `toneless` gives for each the number of its syllable in SYLLABLES plus one, and `tone` its tone, 0 to 5.
    """

    def __init__(self, entries: dict[str, tuple[str, ...]] | None = None):
        single, phrases = _dictionary()
        single, phrases = dict(single), dict(phrases)
        for word, reading in (entries or {}).items():
            if len(word) == 1:
                single[word] = reading[0]
            else:
                phrases[word] = reading
        self.toned = ["", *sorted({r for r in single.values()} | {r for p in phrases.values() for r in p})]
        number = {name: index for index, name in enumerate(self.toned)}
        syllable = {name: index for index, name in enumerate(SYLLABLES, start=1)}
        self.toneless = np.array([syllable.get(name.rstrip("12345"), 0) for name in self.toned], np.uint16)
        self.tone = np.array([int(name[-1]) if name[-1:].isdigit() else 0 for name in self.toned], np.uint8)
        self._single = np.zeros(1 << 16, np.uint16)
        for hanzi, reading in single.items():
            self._single[ord(hanzi)] = number[reading]
        self._trie = _Trie(phrases)
        self._phrase_start = np.cumsum([0, *map(len, phrases)]).astype(np.int64)
        self._phrase_readings = np.array([number[r] for p in phrases.values() for r in p], np.uint16)
        self._uncertain = np.zeros(1 << 16, bool)
        self._uncertain[[ord(hanzi) for hanzi in _uncertain(single, phrases)]] = True

    def read(self, code_points: np.ndarray) -> Readings:
        """The readings of a text; code points (any integer dtype) outside the basic plane count as no hanzi."""
        text = np.where(code_points < (1 << 16), code_points, 0).astype(np.uint16)
        toned = self._single[text]
        guessed = self._uncertain[text]
        starts, phrases = self._trie.longest(text)
        first = self._phrase_start[phrases]
        lengths = self._phrase_start[phrases + 1] - first
        for depth in range(int(lengths.max(initial=0))):
            inside = lengths > depth
            starts, first, lengths = starts[inside], first[inside], lengths[inside]
            toned[starts + depth] = self._phrase_readings[first + depth]
            guessed[starts + depth] = False
        return Readings(toned, guessed)

    def lazy(self, text: str, *, tones: bool = False) -> list[str]:
        """One reading for every hanzi of `text`, "" where none is known: `toneless`, or with tone numbers."""
        toned = self.read(code_points(text)).toned
        names = self.toned if tones else ["", *SYLLABLES]
        numbers = toned if tones else self.toneless[toned]
        return [names[number] for character, number in zip(text, numbers) if is_hanzi(character)]


@lru_cache(maxsize=4)
def labeller(entries: tuple = ()) -> Labeller:
    """The Labeller of these (word, readings) entries; made once."""
    return Labeller(dict(entries))


def code_points(text: str) -> np.ndarray:
    """uint32 [characters]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class _Trie:
    """All prefixes of the phrases as numbered states; edges in one open-addressed hash table, so that many are followed at once."""

    _MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, phrases: dict[str, tuple[str, ...]]):
        edges: dict[int, int] = {}
        ends: dict[int, int] = {}
        for number, phrase in enumerate(phrases):
            state = 0
            for character in phrase:
                state = edges.setdefault(state << 16 | ord(character), len(edges) + 1)
            ends[state] = number
        self._phrase = np.full(len(edges) + 1, -1, np.int32)
        self._phrase[list(ends)] = list(ends.values())
        self._first = np.zeros(1 << 16, np.int32)
        for key, state in edges.items():
            if key < (1 << 16):
                self._first[key] = state
        self._bits = max(16, len(edges).bit_length() + 3)
        self._keys = np.zeros(1 << self._bits, np.int64)  # 0 is no key: no phrase holds U+0000
        self._next = np.zeros(1 << self._bits, np.int32)
        keys = np.fromiter(edges, np.int64, len(edges))
        for wanted, key, state in zip(self._slots(keys).tolist(), keys.tolist(), edges.values()):
            slot = wanted
            while self._keys[slot]:
                slot = (slot + 1) % len(self._keys)
            self._keys[slot], self._next[slot] = key, state

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys.view(np.uint64) * self._MULTIPLIER) >> np.uint64(64 - self._bits)).astype(np.int64)

    def _follow(self, state: np.ndarray, character: np.ndarray) -> np.ndarray:
        """The next state of each, 0 where the trie has no such edge."""
        keys = state.astype(np.int64) << 16 | character
        slots = self._slots(keys)
        held = self._keys[slots]
        out = np.where(held == keys, self._next[slots], 0)
        clash = np.flatnonzero((held != keys) & (held != 0))
        while len(clash):
            slots[clash] = (slots[clash] + 1) % len(self._keys)
            held = self._keys[slots[clash]]
            out[clash] = np.where(held == keys[clash], self._next[slots[clash]], 0)
            clash = clash[(held != keys[clash]) & (held != 0)]
        return out

    def longest(self, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(start, phrase number) of the phrases met when the longest is taken from left to right; `text` is uint16."""
        best = np.full(len(text), -1, np.int32)
        size = np.zeros(len(text), np.uint8)
        padded = np.append(text, np.uint16(0))
        state = self._first[text]
        position = np.flatnonzero(state)
        state, depth = state[position], 1
        while len(position):
            state = self._follow(state, padded[position + depth])
            alive = np.flatnonzero(state)
            position, state, depth = position[alive], state[alive], depth + 1
            phrase = self._phrase[state]
            ends = phrase >= 0
            best[position[ends]], size[position[ends]] = phrase[ends], depth
        starts = np.flatnonzero(size)
        starts = starts[_leftmost(starts, starts + size[starts])]
        return starts, best[starts]


def _leftmost(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Of intervals sorted by start, the mask of those that a walk from the left takes, skipping what overlaps the last one taken."""
    taken = np.zeros(len(starts), bool)
    left = np.arange(len(starts))
    while len(left):
        start, end = starts[left], ends[left]
        free = np.append(True, start[1:] >= np.maximum.accumulate(end)[:-1])  # nothing before it reaches into it
        taken[left[free]] = True
        covered = np.maximum.accumulate(np.where(free, end, 0))
        left = left[~free & (start >= covered)]
    return taken


def _uncertain(single: dict[str, str], phrases: dict[str, tuple[str, ...]]) -> set[str]:
    """Hanzi that at least UNCERTAIN_SHARE of their phrases read otherwise than `single` does, tones aside."""
    uses: Counter = Counter()
    other: Counter = Counter()
    for phrase, readings in phrases.items():
        for hanzi, reading in zip(phrase, readings):
            uses[hanzi] += 1
            other[hanzi] += reading.rstrip("12345") != single.get(hanzi, "").rstrip("12345")
    return {h for h, count in other.items() if h not in _CLEAR and count >= max(1, UNCERTAIN_SHARE * uses[h])}


@lru_cache(maxsize=1)
def _dictionary() -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """pypinyin's readings with tone numbers: of single hanzi, and of its phrases of two or more hanzi."""
    from pypinyin.contrib.tone_convert import to_tone3
    from pypinyin.phrases_dict import phrases_dict
    from pypinyin.pinyin_dict import pinyin_dict

    @cache
    def toned(reading: str) -> str:
        return to_tone3(reading, neutral_tone_with_five=True).replace("ü", "v")

    single = {chr(code): toned(readings.split(",")[0]) for code, readings in pinyin_dict.items() if is_hanzi(chr(code))}
    phrases = {
        phrase: tuple(toned(reading[0]) for reading in readings)
        for phrase, readings in phrases_dict.items()
        if len(phrase) > 1 and all(map(is_hanzi, phrase))
    }
    return single, phrases


def heteronyms() -> dict[str, tuple[str, ...]]:
    """Every toneless syllable that pypinyin's dictionary gives for a hanzi, the commonest first."""
    from pypinyin.contrib.tone_convert import to_normal
    from pypinyin.pinyin_dict import pinyin_dict

    found: dict[str, dict[str, None]] = defaultdict(dict)
    known, bare = frozenset(SYLLABLES), cache(to_normal)
    for code, readings in pinyin_dict.items():
        for reading in readings.split(","):
            if (syllable := bare(reading)) in known:
                found[chr(code)][syllable] = None
    return {hanzi: tuple(syllables) for hanzi, syllables in found.items()}


def load_dictionary(path: Path) -> dict[str, tuple[str, ...]]:
    """A reading dictionary: a line each of word, tab, its readings (`重庆	chong qing` or `chong2 qing4`); # starts a comment.

    Raises DataError with file and line for a word that is not all hanzi, an unknown syllable, or a wrong number of them.
    """
    entries: dict[str, tuple[str, ...]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the reading dictionary {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        word, tab, given = line.partition("\t")
        readings = [read_toned(syllable) for syllable in given.split()]
        if not tab or hanzi_runs(word) != [word]:
            raise DataError(f"{path}:{number}: expected hanzi, a tab and their readings, found {line!r}")
        if None in readings:
            raise DataError(f"{path}:{number}: {given.split()[readings.index(None)]!r} is no pinyin syllable")
        if len(readings) != len(word):
            raise DataError(f"{path}:{number}: {len(word)} hanzi but {len(readings)} readings")
        entries[word] = tuple(readings)
    return entries
