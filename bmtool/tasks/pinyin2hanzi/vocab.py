"""What the model's numbers mean: inputs (syllables and copy classes), hanzi, and the candidates of every syllable."""

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from bmtool.base.files import read_json, write_text
from bmtool.chinese.hanzi import gb2312
from bmtool.chinese.pinyin import COPY_CLASSES, VERSION, Token, copy_class
from bmtool.chinese.readings import heteronyms
from bmtool.chinese.syllables import SYLLABLES
from bmtool.chinese.variants import READINGS
from bmtool.data.prepared import AGAIN
from bmtool.errors import DataError
from bmtool.text.seq2seq.specials import PAD, UNKNOWN

FILE = "vocab.json"
INPUTS = ("<pad>", *COPY_CLASSES, *SYLLABLES)
INPUT_ID = {name: number for number, name in enumerate(INPUTS)}
# Hanzi ids begin behind those of seq2seq.specials and one that stands for a copy.
COPY = UNKNOWN + 1
SPECIALS = COPY + 1
Hanzi = Annotated[str, Field(pattern=r"^[\x{1}-\x{FFFF}]$")]


def input_id(token: Token) -> int:
    """The model's input number of a syllable or copy."""
    return INPUT_ID[copy_class(token) if token.is_copy else token.text]


class Held(TypedDict):
    """A `Vocabulary` as JSON."""

    format: int
    rules: int
    inputs: list[str]
    candidates: dict[str, dict[Hanzi, Annotated[int, Field(ge=0)]]]


class Vocabulary:
    """Candidates (hanzi with counts, commonest first) of every syllable, and the numbering that follows from them.

    A *pair* is one (syllable, hanzi) candidate; the pairs of a syllable are consecutive. A *hanzi id* numbers each hanzi once,
    after the SPECIALS.
    """

    def __init__(self, candidates: dict[str, dict[str, int]]):
        self.candidates = {s: candidates[s] for s in SYLLABLES if candidates.get(s)}
        self.hanzi = "".join(sorted({h for readings in self.candidates.values() for h in readings}))
        self._hanzi_id = {h: SPECIALS + number for number, h in enumerate(self.hanzi)}
        sizes = [len(self.candidates.get(name, ())) for name in INPUTS]
        self.pair_start = np.cumsum([0, *sizes]).astype(np.int64)  # [inputs + 1]
        pairs = [(h, n) for name in INPUTS for h, n in self.candidates.get(name, {}).items()]
        self.pair_hanzi = "".join(h for h, _ in pairs)
        self.pair_count = np.array([n for _, n in pairs], np.int64)
        self.pair_target = np.array([self._hanzi_id[h] for h, _ in pairs], np.int64)  # hanzi id of each pair
        self._pair = {
            (name, h): int(start) + offset
            for name, start in zip(INPUTS, self.pair_start)
            for offset, h in enumerate(self.candidates.get(name, ()))
        }
        self._usual: dict[str, int] | None = None

    @property
    def pairs(self) -> int:
        return len(self.pair_hanzi)

    @property
    def targets(self) -> int:
        return SPECIALS + len(self.hanzi)

    def candidate_count(self, input_number: int) -> int:
        return int(self.pair_start[input_number + 1] - self.pair_start[input_number])

    def pairs_of(self, inputs: np.ndarray) -> np.ndarray:
        """The pairs of every input [...], int64 [..., C]; -1 behind those of an input that has fewer than others. C is at least 1."""
        start, end = self.pair_start[inputs][..., None], self.pair_start[inputs + 1][..., None]
        pairs = start + np.arange(max(1, (end - start).max()))
        return np.where(pairs < end, pairs, -1)

    def pair_id(self, input_number: int, hanzi: str) -> int:
        """The pair's number, -1 when `hanzi` is no candidate of that input."""
        return self._pair.get((INPUTS[input_number], hanzi), -1)

    def hanzi_id(self, hanzi: str) -> int:
        """The number of a hanzi, PAD when it is not in the vocabulary."""
        return self._hanzi_id.get(hanzi, PAD)

    def usual_input(self, hanzi: str) -> int | None:
        """The input that the hanzi is read with most often; None when it is not in the vocabulary."""
        if self._usual is None:
            best: dict[str, tuple[int, int]] = {}
            for (name, h), count in zip(self._pair, self.pair_count.tolist()):
                if h not in best or count > best[h][0]:
                    best[h] = count, INPUT_ID[name]
            self._usual = {h: number for h, (_, number) in best.items()}
        return self._usual.get(hanzi)

    def pair_lookup(self) -> np.ndarray:
        """Sorted keys `input * 65536 + code point` beside pair numbers, int64 [2, pairs], for `find_pairs`."""
        keys = np.array([INPUT_ID[s] << 16 | ord(h) for s, h in self._pair], np.int64)
        order = np.argsort(keys)
        return np.stack([keys[order], np.fromiter(self._pair.values(), np.int64)[order]])

    def target_lookup(self) -> np.ndarray:
        """Code point (BMP) -> hanzi id, UNKNOWN where there is none."""
        table = np.full(1 << 16, UNKNOWN, np.int64)
        for hanzi, number in self._hanzi_id.items():
            table[ord(hanzi)] = number
        return table

    def held(self) -> Held:
        return {"format": 1, "rules": VERSION, "inputs": list(INPUTS), "candidates": self.candidates}

    def to_json(self) -> str:
        value = self.held()
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def save(self, directory: Path) -> None:
        write_text(directory / FILE, self.to_json())

    @classmethod
    def from_dict(cls, value: Held, origin: str) -> "Vocabulary":
        if value["inputs"] != list(INPUTS) or value["rules"] != VERSION:
            raise DataError(
                f"{origin} was made with other pinyin rules (version {value['rules']}, this is {VERSION}): prepare the data again"
            )
        return cls(value["candidates"])

    @classmethod
    def load(cls, directory: Path) -> "Vocabulary":
        """The vocabulary of a prepared data set or of a run (which keeps it under assets/)."""
        for path in (directory / FILE, directory / "assets" / FILE):
            if path.is_file():
                return cls.from_dict(read_json(path, Held, f"{AGAIN}, or train the run again"), str(path))
        raise DataError(f"no {FILE} in {directory}: expected a run directory or prepared data: train that run first")


