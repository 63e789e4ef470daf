"""Measuring lists of items: how well they hit what users took next (accuracy), and what else they are like. Every item that a user has
not taken is ranked, never a sample. Shapes: B users, I items, D places that are looked at (DEPTH).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from bmtool.measure.bootstrap import ratio, summed
from bmtool.measure.meter import Totals
from bmtool.measure.report import Measured

DEPTH, PLACES = 20, 10  # places that are looked at, and those of most figures
NEVER = 1 << 40  # the rank of what is not ranked
COUNTED = 1 << 27  # items x columns up to which coverage and Gini get intervals
# Users by how many items of theirs are known, items by how often they were taken: names and lower bounds.
ACTIVITY = (("nothing known", 0), ("1 to 9", 1), ("10 to 49", 10), ("50 to 199", 50), ("200 or more", 200))
POPULARITY = ("head", "middle", "tail", "not in training")
_GAIN = 1 / np.log2(np.arange(2, DEPTH + 2))  # of a hit at each place (Järvelin and Kekäläinen 2002)
_IDEAL = np.append(0.0, np.cumsum(_GAIN))
# What each user adds, in the order of `_of_user`; means over users. The last three only help others.
_MEANS = ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "precision@10", "f1@10", "hr@10", "map", "mrr", "auc", "diversity@10",
          "novelty@10", "serendipity@10")  # fmt: skip
_WIDTH, _BY_USERS, _BY_ITEMS = len(_MEANS) + 3, 3 * len(ACTIVITY), 2 * len(POPULARITY)


class Ranked(NamedTuple):
    """What was ranked for each user. `top` int [B, D], the best first, -1 where there is no more; `ranks` of what is right, from 0 on;
    `candidates` int [B]: how many items were ranked; `known` int [B]: how many items of theirs were known; `expected` int [B, PLACES]: what
    would be shown to everybody, less what they have taken."""

    top: np.ndarray
    ranks: list[np.ndarray]
    candidates: np.ndarray
    known: np.ndarray
    expected: np.ndarray


class Items(NamedTuple):
    """What is known of the items that are ranked. `taken` int [I]: how often each was, in training, by `users`; words of item i, and how
    much they say of it, so that the squares of an item add up to 1, are at `bounds[i] : bounds[i + 1]` (None: nothing is known)."""

    taken: np.ndarray
    users: int
    words: "Words | None" = None

    @property
    def group(self) -> np.ndarray:
        """Of each item, a place in POPULARITY: the commonest that make up a third of all, the next third, the rest, those never taken."""
        order = np.argsort(-self.taken, kind="stable")
        before = np.cumsum(self.taken[order]) - self.taken[order]
        group = np.empty(len(order), np.int64)
        group[order] = np.minimum(3 * before // max(1, int(self.taken.sum())), 2)
        return np.where(self.taken == 0, 3, group)


class Words(NamedTuple):
    """Of items, as `Items` says; `numbers` int and `weights` float [entries]."""

    bounds: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray


def ranked(
    scores: np.ndarray, seen: Sequence[np.ndarray], relevant: Sequence[np.ndarray], popular: np.ndarray
) -> Ranked:
    """Rank all items but those `seen` by falling score [B, I]; of equal ones that with the lower number, which is a hash, comes first.

    `popular` are all items, the commonest first. What is `relevant` and was seen has the rank NEVER.
    """
    scores = np.array(scores, np.float32)
    for row, items in zip(scores, seen):
        row[items] = -np.inf
    rising = np.sort(scores, axis=1)
    top = np.full((len(scores), DEPTH), -1)
    for place, (row, ordered) in enumerate(zip(scores, rising)):
        best = _best(row, ordered)
        top[place, : len(best)] = best
    ranks = [_ranks(row, ordered, items) for row, ordered, items in zip(scores, rising, relevant)]
    candidates = np.isfinite(rising).sum(axis=1)
    known = np.array([len(items) for items in seen])
    return Ranked(top, ranks, candidates, known, expected(seen, popular))


def _best(row: np.ndarray, rising: np.ndarray) -> np.ndarray:
    least = rising[-min(DEPTH, len(rising))]
    found = np.flatnonzero((row >= least) & (row > -np.inf))
    return found[np.argsort(-row[found], kind="stable")][:DEPTH]


def _ranks(row: np.ndarray, rising: np.ndarray, items: np.ndarray) -> np.ndarray:
    above = len(rising) - np.searchsorted(rising, row[items], side="right")
    equal = np.searchsorted(rising, row[items], side="right") - np.searchsorted(rising, row[items], side="left")
    for place in np.flatnonzero(equal > 1).tolist():
        above[place] += np.count_nonzero(row[: items[place]] == row[items[place]])
    return np.where(np.isfinite(row[items]), above, NEVER)


def expected(seen: Sequence[np.ndarray], popular: np.ndarray) -> np.ndarray:
    """int [B, PLACES]: the most popular items that each user has not taken; -1 where there are no more."""
    out = np.full((len(seen), PLACES), -1)
    for row, items in zip(out, seen):
        first = popular[: PLACES + len(items)]
        left = first[~np.isin(first, items)][:PLACES]
        row[: len(left)] = left
    return out


class RankingMeter:
    """`said` is `Ranked`, `truth` the items that are right, int [n] for each user, at least one.

    Means over users: `ndcg@k` (gain 1 for a hit, ideal of min(n, k)), `recall@k`, `precision@k`, `f1@k`, `hr@k` (any hit), `map` and `mrr`
    over the whole ranking, `auc` (of pairs of a right and another item). Beside accuracy: `coverage@10`, the share of all items that
    somebody is shown; `gini@10`, how unevenly (0: all alike); `diversity@10`, 1 - the mean cosine of what is written about two items of a
    list; `novelty@10`, -log2 of the share of users who took an item; `serendipity@10`, the share of places with a hit that is not among
    what is popular; `popularity_bias@10`, by how much more often what is shown was taken than what is right (0: alike, 1: twice as often).
    """

    names: ClassVar = (*_MEANS[:10], "coverage@10", "gini@10", *_MEANS[10:], "popularity_bias@10")

    def __init__(self, items: Items, columns: int = 1):
        self.items, self.columns, self.users = items, columns, 0
        self._group = items.group
        # What each user adds; users, ndcg@10, recall@10 of each group of users; right items and hits of each group of items.
        self._sums = Totals(_WIDTH + _BY_USERS + _BY_ITEMS, columns)
        self._resampled = columns * len(items.taken) <= COUNTED
        self._shown = np.zeros((len(items.taken), columns if self._resampled else 1), np.float32)

    def add(self, said: Ranked, truth: Sequence[np.ndarray], weight: np.ndarray) -> None:
        rows = np.zeros((len(truth), _WIDTH))
        rows[:, :10] = [_accuracy(ranks, count) for ranks, count in zip(said.ranks, said.candidates)]
        rows[:, 10:] = self._beside(said, truth)
        parts = [rows, _by_activity(rows, said.known), self._by_popularity(said, truth)]
        self._sums.add(np.concatenate(parts, axis=1), weight)
        self._show(said.top[:, :PLACES], weight if self._resampled else weight[:, :1])
        self.users += len(truth)

    def _show(self, top: np.ndarray, weight: np.ndarray) -> None:
        users, _ = np.nonzero(top >= 0)
        used, sums = summed(top[top >= 0], users, weight)
        self._shown[used] += sums

    def _beside(self, said: Ranked, truth: Sequence[np.ndarray]) -> np.ndarray:
        """[B, 6]: diversity, novelty, serendipity; how often what is shown, and what is right, was taken; 1."""
        top, taken = said.top[:, :PLACES], self.items.taken
        there = top >= 0
        places = np.maximum(there.sum(axis=1), 1)
        hit = np.stack([np.isin(row, right) for row, right in zip(top, truth)]) & there
        usual = (top[:, :, None] == said.expected[:, None, :]).any(axis=2)
        novelty = -np.log2((taken[top] + 1.0) / (self.items.users + 1.0))
        return np.stack([
            self._diversity(top), (novelty * there).sum(axis=1) / places, (hit & ~usual).sum(axis=1) / PLACES,
            (taken[top] * there).sum(axis=1) / places, [taken[right].mean() for right in truth], np.ones(len(top)),
        ], axis=1)  # fmt: skip

    def _diversity(self, top: np.ndarray) -> np.ndarray:
        """[B]. The cosines of all pairs add up to half of |sum of the items|^2 less the sum of their squares."""
        if self.items.words is None:
            return np.full(len(top), np.nan)
        bounds, numbers, weights = self.items.words
        users, items = np.nonzero(top >= 0)[0], top[top >= 0]
        lengths = np.diff(bounds)[items]
        places = np.arange(lengths.sum()) + np.repeat(bounds[items] - (np.cumsum(lengths) - lengths), lengths)
        keys = np.repeat(users, lengths) * (int(numbers.max(initial=0)) + 1) + numbers[places]
        _, at, place = np.unique(keys, return_index=True, return_inverse=True)
        together = np.bincount(place, weights[places].astype(np.float64), len(at))
        owner = np.repeat(users, lengths)[at]
        whole = np.bincount(owner, together**2, len(top))
        alone = np.bincount(users, lengths > 0, len(top))
        pairs = (top >= 0).sum(axis=1) * ((top >= 0).sum(axis=1) - 1)
        return 1 - np.divide(whole - alone, pairs, out=np.zeros(len(top)), where=pairs > 0)

    def _by_popularity(self, said: Ranked, truth: Sequence[np.ndarray]) -> np.ndarray:
        """[B, 2 x groups]: right items of each group, and how many of them are in the first places."""
        groups = len(POPULARITY)
        rows = np.zeros((len(truth), 2 * groups))
        for row, right, ranks in zip(rows, truth, said.ranks):
            row[:groups] = np.bincount(self._group[right], minlength=groups)
            row[groups:] = np.bincount(self._group[right[ranks < PLACES]], minlength=groups)
        return rows

    def state(self) -> list[np.ndarray]:
        return [self._sums.total, self._shown, np.array([self.users])]

    def join(self, states: Iterable[list[np.ndarray]]) -> None:
        held = list(states)
        self._sums.join([state[:1] for state in held])
        self._shown = sum((state[1] for state in held), np.zeros_like(self._shown))
        self.users = sum(int(state[2][0]) for state in held)

    def figures(self) -> dict[str, np.ndarray]:
        sums = self._sums.total[:, :_WIDTH]
        means = {name: ratio(sums[:, place], sums[:, -1]) for place, name in enumerate(_MEANS)}
        bias = ratio(sums[:, -3], sums[:, -2]) - 1
        found = means | {
            "coverage@10": self._padded(_coverage(self._shown)),
            "gini@10": self._padded(gini(self._shown)),
        }
        return {name: found.get(name, bias) for name in self.names}

    def _padded(self, values: np.ndarray) -> np.ndarray:
        return np.append(values, np.full(self.columns - len(values), np.nan))

    def measured(self) -> Measured:
        shown, taken = self._shown[:, 0].copy(), self.items.taken
        remarks = (
            [] if self._resampled else ["coverage and gini have no intervals: there are too many items to resample"]
        )
        return Measured(
            self.users, self.figures(), self._slices(), remarks=remarks,
            pictures={"shown": lambda path: _draw(shown, taken, path)},
        )  # fmt: skip

    def _slices(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        _, by_users, by_items = np.split(self._sums.total, [_WIDTH, _WIDTH + _BY_USERS], axis=1)
        users, ndcg, recall = by_users.reshape(self.columns, 3, len(ACTIVITY)).transpose(1, 2, 0)
        right, hits = by_items.reshape(self.columns, 2, len(POPULARITY)).transpose(1, 2, 0)
        activity = {
            name: {"examples": users[place], "ndcg@10": ratio(ndcg[place], users[place]), "recall@10": ratio(recall[place], users[place])}
            for place, (name, _) in enumerate(ACTIVITY) if users[place, 0]
        }  # fmt: skip
        popularity = {
            name: {"examples": right[place], "recall@10": ratio(hits[place], right[place])}
            for place, name in enumerate(POPULARITY) if right[place, 0]
        }  # fmt: skip
        return {"items known of a user": activity, "popularity of what is right": popularity}


def _accuracy(ranks: np.ndarray, candidates: int) -> list[float]:
    """The first ten of _MEANS, of one user whose right items have these ranks among so many."""
    ordered, count = np.sort(ranks), len(ranks)
    hits10, hits20 = (int((ordered < places).sum()) for places in (PLACES, DEPTH))
    ndcg = [
        float(_GAIN[ordered[:hits]].sum() / _IDEAL[min(count, k)]) for hits, k in ((hits10, PLACES), (hits20, DEPTH))
    ]
    ranked_ones = ordered[ordered < candidates]
    precision = (np.arange(len(ranked_ones)) + 1) / (ranked_ones + 1)
    others = candidates - len(ranked_ones)
    above = (ranked_ones - np.arange(len(ranked_ones))).mean() if len(ranked_ones) else 0.0
    return [
        *ndcg, hits10 / count, hits20 / count, hits10 / PLACES, 2 * hits10 / (PLACES + count), float(hits10 > 0),
        float(precision.sum() / count), 1 / (ordered[0] + 1) if len(ranked_ones) else 0.0, 1 - above / others if others else 0.5,
    ]  # fmt: skip


def _by_activity(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[B, 3 x groups]: 1, ndcg@10 and recall@10 at the group of each user."""
    group = np.searchsorted([least for _, least in ACTIVITY], known, side="right") - 1
    at = (group[:, None] == np.arange(len(ACTIVITY))).astype(np.float64)
    return np.concatenate([at, at * rows[:, :1], at * rows[:, 2:3]], axis=1)


def _coverage(shown: np.ndarray) -> np.ndarray:
    return (shown > 0).mean(axis=0)


def gini(shown: np.ndarray) -> np.ndarray:
    """[columns] of how often each item is shown [I, columns]: 0 where all are alike, 1 - 1 / I where one has all; NaN for nothing."""
    ordered, count = np.sort(shown, axis=0).astype(np.float64), len(shown)
    place = np.arange(1, count + 1) * 2 - count - 1
    return ratio(place @ ordered, count * ordered.sum(axis=0))


def _draw(shown: np.ndarray, taken: np.ndarray, path: Path) -> None:
    from bmtool.measure import plots  # matplotlib, which training does without

    plots.lorenz({"shown": shown, "taken in training": taken}, path)
