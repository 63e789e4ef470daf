"""The units by which texts of any language are compared: hanzi, kana and other letters that are written without spaces, one by one,
and words, which are runs of all other letters, marks and digits, case aside. Punctuation, symbols and spaces are left out.
"""

from dataclasses import dataclass

import numpy as np

from bmtool.text.characters import SINGLE, WORD, Text, folded, unit_kinds
from bmtool.text.keys import mix


@dataclass(frozen=True)
class Units:
    """The units of some texts, one after the other."""

    values: np.ndarray  # uint64: the code point of a single character, a hash of a word
    owner: np.ndarray  # int64: the text that each belongs to
    is_word: np.ndarray  # bool
    counts: np.ndarray  # int64 [texts]


def units(texts: list[str]) -> Units:
    """Cut texts into units."""
    text = Text(texts)
    kinds = unit_kinds()[text.codes]
    in_word = kinds == WORD
    begins = in_word & ~np.append(False, in_word[:-1])
    at = np.flatnonzero((kinds == SINGLE) | begins)
    values, is_word = text.codes[at].astype(np.uint64), begins[at]
    values[is_word] = _words(text.codes, in_word, np.flatnonzero(begins))
    owner = text.row(at)
    return Units(values, owner, is_word, np.bincount(owner, minlength=len(texts)))


def _words(codes: np.ndarray, in_word: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """A hash of each run of letters, uint64, from the position of each letter and the letter, case-folded."""
    at = np.flatnonzero(in_word)
    if not len(at):
        return np.empty(0, np.uint64)
    first = np.searchsorted(at, begins)
    place = at - np.repeat(begins, np.diff(np.append(first, len(at))))
    letters = folded()[codes[at]].astype(np.uint64) | (place.astype(np.uint64) << np.uint64(32))
    return mix(np.add.reduceat(mix(letters, 7), first), 8)
