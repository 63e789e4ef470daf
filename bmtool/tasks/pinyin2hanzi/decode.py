"""The search of the tagger: an n-gram model of hanzi, how each hanzi is read, and the network's opinion, added up along a lattice.

score = log p(hanzi | hanzi before) + log p(syllable, tone | hanzi) + w log p(hanzi | all syllables), for a batch of lines at once.
Shapes: L lines, A arcs, N candidates of all arcs, E extensions (row, candidate).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bmtool.ngram.model import NgramModel
from bmtool.tasks.pinyin2hanzi.channel import BOUNDARY, Candidates
from bmtool.tasks.pinyin2hanzi.typed.lattice import Lattice

MARGIN = 10.0  # nats: rows this far behind the best one of their line are given up; with it a wide beam costs little


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


class _Arcs:
    """The arcs of some lattices, one after the other, as arrays [A]."""

    def __init__(self, lattices: list[Lattice]):
        arcs = [arc for lattice in lattices for arc in lattice.arcs]
        self.first = np.cumsum([0, *(len(lattice.arcs) for lattice in lattices)])  # arc of each lattice, [L + 1]
        self.line = np.repeat(np.arange(len(lattices)), np.diff(self.first))
        self.start = np.array([arc.start for arc in arcs], np.int64)
        self.sizes = np.array([lattice.size for lattice in lattices], np.int64)
        self.longest = int(self.sizes.max(initial=0))
        end = np.array([arc.end for arc in arcs], np.int64)
        self._by_end = np.argsort(end, kind="stable")
        self._steps = np.searchsorted(end[self._by_end], np.arange(1, self.longest + 2))

    def ending(self, place: int) -> np.ndarray:
        """The arcs that end at a place of their line."""
        return self._by_end[self._steps[place - 1] : self._steps[place]]

    def final(self, place: int) -> np.ndarray:
        """The arcs whose line ends at a place, bool [A]."""
        return self.sizes[self.line] == place


class _Rows:
    """Rows of the search so far, and where each began: the first `size` of arrays that grow place by place, to twice their length.

    A row's `leader` is the best one that agrees with it in all that the n-gram looks back on; it has the mass of all that do, the
    others have none (-inf). Those of line l at place t are first[l, t] ... first[l, t] + count[l, t].
    """

    def __init__(self, histories: np.ndarray, places: int):
        self.size = lines = len(histories)
        self.score, self.log_mass = np.zeros(lines), np.zeros(lines)
        self.history, self.leader = histories, np.arange(lines)
        self.parent, self.candidate, self.arc = (np.full(lines, -1) for _ in range(3))
        self.first, self.count = (np.zeros((lines, places + 1), np.int64) for _ in range(2))
        self.first[:, 0], self.count[:, 0] = np.arange(lines), 1

    def add(self, place: int, line: np.ndarray, **columns: np.ndarray) -> None:
        """More rows, sorted by their line; their leaders are counted from the first of them."""
        here, self.size = self.size, self.size + len(line)
        columns["leader"] = columns["leader"] + here
        for name, values in columns.items():
            held = getattr(self, name)
            if self.size > len(held):
                held = np.concatenate([held, np.empty(self.size, held.dtype)])
                setattr(self, name, held)
            held[here : self.size] = values
        lines, at, number = np.unique(line, return_index=True, return_counts=True)
        self.first[lines, place], self.count[lines, place] = here + at, number


class _Before(NamedTuple):
    """Leaders before some arcs, one row a leader and arc [H]; all rows with it are row[first] ... row[first + count], best first."""

    arc: np.ndarray
    leader: np.ndarray
    first: np.ndarray
    count: np.ndarray
    row: np.ndarray


class _Extensions(NamedTuple):
    """What arcs make of rows before them, [E]; `head` is the number of the row's leader among those before the arcs. `log_p` is what the
    n-gram says, `history` what it looks back on then: the same for all rows of a leader."""

    parent: np.ndarray
    candidate: np.ndarray
    arc: np.ndarray
    head: np.ndarray
    log_p: np.ndarray
    history: np.ndarray

    def only(self, kept: np.ndarray) -> "_Extensions":
        return _Extensions(*(column[kept] for column in self))


@dataclass
class _Search:
    """The arguments of `search`, the arcs, and the rows so far."""

    ngram: NgramModel
    candidates: Candidates
    arcs: _Arcs
    rows: _Rows
    beam: int
    n_best: int
    temperature: float
    least: int

    def advance(self, place: int) -> None:
        """The rows at a place, from those before it."""
        arcs, rows = self.arcs.ending(place), self.rows
        at = self.arcs.line[arcs], self.arcs.start[arcs]
        first, count = rows.first[at], rows.count[at]
        if not count.any():
            return
        before = _before(arcs[count > 0], first[count > 0], count[count > 0], rows.leader)
        new = _extended(self.ngram, rows.history, before, self.candidates, self.arcs.final(place))
        new, line, score = self._near(new)
        if self.n_best > 1:  # the leaders decide which histories stay: only of these all rows are extended
            stays, *_ = _best(line, new.history, score, score, beam=max(self.beam, self.least), alike=len(score))
            new, line, score = self._near(_with_all(new.only(stays), before))
        self._keep(place, new, line, score)

    def _near(self, new: _Extensions) -> tuple[_Extensions, np.ndarray, np.ndarray]:
        """The extensions that are not given up, with their lines and scores."""
        line = self.arcs.line[new.arc]
        score = self.rows.score[new.parent] + self.candidates.score[new.candidate] + new.log_p
        near = np.flatnonzero(_near(line, score, self.least))
        return new.only(near), line[near], score[near]

    def _keep(self, place: int, new: _Extensions, line: np.ndarray, score: np.ndarray) -> None:
        """The best of some extensions, with their lines and scores, become rows at a place."""
        rows = self.rows
        mass = rows.log_mass[new.parent] + (score - rows.score[new.parent]) / self.temperature
        kept, leader, mass = _best(line, new.history, score, mass, beam=self.beam, alike=self.n_best)
        rows.add(
            place, line[kept], score=score[kept], history=new.history[kept], leader=leader, log_mass=mass,
            parent=new.parent[kept], candidate=new.candidate[kept], arc=new.arc[kept] - self.arcs.first[line[kept]],
        )  # fmt: skip

    def found(self) -> list[Found]:
        """What the rows at the end of every line lead back to."""
        at = np.arange(len(self.arcs.sizes)), self.arcs.sizes
        first, count = self.rows.first[at], self.rows.count[at]
        masses = [float(np.logaddexp.reduce(self.rows.log_mass[a : a + n])) for a, n in zip(first, count)]
        paths = _paths(self.rows, first, np.minimum(count, self.n_best))
        return [Found(*found) for found in zip(paths, masses)]


def search(  # noqa: PLR0913
    ngram: NgramModel, lattices: list[Lattice], candidates: Candidates, *, beam: int, n_best: int, before: np.ndarray,
    temperature: float = 1.0, least: int = 1,
) -> list[Found]:  # fmt: skip
    """Up to `n_best` best paths of each lattice, and the mass of all (the forward algorithm). `before` is each line's history of
    symbols, int64 [L].

    A line keeps `beam` histories a place, and of rows that agree in all that the n-gram looks back on, the `n_best` best; rows more
    than MARGIN behind are given up, but for the `least` best of each line.
    """
    arcs = _Arcs(lattices)
    running = _Search(ngram, candidates, arcs, _Rows(before, arcs.longest), beam, n_best, temperature, least)
    for place in range(1, arcs.longest + 1):
        running.advance(place)
    return running.found()


def window(ngram: NgramModel, history: np.ndarray, word: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Log-probability [N] of each `word` [N] and of what follows it, after one `history` [1]."""
    row, total = np.zeros(len(word), np.int64), np.zeros(len(word))
    for symbol in (word, *(np.full(len(word), s) for s in following)):
        total += _log_p(ngram, history, row, symbol)
        history, row = ngram.extend(history[row], symbol), np.arange(len(word))
    return total


