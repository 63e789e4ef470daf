"""Typed words as bare letters, with the tones and apostrophes that stood among them."""

import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bmtool.chinese.syllables import TONE_MARKS

_TONES = {mark: tone for tone, mark in enumerate(TONE_MARKS, start=1)}
_LETTERS = frozenset(string.ascii_lowercase) | {"ê"}


@dataclass(frozen=True)
class Spelled:
    """A word's letters as the table of syllables writes them, without tones; `offset` says where in the word each begins, and one more."""

    word: str
    letters: str
    offset: tuple[int, ...]
    # letter -> tone, from a mark
    marks: dict[int, int]
    # letters before a forced end of a syllable -> tone that follows it as a digit, 0 for an apostrophe
    ends: dict[int, int]

    @property
    def size(self) -> int:
        """How many letters there are."""
        return len(self.letters)

    def written(self, start: int, end: int) -> str:
        """What stands in the word for the letters start ... end."""
        return self.word[self.offset[start] : self.offset[end]]

    def forced(self, start: int, end: int) -> bool:
        """Whether a syllable has to end between the letters start ... end."""
        return any(place in self.ends for place in range(start + 1, end))

    def alone(self, start: int, end: int) -> bool:
        """Whether a syllable has to begin at the letter `start` and to end behind `end`."""
        return (start == 0 or start in self.ends) and (end == self.size or end in self.ends)

    def tones(self, start: int, end: int) -> list[int]:
        """The tones of the marks on the letters start ... end."""
        return [self.marks[place] for place in range(start, end) if place in self.marks]

    def spans(self, longest: int, least: int = 1) -> Iterator[tuple[int, int]]:
        """Every (start, end) of `least` to `longest` letters."""
        for start in range(self.size):
            for end in range(start + least, min(self.size, start + longest) + 1):
                yield start, end


@lru_cache(maxsize=1 << 14)
def spell(word: str) -> Spelled | None:
    """None for what cannot be pinyin: other letters, digits that are no tones."""
    letters: list[str] = []
    offset: list[int] = []
    marks: dict[int, int] = {}
    ends: dict[int, int] = {}
    for at, character in enumerate(word):
        base, *accents = unicodedata.normalize("NFD", character.lower())
        if base in "'’":
            ends.setdefault(len(letters), 0)
        elif base.isdigit():
            if base not in "12345" or not letters or len(letters) in ends:
                return None
            ends[len(letters)] = int(base)
        elif base == ":" and letters[-1:] == ["u"]:
            letters[-1] = "v"
        else:
            marks |= {len(letters): _TONES[accent] for accent in accents if accent in _TONES}
            letters.append(_letter(base, accents))
            offset.append(at)
    if not letters or not _LETTERS.issuperset(letters):
        return None
    return Spelled(word, "".join(letters), (*offset, len(word)), marks, ends)


def _letter(base: str, accents: list[str]) -> str:
    """ü is v, ê stays; of other letters the accents are dropped."""
    if base == "u" and "\u0308" in accents:
        return "v"
    return "ê" if base == "e" and "\u0302" in accents else base
