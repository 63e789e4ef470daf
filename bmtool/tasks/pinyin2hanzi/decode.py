"""The search of the tagger: an n-gram model of hanzi, how each hanzi is read, and the network's opinion, added up along a lattice.

score = log p(hanzi | hanzi before) + log p(syllable, tone | hanzi) + w log p(hanzi | all syllables), for a batch of lines at once.
Shapes: L lines, A arcs, N candidates of all arcs, W hanzi of the longest word, E extensions (row, candidate).
"""

from dataclasses import dataclass

import numpy as np

from bmtool.ngram.model import NgramModel
from bmtool.tasks.pinyin2hanzi.lattice import Lattice
from bmtool.tasks.pinyin2hanzi.vocab import SPECIALS, Vocabulary

MARGIN = 10.0  # nats: rows this far behind the best one of their line are given up; with it a wide beam costs little
BOUNDARY = 0  # the n-gram's symbol of everything that is no hanzi; hanzi are numbered from 1 in the vocabulary's order
GUESSED = 12  # candidates of an arc that was guessed
WRONG_TONE = 0.02  # share of typed tones that are wrong
WORD_GAIN = 1.0  # nats that a word of the user's gains over the same hanzi


@dataclass(frozen=True)
class Path:
    """One way through a lattice: the arcs, the candidate taken on each, and the score in nats."""

    arcs: tuple[int, ...]
    candidates: tuple[int, ...]
    score: float


@dataclass
class Candidates:
    """All that may stand on the arcs of some lattices: arc a has the rows first[a] ... first[a + 1]."""

    first: np.ndarray  # int64 [A + 1]
    pair: np.ndarray  # int64 [N], -1 for a copy, a word, or a hanzi that is not read so
    symbols: np.ndarray  # int64 [N, W], of the n-gram; -1 before a shorter word
    score: np.ndarray  # float64 [N]: what does not depend on the hanzi before
    floor: np.ndarray  # float64 [N]: the least that the n-gram's part counts for, -inf but for words


class Channel:
    """How likely each hanzi is read as each of its syllables, and in which tone, from the counts of the training text."""

    def __init__(self, vocabulary: Vocabulary, tones: np.ndarray):
        """`tones` [pairs, 6]: how often each pair was read in tones 1 to 5 (column 0: unknown)."""
        count = vocabulary.pair_count + 0.05
        total = np.bincount(vocabulary.pair_target, vocabulary.pair_count, minlength=vocabulary.targets) + 1.0
        self.vocabulary = vocabulary
        self.log_p = np.append(
            np.log(count / total[vocabulary.pair_target]), 0.0
        )  # float64 [pairs + 1]; the last for no pair
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

    def _pairs(self, arcs: list) -> tuple[np.ndarray, np.ndarray]:
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


class _Rows:
    """Rows of the search so far, and where each began: arrays that grow step by step."""

    def __init__(self, histories: np.ndarray):
        none = np.full(len(histories), -1)
        self.score, self.history = np.zeros(len(histories)), histories
        self.parent, self.candidate, self.arc = none, none, none

    def add(self, **columns: np.ndarray) -> int:
        """The number of the first of the new rows."""
        first = len(self.score)
        for name, values in columns.items():
            setattr(self, name, np.append(getattr(self, name), values))
        return first


def search(  # noqa: PLR0913
    ngram: NgramModel, lattices: list[Lattice], candidates: Candidates, *, beam: int, n_best: int, before: np.ndarray,
    least: int = 1,
) -> list[list[Path]]:  # fmt: skip
    """Up to `n_best` best paths of each lattice, best first. `before` is each line's history of symbols, int64 [L].

    A line keeps `beam` histories a place, and of rows that agree in all that the n-gram looks back on, the `n_best` best; rows more
    than MARGIN behind are given up, but for the `least` best of each line.
    """
    bounds = np.cumsum([0, *(len(lattice.arcs) for lattice in lattices)])
    line_of = np.repeat(np.arange(len(lattices)), np.diff(bounds))
    start = np.array([arc.start for lattice in lattices for arc in lattice.arcs], np.int64)
    end = np.array([arc.end for lattice in lattices for arc in lattice.arcs], np.int64)
    sizes = np.array([lattice.size for lattice in lattices], np.int64)
    longest = int(sizes.max(initial=0))
    rows = _Rows(before)
    first, count = (
        np.zeros((len(lattices), longest + 1), np.int64) for _ in range(2)
    )  # beam rows of each place of each line
    first[:, 0], count[:, 0] = np.arange(len(lattices)), 1
    by_end = np.argsort(end, kind="stable")
    steps = np.searchsorted(end[by_end], np.arange(1, longest + 2))
    for place in range(1, longest + 1):
        arcs = by_end[steps[place - 1] : steps[place]]
        arcs = arcs[count[line_of[arcs], start[arcs]] > 0]
        if not len(arcs):
            continue
        parent, candidate, arc = _extensions(
            arcs, first[line_of[arcs], start[arcs]], count[line_of[arcs], start[arcs]], candidates
        )
        line = line_of[arc]
        added, history = _say(ngram, rows.history, parent, candidates.symbols[candidate])
        score = rows.score[parent] + candidates.score[candidate] + np.maximum(added, candidates.floor[candidate])
        final = np.flatnonzero(place == sizes[line])
        if len(final):
            score[final] += _log_p(ngram, history, final, np.full(len(final), BOUNDARY))
        kept = _best(line, history, score, beam, n_best, least)
        here = rows.add(
            score=score[kept],
            history=history[kept],
            parent=parent[kept],
            candidate=candidate[kept],
            arc=arc[kept] - bounds[line[kept]],
        )
        lines, at, number = np.unique(line[kept], return_index=True, return_counts=True)
        first[lines, place], count[lines, place] = here + at, number
    ends = first[np.arange(len(lattices)), sizes], np.minimum(count[np.arange(len(lattices)), sizes], n_best)
    return [[_path(rows, row) for row in range(at, at + number)] for at, number in zip(*ends)]


