"""What may stand on the arcs of a lattice, and how likely each hanzi is read as its syllable.

Shapes: A arcs, N candidates of all arcs, W hanzi of the longest word.
"""

from dataclasses import dataclass

import numpy as np

from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice
from bmtool.tasks.pinyin2hanzi.vocab import SPECIALS, Vocabulary

BOUNDARY = 0  # the n-gram's symbol of everything that is no hanzi; hanzi are numbered from 1 in the vocabulary's order
GUESSED = 12  # candidates of an arc that was guessed
WRONG_TONE = 0.02  # share of typed tones that are wrong
WORD_GAIN = 1.0  # nats that a word of the user's gains over the same hanzi


@dataclass
class Candidates:
    """All that may stand on the arcs of some lattices: arc a has the rows first[a] ... first[a + 1]."""

    first: np.ndarray  # int64 [A + 1]
    pair: np.ndarray  # int64 [N], -1 for a copy, a word, or a hanzi that is not read so
    symbols: np.ndarray  # int64 [N, W], of the n-gram; -1 before a shorter word
    score: np.ndarray  # float64 [N]: what does not depend on the hanzi before
    floor: np.ndarray  # float64 [N]: the least that the n-gram's part counts for, -inf but for words

    def only(self, kept: np.ndarray) -> "Candidates":
        """Those of `kept`, bool [N]."""
        first = np.append(0, np.cumsum(kept))[self.first]
        return Candidates(first, self.pair[kept], self.symbols[kept], self.score[kept], self.floor[kept])


class Channel:
    """How likely each hanzi is read as each of its syllables, and in which tone, from the counts of the training text."""

    def __init__(self, vocabulary: Vocabulary, tones: np.ndarray):
        """`tones` [pairs, 6]: how often each pair was read in tones 1 to 5 (column 0: unknown)."""
        count = vocabulary.pair_count + 0.05
        total = np.bincount(vocabulary.pair_target, vocabulary.pair_count, minlength=vocabulary.targets) + 1.0
        self.vocabulary = vocabulary
        # float64 [pairs + 1]; the last for no pair
        self.log_p = np.append(np.log(count / total[vocabulary.pair_target]), 0.0)
        self.symbol = np.append(vocabulary.pair_target - SPECIALS + 1, BOUNDARY)
        share = (tones + 0.01) / (tones[:, 1:].sum(axis=1, keepdims=True) + 0.05)
        self.tone = np.zeros((vocabulary.pairs + 1, 6))
        self.tone[:-1, 1:] = np.log((1 - WRONG_TONE) * share[:, 1:] + WRONG_TONE / 5)

    def candidates(self, lattices: list[Lattice]) -> Candidates:
        """The candidates of every arc of the lattices, one after the other."""
        arcs = [arc for lattice in lattices for arc in lattice.arcs]
        start, size = self._pairs(arcs)
        first = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        arc_of = np.repeat(np.arange(len(arcs)), size)
        pair = start[arc_of] + np.arange(len(arc_of)) - first[arc_of]
        tone, cost = np.array([arc.tone for arc in arcs], np.int64), np.array([arc.cost for arc in arcs])
        score = self.log_p[pair] + self.tone[pair, tone[arc_of]] - cost[arc_of]
        none = self.vocabulary.pairs
        symbols = np.full((len(pair), max([1, *(len(arc.word) for arc in arcs)])), -1)
        symbols[:, -1] = self.symbol[pair]
        floor = np.full(len(pair), -np.inf)
        for a, arc in enumerate(arcs):
            if arc.word and start[a] == none:
                symbols[first[a], -len(arc.word) :] = self.symbols(arc.word)
                if arc.numbers:
                    score[first[a]], floor[first[a]] = WORD_GAIN, -arc.cost - WORD_GAIN
        return Candidates(first, np.where(pair == none, -1, pair), symbols, score, floor)

    def symbols(self, text: str) -> list[int]:
        """The n-gram's symbols of some text."""
        return [max(self.vocabulary.hanzi_id(c) - SPECIALS + 1, BOUNDARY) for c in text]

    def _pairs(self, arcs: list[Arc]) -> tuple[np.ndarray, np.ndarray]:
        """First pair and number of pairs of every arc; what is no pair counts as one, behind the last."""
        number = np.array([arc.number for arc in arcs], np.int64)
        start = self.vocabulary.pair_start[number]
        size = self.vocabulary.pair_start[number + 1] - start
        size = np.where([arc.cost > 0 for arc in arcs], np.minimum(size, GUESSED), size)
        for a, arc in enumerate(arcs):
            if arc.word:
                start[a], size[a] = self.vocabulary.pair_id(arc.number, arc.word), 1
        none = (size == 0) | (start < 0)
        return np.where(none, self.vocabulary.pairs, start), np.where(none, 1, size)
