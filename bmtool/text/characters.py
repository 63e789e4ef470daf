"""Text as arrays of code points, and what each code point is: a letter of a script, a unit of its own, part of a word."""

import sys
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from bmtool.chinese.hanzi import hanzi_mask

LAST_LETTER = 0x40000  # Unicode assigns no letter from here on
# Blocks of scripts that are written without spaces between words: kana and bopomofo, ideographs, Thai and Lao, Tibetan, Myanmar, Khmer.
_UNSPACED = (
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x312F), (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF), (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF),
)  # fmt: skip
SINGLE, WORD = 1, 2  # a unit of its own; part of a word


class Text:
    """Sentences as one array of code points, with a newline after each, and sums over them."""

    def __init__(self, sentences: list[str]):
        joined = "\n".join(sentences) + "\n"
        self.joined = joined
        self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        ends = np.flatnonzero(self.codes == ord("\n"))
        self.starts = np.append(0, ends[:-1] + 1)
        self.lengths = ends - self.starts

    @property
    def is_hanzi(self) -> np.ndarray:
        return hanzi_mask(self.codes)

    def row(self, positions: np.ndarray) -> np.ndarray:
        """The sentence that each position lies in."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of one value a character over each sentence, int64."""
        return np.add.reduceat(values, self.starts, dtype=np.int64)


@lru_cache(maxsize=1)
def _letters() -> np.ndarray:
    """For every code point whether it is a letter (category L), bool [1114112]."""
    table = np.zeros(sys.maxunicode + 1, bool)
    table[[code for code in range(LAST_LETTER) if chr(code).isalpha()]] = True
    return table


@lru_cache(maxsize=1)
def _latin() -> np.ndarray:
    """For every code point whether it is a Latin letter, by its name, bool [1114112]."""
    table = np.zeros(sys.maxunicode + 1, bool)
    table[[code for code in np.flatnonzero(_letters()).tolist() if "LATIN" in unicodedata.name(chr(code), "")]] = True
    return table


# What `data.clean.letters` may name -> mask of the code points that are such letters.
LETTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hanzi": hanzi_mask,
    "latin": lambda codes: _latin()[codes],
    "any": lambda codes: _letters()[codes],
}


@lru_cache(maxsize=1)
def unit_kinds() -> np.ndarray:
    """For every code point SINGLE, WORD or 0 for what is neither letter, mark nor digit, uint8 [1114112]."""
    table = np.zeros(sys.maxunicode + 1, np.uint8)
    table[[code for code in range(LAST_LETTER) if unicodedata.category(chr(code))[0] in "LMN"]] = WORD
    table[0xFE00:0xFE10] = 0  # variation selectors: how a character looks, not which it is
    for first, last in _UNSPACED:
        table[first : last + 1][table[first : last + 1] == WORD] = SINGLE
    return table


@lru_cache(maxsize=1)
def folded() -> np.ndarray:
    """For every code point its case-folded one, itself where folding gives several, uint32 [1114112]."""
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for code in np.flatnonzero(_letters()).tolist():
        lower = chr(code).casefold()
        table[code] = ord(lower) if len(lower) == 1 else code
    return table
