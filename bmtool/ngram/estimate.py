"""Counting, Kneser-Ney smoothing and pruning of an n-gram model, as operations on sorted arrays of packed keys.

An n-gram of symbols a, b, c is one integer, `a << 28 | b << 14 | c`: sorted keys are sorted by context, and a context is the key without
its last symbol. Symbol 0 is the boundary; an n-gram may begin or end with it but does not reach across.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SYMBOL_BITS = 14
SYMBOLS = 1 << SYMBOL_BITS
MAX_ORDER = 4  # 56 bits
DISCOUNT = 0.75
_CHUNK = 1 << 22


class Counted(NamedTuple):
    """Sorted n-grams of one order, and how often each was seen."""

    keys: np.ndarray  # int64
    counts: np.ndarray  # int64


class Level(NamedTuple):
    """One order: discounted relative frequencies of n-grams, and for every context the mass left to the lower order."""

    keys: np.ndarray  # int64, sorted
    shares: np.ndarray  # float32
    contexts: np.ndarray  # int64, sorted
    left: np.ndarray  # float32


@dataclass
class Estimate:
    """p(w | h) = share(h w) + left(h) p(w | h without its first symbol), down to `unigram`."""

    unigram: np.ndarray  # float64 [symbols]
    levels: dict[int, Level]  # by order, from 2

    @property
    def order(self) -> int:
        return max(self.levels, default=1)

    def probability(self, history: np.ndarray, word: np.ndarray, order: int | None = None) -> np.ndarray:
        """p of every `word` after its packed `history`, by the orders up to `order`."""
        p = self.unigram[word]
        for n in range(2, (order or self.order) + 1):
            level, context = self.levels[n], suffix(history, n - 1)
            left = _find(level.contexts, level.left, context, 1.0)
            p = _find(level.keys, level.shares, context << SYMBOL_BITS | word, 0.0) + left * p
        return p


def suffix(keys: np.ndarray, length: int) -> np.ndarray:
    """The last `length` symbols."""
    return keys & ((1 << SYMBOL_BITS * length) - 1)


def _find(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray, otherwise: float) -> np.ndarray:
    if not len(keys):
        return np.full(len(wanted), otherwise)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], otherwise)


def _runs(sorted_keys: np.ndarray) -> np.ndarray:
    """Where each run of equal keys starts."""
    return np.flatnonzero(np.append(True, sorted_keys[1:] != sorted_keys[:-1])[: len(sorted_keys)])


# --- counting ---


def count(sequences: Iterable[np.ndarray], order: int) -> dict[int, Counted]:
    """How often every n-gram of 1 to `order` symbols occurs in `sequences`, each an array of symbols in which 0 marks boundaries.

    Memory grows with the number of distinct n-grams, 12 bytes each, not with the text.
    """
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must be between 1 and {MAX_ORDER}, got {order}")
    pending: dict[int, list[Counted]] = {n: [] for n in range(1, order + 1)}
    for sequence in sequences:
        framed = _framed(sequence)
        for n, parts in pending.items():
            keys = np.sort(_ngrams(framed, n))
            starts = _runs(keys)
            parts.append(Counted(keys[starts], np.diff(np.append(starts, len(keys)))))
            if len(parts) > 1 and len(parts[-1].keys) * 4 >= len(parts[-2].keys):
                parts[-2:] = [_merge(parts[-2:])]
    return {n: _merge(parts) for n, parts in pending.items()}


def _framed(sequence: np.ndarray) -> np.ndarray:
    """The sequence between boundaries, repeated boundaries made one."""
    framed = np.concatenate([[0], sequence, [0]]).astype(np.int64)
    return framed[np.append(True, (framed[1:] != 0) | (framed[:-1] != 0))]


def _ngrams(sequence: np.ndarray, n: int) -> np.ndarray:
    size = max(0, len(sequence) - n + 1)
    keys, whole = np.zeros(size, np.int64), np.ones(size, bool)
    for offset in range(n):
        symbol = sequence[offset : offset + size]
        keys = keys << SYMBOL_BITS | symbol
        if 0 < offset < n - 1:
            whole &= symbol != 0
    return keys[whole]


def _merge(parts: list[Counted]) -> Counted:
    if not parts:
        return Counted(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if len(parts) == 1:
        return parts[0]
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = _runs(keys)
    return Counted(keys[starts], np.add.reduceat(np.concatenate([part.counts for part in parts])[order], starts))


# --- smoothing ---


def kneser_ney(counted: dict[int, Counted], symbols: int) -> Estimate:
    """Interpolated Kneser-Ney (Ney, Essen & Kneser 1994; Chen & Goodman 1999) with one discount.

    Below the highest order an n-gram counts as often as there are different symbols before it; one that starts at a boundary, which
    has nothing before it, by its occurrences.
    """
    order = max(counted)
    unigram = _preceded(counted[2].keys, 1, np.arange(symbols)) if order > 1 else np.bincount(
        counted[1].keys, counted[1].counts, minlength=symbols
    )  # fmt: skip
    unigram = unigram + 0.5
    levels = {}
    for n in range(2, order + 1):
        keys, counts = counted[n]
        if n < order:
            different = _preceded(counted[n + 1].keys, n, keys)
            counts = np.where((keys >> SYMBOL_BITS * (n - 1) == 0) | (different == 0), counts, different)
        starts = _runs(keys >> SYMBOL_BITS)
        sizes = np.diff(np.append(starts, len(keys)))
        total = np.add.reduceat(counts, starts) if len(keys) else counts
        shares = (counts - DISCOUNT) / np.repeat(total, sizes)
        contexts = (keys >> SYMBOL_BITS)[starts]
        levels[n] = Level(keys, shares.astype(np.float32), contexts, (DISCOUNT * sizes / total).astype(np.float32))
    return Estimate(unigram / unigram.sum(), levels)


def _preceded(longer: np.ndarray, n: int, keys: np.ndarray) -> np.ndarray:
    """For each of the n-grams `keys` the number of `longer` ones that end with it."""
    ends = np.sort(suffix(longer, n))
    starts = _runs(ends)
    return _find(ends[starts], np.diff(np.append(starts, len(ends))), keys, 0).astype(np.int64)


# --- pruning ---


def prune(model: Estimate, counted: dict[int, Counted], entries: int) -> Estimate:
    """The about `entries` n-grams of order 2 and up that the model would miss most.

    An n-gram's worth is its count times what it adds to the log-probability of its last symbol over the lower order (Seymore &
    Rosenfeld 1996). With a kept n-gram its beginning and its end are kept, so that both can be looked up on the way to it.
    """
    worth = {n: _worth(model, counted, n) for n in model.levels}
    everything = np.sort(np.concatenate([np.zeros(0), *(w[w > 0] for w in worth.values())]))
    least = everything[-entries] if 0 < entries < len(everything) else 0.0 if entries else np.inf
    kept = {n: np.flatnonzero((w > 0) & (w >= least)) for n, w in worth.items()}
    levels: dict[int, Level] = {}
    needed = np.zeros(0, np.int64)
    for n in sorted(model.levels, reverse=True):
        level = model.levels[n]
        keep = np.zeros(len(level.keys), bool)
        keep[kept[n]] = True
        keep[np.searchsorted(level.keys, needed)] = True
        keys = level.keys[keep]
        needed = np.union1d(keys >> SYMBOL_BITS, suffix(keys, n - 1)) if n > 2 else needed
        starts = _runs(level.keys >> SYMBOL_BITS)
        mass = np.add.reduceat(np.where(keep, level.shares, 0), starts)
        some = np.isin(level.contexts, keys >> SYMBOL_BITS, assume_unique=False)
        levels[n] = Level(keys, level.shares[keep], level.contexts[some], (1 - mass[some]).astype(np.float32))
    return Estimate(model.unigram, dict(sorted(levels.items())))


def _worth(model: Estimate, counted: dict[int, Counted], n: int) -> np.ndarray:
    """The worth of every n-gram of order `n`; 0 for what was seen once, which is most of them and never kept."""
    level, out = model.levels[n], np.zeros(len(model.levels[n].keys), np.float32)
    often = np.flatnonzero(counted[n].counts > 1)
    for start in range(0, len(often), _CHUNK):
        rows = often[start : start + _CHUNK]
        context, word = level.keys[rows] >> SYMBOL_BITS, level.keys[rows] & (SYMBOLS - 1)
        lower = model.probability(suffix(context, n - 2), word, n - 1)
        left = _find(level.contexts, level.left, context, 1.0)
        gain = np.log((level.shares[rows] + left * lower) / (left * lower))
        out[rows] = counted[n].counts[rows] * gain
    return out
