"""The search of the tagger: an n-gram model of hanzi, how each hanzi is read, and the network's opinion, added up along a lattice.

score = log p(hanzi | hanzi before) + log p(syllable, tone | hanzi) + w log p(hanzi | all syllables), for a batch of lines at once.
Shapes: L lines, A arcs, N candidates of all arcs, W hanzi of the longest word, E extensions (row, candidate).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bmtool.ngram.model import NgramModel
from bmtool.tasks.pinyin2hanzi.typed.lattice import Lattice
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


class Found(NamedTuple):
    """The best paths through one lattice, best first, and log of the sum of exp(score / temperature) over all paths that were kept."""

    paths: list[Path]
    log_mass: float


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
    """Rows of the search so far, and where each began: arrays that grow step by step.

    A row's `leader` is the best one that agrees with it in all that the n-gram looks back on; it has the mass of all that do, the
    others have none (-inf).
    """

    def __init__(self, histories: np.ndarray):
        none = np.full(len(histories), -1)
        self.score, self.log_mass = np.zeros(len(histories)), np.zeros(len(histories))
        self.history, self.leader = histories, np.arange(len(histories))
        self.parent, self.candidate, self.arc = none, none, none

    def add(self, **columns: np.ndarray) -> int:
        """The number of the first of the new rows."""
        first = len(self.score)
        for name, values in columns.items():
            setattr(self, name, np.append(getattr(self, name), values))
        return first


def search(  # noqa: PLR0913
    ngram: NgramModel, lattices: list[Lattice], candidates: Candidates, *, beam: int, n_best: int, before: np.ndarray,
    temperature: float = 1.0, least: int = 1,
) -> list[Found]:  # fmt: skip
    """Up to `n_best` best paths of each lattice, and the mass of all (the forward algorithm). `before` is each line's history of
    symbols, int64 [L].

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
        new = _extensions(
            arcs, first[line_of[arcs], start[arcs]], count[line_of[arcs], start[arcs]], rows.leader, candidates
        )
        line, (added, history) = line_of[new.arc], _say(ngram, rows.history, new, candidates, sizes[line_of] == place)
        score = rows.score[new.parent] + candidates.score[new.candidate] + added
        mass = rows.log_mass[new.parent] + (score - rows.score[new.parent]) / temperature
        kept, leader, mass = _best(line, history, score, mass, beam, n_best, least)
        here = rows.add(
            score=score[kept],
            history=history[kept],
            leader=leader + len(rows.score),
            log_mass=mass,
            parent=new.parent[kept],
            candidate=new.candidate[kept],
            arc=new.arc[kept] - bounds[line[kept]],
        )
        lines, at, number = np.unique(line[kept], return_index=True, return_counts=True)
        first[lines, place], count[lines, place] = here + at, number
    at, number = first[np.arange(len(lattices)), sizes], count[np.arange(len(lattices)), sizes]
    masses = [float(np.logaddexp.reduce(rows.log_mass[a : a + n])) for a, n in zip(at, number)]
    return [Found(*found) for found in zip(_paths(rows, at, np.minimum(number, n_best)), masses)]