def window(ngram: NgramModel, history: np.ndarray, word: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Log-probability [N] of each `word` [N] and of what follows it, after one `history` [1]."""
    row, total = np.zeros(len(word), np.int64), np.zeros(len(word))
    for symbol in (word, *(np.full(len(word), s) for s in following)):
        total += _log_p(ngram, history, row, symbol)
        history, row = ngram.extend(history[row], symbol), np.arange(len(word))
    return total


def _extensions(
    arcs: np.ndarray, first_row: np.ndarray, row_count: np.ndarray, candidates: Candidates
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, candidate, arc) of everything that the arcs make of the rows before them."""
    choices = candidates.first[arcs + 1] - candidates.first[arcs]
    total = row_count * choices
    at = np.repeat(np.arange(len(arcs)), total)
    within = np.arange(len(at)) - np.repeat(np.cumsum(total) - total, total)
    row, choice = np.divmod(within, choices[at])
    return first_row[at] + row, candidates.first[arcs][at] + choice, arcs[at]


def _say(
    ngram: NgramModel, histories: np.ndarray, row: np.ndarray, symbols: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(log-probability [E], history behind [E]) of the symbols [E, W] of each extension."""
    if symbols.shape[1] == 1:
        return _log_p(ngram, histories, row, symbols[:, 0]), ngram.extend(histories[row], symbols[:, 0])
    added, history = np.zeros(len(row)), histories[row]
    for column in symbols.T:
        here = np.flatnonzero(column >= 0)
        added[here] += _log_p(ngram, history, here, column[here])
        history[here] = ngram.extend(history[here], column[here])
    return added, history


def _log_p(ngram: NgramModel, histories: np.ndarray, row: np.ndarray, symbol: np.ndarray) -> np.ndarray:
    """Log-probability of each symbol after the history of its row; a boundary after a boundary is certain."""
    used, at = np.unique(row, return_inverse=True)
    log_p = ngram.log_p(ngram.contexts(histories[used]), at, symbol)
    return np.where((symbol == BOUNDARY) & (histories[row] == 0), 0.0, log_p)


def _best(  # noqa: PLR0913
    line: np.ndarray, history: np.ndarray, score: np.ndarray, beam: int, alike: int, least: int
) -> np.ndarray:
    """The rows that stay: of each line the `least` best and those within MARGIN of its best, of them the `beam` best histories, and of
    each history the `alike` best rows; sorted by line, best first."""
    top = np.full(line.max() + 1, -np.inf)
    np.maximum.at(top, line, score)
    near = score >= top[line] - MARGIN
    if least > 1:
        falling = np.lexsort((-score, line))
        near[falling[_rank(line[falling]) < least]] = True
    near = np.flatnonzero(near)
    order = near[np.lexsort((-score[near], history[near], line[near]))]
    within = _rank(line[order], history[order])
    leaders = order[within == 0]
    leaders = leaders[np.lexsort((-score[leaders], line[leaders]))]
    stays = np.zeros(len(line), bool)
    stays[leaders[_rank(line[leaders]) < beam]] = True
    leader = order[np.arange(len(order)) - within]  # of each row the best one of its history
    order = order[stays[leader] & (within < alike)]
    return order[np.lexsort((-score[order], line[order]))]


def _rank(*sorted_by: np.ndarray) -> np.ndarray:
    """The number of each element within its run of equal ones."""
    new = np.append(True, np.any([key[1:] != key[:-1] for key in sorted_by], axis=0))
    starts = np.flatnonzero(new)
    return np.arange(len(new)) - starts[np.cumsum(new) - 1]


def _path(rows: _Rows, row: int) -> Path:
    score, arcs, taken = float(rows.score[row]), [], []
    while rows.parent[row] >= 0:
        arcs.append(int(rows.arc[row]))
        taken.append(int(rows.candidate[row]))
        row = rows.parent[row]
    return Path(tuple(reversed(arcs)), tuple(reversed(taken)), score)
