"""BM25 (Robertson and Zaragoza 2009) over words, and over pairs of characters where words are not set apart. Numpy only.

A term is a word, case aside, or two hanzi, kana and the like in a row; one of them alone is a term too, so that a question of one finds it.
"""

from collections.abc import Sequence

import numpy as np

from bmtool.text.keys import mix
from bmtool.text.units import units

K1, B = 1.2, 0.75
_PAIR, _ALONE = 11, 13  # apart from the hashes of words


class Bm25:
    """An index of some texts: of each term the texts that hold it, and what it adds to their scores."""

    def __init__(self, texts: Sequence[str]):
        self.count = len(texts)
        term, owner = terms(texts)
        lengths = np.bincount(owner, minlength=self.count)
        order = np.lexsort((owner, term))
        term, owner = term[order], owner[order]
        first = np.flatnonzero(np.append(True, (term[1:] != term[:-1]) | (owner[1:] != owner[:-1]))[: len(term)])
        times = np.diff(np.append(first, len(term))).astype(np.float32)
        term, self._texts = term[first], owner[first].astype(np.int32)
        self._terms, self._starts = np.unique(term, return_index=True)
        held = np.diff(np.append(self._starts, len(term)))
        rarity = np.log1p((self.count - held + 0.5) / (held + 0.5))
        long = (lengths / max(1.0, lengths.mean()))[self._texts]
        self._adds = (np.repeat(rarity, held) * times * (K1 + 1) / (times + K1 * (1 - B + B * long))).astype(np.float32)
        self._ends = np.append(self._starts[1:], len(term)).astype(np.int64)

    def scores(self, question: str) -> np.ndarray:
        """Of every text, float64 [texts]; 0 where it holds no term of the question."""
        found, _ = terms([question])
        place = np.searchsorted(self._terms, found)
        known = place < len(self._terms)
        known[known] = self._terms[place[known]] == found[known]
        total = np.zeros(self.count)
        for one in place[known].tolist():
            part = slice(self._starts[one], self._ends[one])
            total[self._texts[part]] += self._adds[part]
        return total


def terms(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(hashes of the terms of all texts, uint64; the text that each belongs to, int64)."""
    found = units([text.replace("\n", " ") for text in texts])
    single = ~found.is_word
    pairs = single[:-1] & single[1:] & (found.owner[:-1] == found.owner[1:])
    pair = mix(found.values[:-1] * np.uint64(0x110000) + found.values[1:], _PAIR)[pairs]
    alone = mix(found.values, _ALONE)[single]
    values = np.concatenate([found.values[~single], pair, alone])
    return values, np.concatenate([found.owner[~single], found.owner[:-1][pairs], found.owner[single]])