def window(ngram: NgramModel, history: np.ndarray, word: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Log-probability [N] of each `word` [N] and of what follows it, after one `history` [1]."""
    row, total = np.zeros(len(word), np.int64), np.zeros(len(word))
    for symbol in (word, *(np.full(len(word), s) for s in following)):
        total += _log_p(ngram, history, row, symbol)
        history, row = ngram.extend(history[row], symbol), np.arange(len(word))
    return total


class _Extensions(NamedTuple):
    """Everything that some arcs make of the rows before them; `like` is the number of the extension of the row's leader by the same
    candidate, of which the n-gram says the same."""

    parent: np.ndarray
    candidate: np.ndarray
    arc: np.ndarray
    like: np.ndarray


def _extensions(
    arcs: np.ndarray, first_row: np.ndarray, row_count: np.ndarray, leader: np.ndarray, candidates: Candidates
) -> _Extensions:
    choices = candidates.first[arcs + 1] - candidates.first[arcs]
    total = row_count * choices
    at = np.repeat(np.arange(len(arcs)), total)
    start = (np.cumsum(total) - total)[at]
    row, choice = np.divmod(np.arange(len(at)) - start, choices[at])
    parent = first_row[at] + row
    like = start + (leader[parent] - first_row[at]) * choices[at] + choice
    return _Extensions(parent, candidates.first[arcs][at] + choice, arcs[at], like)


def _say(
    ngram: NgramModel, histories: np.ndarray, new: _Extensions, candidates: Candidates, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(log-probability [E], history behind [E]) of every extension, the end of the line with it where an arc `ends` there, bool [A]."""
    asked = np.flatnonzero(new.like == np.arange(len(new.like)))
    row, candidate = new.parent[asked], new.candidate[asked]
    symbols = candidates.symbols[candidate]
    if symbols.shape[1] == 1:
        added, history = _log_p(ngram, histories, row, symbols[:, 0]), ngram.extend(histories[row], symbols[:, 0])
    else:
        added, history = np.zeros(len(row)), histories[row]
        for column in symbols.T:
            here = np.flatnonzero(column >= 0)
            added[here] += _log_p(ngram, history, here, column[here])
            history[here] = ngram.extend(history[here], column[here])
    added = np.maximum(added, candidates.floor[candidate])
    if len(final := np.flatnonzero(ends[new.arc[asked]])):
        added[final] += _log_p(ngram, history, final, np.full(len(final), BOUNDARY))
    number = np.empty(len(new.like), np.int64)
    number[asked] = np.arange(len(asked))
    answer = number[new.like]
    return added[answer], history[answer]


def _log_p(ngram: NgramModel, histories: np.ndarray, row: np.ndarray, symbol: np.ndarray) -> np.ndarray:
    """Log-probability of each symbol after the history of its row; a boundary after a boundary is certain."""
    used, at = np.unique(row, return_inverse=True)
    log_p = ngram.log_p(ngram.contexts(histories[used]), at, symbol)
    return np.where((symbol == BOUNDARY) & (histories[row] == 0), 0.0, log_p)


def _best(  # noqa: PLR0913
    line: np.ndarray, history: np.ndarray, score: np.ndarray, log_mass: np.ndarray, beam: int, alike: int, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(number of each row that stays, which of these is its leader, its mass), of rows sorted by line; the result is too, best first.

    They are, of each line, the `least` best and those within MARGIN of its best, of them the `beam` best histories, and of each
    history the `alike` best rows.
    """
    starts = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
    top = np.maximum.reduceat(score, starts)
    near = score >= np.repeat(top, np.diff(np.append(starts, len(line)))) - MARGIN
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
    mass = np.full(len(line), -np.inf)
    mass[order[within == 0]] = np.logaddexp.reduceat(log_mass[order], np.flatnonzero(within == 0))
    kept = stays[leader] & (within < alike)
    order, leader = order[kept], leader[kept]
    best = np.lexsort((-score[order], line[order]))
    order, leader = order[best], leader[best]
    place = np.empty(len(line), np.int64)
    place[order] = np.arange(len(order))
    return order, place[leader], mass[order]


def _rank(*sorted_by: np.ndarray) -> np.ndarray:
    """The number of each element within its run of equal ones."""
    new = np.append(True, np.any([key[1:] != key[:-1] for key in sorted_by], axis=0))
    starts = np.flatnonzero(new)
    return np.arange(len(new)) - starts[np.cumsum(new) - 1]


def _paths(rows: _Rows, first: np.ndarray, count: np.ndarray) -> list[list[Path]]:
    """Of every line the paths that end in the rows first ... first + count, followed back together."""
    row = np.concatenate([np.arange(at, at + number) for at, number in zip(first, count)])
    score, arcs, taken = rows.score[row].tolist(), [], []
    while (moves := rows.parent[row] >= 0).any():
        arcs.append(np.where(moves, rows.arc[row], -1))
        taken.append(np.where(moves, rows.candidate[row], -1))
        row = np.where(moves, rows.parent[row], row)
    ways = [
        Path(*(tuple(back[back >= 0][::-1].tolist()) for back in backs), score[number])
        for number, backs in enumerate(np.array([arcs, taken], np.int64).reshape(2, -1, len(row)).transpose(2, 0, 1))
    ]
    ends = np.cumsum(count)
    return [ways[end - number : end] for end, number in zip(ends.tolist(), count.tolist())]