def _ragged(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For the numbers first ... first + count of each pair, one after the other: the pair, and the number."""
    at = np.repeat(np.arange(len(count)), count)
    return at, np.arange(len(at)) - (np.cumsum(count) - count - first)[at]


def _before(arcs: np.ndarray, first: np.ndarray, count: np.ndarray, leader: np.ndarray) -> _Before:
    at, row = _ragged(first, count)
    order = np.lexsort((row, leader[row], at))
    at, row = at[order], row[order]
    starts = np.flatnonzero(np.append(True, (at[1:] != at[:-1]) | (leader[row[1:]] != leader[row[:-1]])))
    return _Before(arcs[at[starts]], leader[row[starts]], starts, np.diff(np.append(starts, len(row))), row)


def _extended(
    ngram: NgramModel, histories: np.ndarray, before: _Before, candidates: Candidates, ends: np.ndarray
) -> _Extensions:
    """The leaders with every candidate of their arcs, and with the end of the line where that of an arc `ends`, bool [A]."""
    first = candidates.first[before.arc]
    head, candidate = _ragged(first, candidates.first[before.arc + 1] - first)
    row, arc = before.leader[head], before.arc[head]
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
    if len(final := np.flatnonzero(ends[arc])):
        added[final] += _log_p(ngram, history, final, np.full(len(final), BOUNDARY))
    return _Extensions(row, candidate, arc, head, added, history)


def _with_all(new: _Extensions, before: _Before) -> _Extensions:
    """The same of all rows of the leaders, in the order of arcs, rows and candidates."""
    at, place = _ragged(before.first[new.head], before.count[new.head])
    every = new.only(at)._replace(parent=before.row[place])
    return every.only(np.lexsort((every.candidate, every.parent, every.arc)))


def _log_p(ngram: NgramModel, histories: np.ndarray, row: np.ndarray, symbol: np.ndarray) -> np.ndarray:
    """Log-probability of each symbol after the history of its row; a boundary after a boundary is certain."""
    used, at = np.unique(row, return_inverse=True)
    log_p = ngram.log_p(ngram.contexts(histories[used]), at, symbol)
    return np.where((symbol == BOUNDARY) & (histories[row] == 0), 0.0, log_p)


def _best(  # noqa: PLR0913
    line: np.ndarray, history: np.ndarray, score: np.ndarray, log_mass: np.ndarray, *, beam: int, alike: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(number of each row that stays, which of these is its leader, its mass), of rows sorted by line; the result is too, best first.

    They are, of each line, the `beam` best histories, and of each history the `alike` best rows.
    """
    order = np.lexsort((-score, history, line))
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


def _near(line: np.ndarray, score: np.ndarray, least: int) -> np.ndarray:
    """Which rows, sorted by line, are within MARGIN of the best of their line or among its `least` best; bool."""
    starts = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
    top = np.maximum.reduceat(score, starts)
    near = score >= np.repeat(top, np.diff(np.append(starts, len(line)))) - MARGIN
    if least > 1:
        falling = np.lexsort((-score, line))
        near[falling[_rank(line[falling]) < least]] = True
    return near


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
