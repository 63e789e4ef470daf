"""A pruned n-gram model in two bytes an n-gram: packed from an estimate, kept in one file an order, looked up by arrays of histories.

p(w | h) is stored for the n-grams that are kept; for others it is left(h) p(w | h without its first symbol) (backing off, Katz 1987).
Logarithms are rounded to 16, 32 or 256 levels. Shapes: R histories, N words.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bmtool.ngram.estimate import SYMBOL_BITS, SYMBOLS, Estimate, suffix
from bmtool.ngram.table import Table, build

# Of a value: below the highest order one of the six says that longer n-grams begin with this one.
_BITS, _LEFT_BITS = 6, 8


@dataclass(frozen=True)
class Level:
    """The n-grams of one order; `left` belongs to those that longer n-grams begin with."""

    ngrams: Table
    log_p: np.ndarray  # float32 [levels]
    left: Table | None = None  # None in the highest order
    log_left: np.ndarray | None = None  # float32 [256]


class Contexts(NamedTuple):
    """What R histories say whatever comes next: for each order from 2 whether it has something to say, and log left(h)."""

    history: np.ndarray  # int64 [R]
    active: list[np.ndarray]  # bool [R]
    log_left: list[np.ndarray]  # float32 [R]


class NgramModel:
    """A history is its last symbols packed as in `estimate`; 0 is the beginning of a text, where a boundary stands before it."""

    def __init__(self, unigram: np.ndarray, first_left: np.ndarray, levels: dict[int, Level]):
        self.unigram = unigram  # log-probability float32 [symbols]
        self.first_left = (
            first_left  # log left of histories of one symbol, float32 [symbols]; NaN where nothing is known to follow
        )
        self.levels, self.order = levels, max(levels, default=1)

    def extend(self, history: np.ndarray, word: np.ndarray) -> np.ndarray:
        """The histories behind `word`; nothing before a boundary matters."""
        return np.where(word == 0, 0, suffix(history << SYMBOL_BITS | word, max(1, self.order - 1)))

    def contexts(self, history: np.ndarray) -> Contexts:
        active, log_left = [], []
        if self.order > 1:
            left = self.first_left[suffix(history, 1)]
            active.append(~np.isnan(left))
            log_left.append(left)
        known = np.arange(len(history))
        for n in range(3, self.order + 1):
            level, here = self.levels[n - 1], np.zeros(len(history), bool)
            left = np.zeros(len(history), np.float32)
            value, there = level.ngrams.find(suffix(history[known], n - 1))
            known, value = known[there], value[there]
            rows = known[value >> _BITS - 1 == 1]
            here[rows] = True
            left[rows] = level.log_left[level.left.find(suffix(history[rows], n - 1))[0]]
            active.append(here)
            log_left.append(left)
        return Contexts(history, active, log_left)

    def log_p(self, contexts: Contexts, row: np.ndarray, word: np.ndarray) -> np.ndarray:
        """Log-probability float32 [N] of each `word` after the history number `row`."""
        out, found = self.unigram[word], np.arange(len(word))
        for n in range(2, self.order + 1):
            active, left = contexts.active[n - 2], contexts.log_left[n - 2]
            out += np.where(active, left, np.float32(0))[row]
            found = found[active[row[found]]]
            level = self.levels[n]
            keys = suffix(contexts.history, n - 1)[row[found]] << SYMBOL_BITS | word[found]
            value, there = level.ngrams.find(keys)
            found = found[there]
            out[found] = level.log_p[value[there] & len(level.log_p) - 1]
        return out

    # -- files --------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """File name -> arrays; `from_arrays` takes them back."""
        files = {
            "ngram-1": {"unigram": self.unigram.astype(np.float16), "first_left": self.first_left.astype(np.float16)}
        }
        for n, level in self.levels.items():
            files[f"ngram-{n}"] = _table("ngrams", level.ngrams) | {"log_p": level.log_p}
            if level.left is not None:
                files[f"ngram-{n}"] |= _table("left", level.left) | {"log_left": level.log_left}
        return files

    @classmethod
    def from_arrays(cls, files: dict[str, dict[str, np.ndarray]]) -> "NgramModel":
        first, levels = files["ngram-1"], {}
        for n in range(2, len(files) + 1):
            arrays = files[f"ngram-{n}"]
            left = _table_of("left", arrays) if "left.cells" in arrays else None
            levels[n] = Level(_table_of("ngrams", arrays), arrays["log_p"], left, arrays.get("log_left"))
        return cls(first["unigram"].astype(np.float32), first["first_left"].astype(np.float32), levels)


def _table(name: str, table: Table) -> dict[str, np.ndarray]:
    return {
        f"{name}.cells": table.cells,
        f"{name}.shape": np.array([table.value_bits, table.segment, table.seed], np.int64),
    }


def _table_of(name: str, arrays: dict[str, np.ndarray]) -> Table:
    return Table(arrays[f"{name}.cells"], *arrays[f"{name}.shape"].tolist())


# --- packing ---


def pack(model: Estimate) -> NgramModel:
    """The estimate in its small form."""
    levels = {n: _level(model, n) for n in model.levels}
    first_left = np.full(len(model.unigram), np.nan, np.float32)
    if 2 in model.levels:
        first_left[model.levels[2].contexts] = _log(model.levels[2].left)
    return NgramModel(_log(model.unigram), first_left, levels)


def _level(model: Estimate, n: int) -> Level:
    level, longer = model.levels[n], model.levels.get(n + 1)
    context, word = level.keys >> SYMBOL_BITS, level.keys & SYMBOLS - 1
    # A context's mass is split among its n-grams and what is left, so this is p(word | context) of the whole model.
    lower = model.probability(suffix(context, n - 2), word, n - 1)
    left = np.repeat(level.left, np.diff(np.append(np.searchsorted(context, level.contexts), len(context))))
    log_p = _log(level.shares + left * lower)
    if longer is None:
        value, levels = _rounded(log_p, 1 << _BITS)
        return Level(build(level.keys, value, _BITS, np.uint16), levels)
    value, levels = _rounded(log_p, 1 << _BITS - 1)
    begins = np.isin(level.keys, longer.contexts)
    ngrams = build(level.keys, value | begins.astype(value.dtype) << _BITS - 1, _BITS, np.uint16)
    left_value, log_left = _rounded(_log(longer.left), 1 << _LEFT_BITS)
    return Level(ngrams, levels, build(longer.contexts, left_value, _LEFT_BITS, np.uint8), log_left)


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, 1e-9)).astype(np.float32)


def _rounded(values: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(number of the nearest level, the levels): Lloyd's algorithm (1982) on a histogram, from quantiles."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(levels, np.float32)
    edges = np.linspace(values.min() - 1e-6, values.max() + 1e-6, 4097)
    counts, _ = np.histogram(values, edges)
    middle = (edges[1:] + edges[:-1]) / 2
    centers = np.interp(np.linspace(0, counts.sum(), levels + 2)[1:-1], np.cumsum(counts), middle)
    for _ in range(50):
        nearest = np.searchsorted((centers[1:] + centers[:-1]) / 2, middle)
        weight = np.bincount(nearest, counts, minlength=levels)
        moment = np.bincount(nearest, counts * middle, minlength=levels)
        centers = np.where(weight > 0, moment / np.maximum(weight, 1), centers)
    centers = np.sort(centers).astype(np.float32)
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, values), centers