def find_pairs(lookup: np.ndarray, inputs: np.ndarray, code_points: np.ndarray) -> np.ndarray:
    """Pair number of every (input, code point), -1 where there is none; arrays of one shape."""
    keys = inputs << 16 | code_points
    at = np.minimum(np.searchsorted(lookup[0], keys), lookup.shape[1] - 1)
    return np.where(lookup[0][at] == keys, lookup[1][at], -1)


def build(observed: dict[tuple[str, str], int], *, min_count: int, charset: str) -> Vocabulary:
    """A vocabulary from counts of (syllable, hanzi).

    A hanzi enters when it was seen `min_count` times in all, or belongs to `charset`; it is a candidate of every syllable it was
    seen with, of every reading that pypinyin's dictionary gives it, and of those that the table of variants gives it.
    """
    total: Counter = Counter()
    for (_, hanzi), count in observed.items():
        total[hanzi] += count
    chosen = {h for h, count in total.items() if count >= min_count} | (gb2312() if charset == "gb2312" else set())
    candidates: dict[str, dict[str, int]] = defaultdict(dict)
    for (syllable, hanzi), count in observed.items():
        if hanzi in chosen:
            candidates[syllable][hanzi] = count
    known = heteronyms()
    for hanzi in chosen:
        for syllable in (*known.get(hanzi, ()), *READINGS.get(hanzi, ())):
            candidates[syllable].setdefault(hanzi, 0)
    ranked = {s: dict(sorted(c.items(), key=lambda item: (-item[1], item[0]))) for s, c in candidates.items()}
    return Vocabulary(ranked)
