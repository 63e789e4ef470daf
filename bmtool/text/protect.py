"""Keeping files to measure on out of training text.

What may not be shared is counted in hanzi: SPAN of them in a row, or a whole protected line of at least WHOLE. A word of a language
that is written with spaces counts as two, so that spans of English are 10 words and short lines 4; decontamination of language
models usually looks for 8 to 13 words in a row (Brown et al. 2020, appendix C).
"""

from pathlib import Path

import numpy as np

from bmtool.text.keys import mix
from bmtool.text.units import units

SPAN = 20  # hanzi in a row that a kept sentence may not share with a protected file
WHOLE = 8  # from so many hanzi on, a sentence may not equal a protected line that is shorter than SPAN
_BASE = 0x5851F42D4C957F2D


def fingerprint(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What protected texts may not share: hashes of their runs of SPAN, and of whole shorter ones; sorted uint64."""
    values, owner = _weighed(texts)
    spans = _spans(values)[_within(owner)]
    lengths = np.bincount(owner, minlength=len(texts))
    whole = _whole(values, owner, len(texts))[(lengths >= WHOLE) & (lengths < SPAN)]
    return np.unique(spans), np.unique(whole)


def leaks(texts: list[str], line: np.ndarray, protected: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Mask of the texts that touch a protected span, across the texts of a `line` too, or equal a short protected line."""
    spans, wholes = protected
    values, owner = _weighed(texts)
    found = _among(_whole(values, owner, len(texts)), wholes)
    starts = np.flatnonzero(_within(line[owner]) & _among(_spans(values), spans))
    for offset in range(SPAN):
        found[owner[starts + offset]] = True
    return found


def _weighed(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The units of all texts, words twice in a row, and the text of each."""
    found = units(texts)
    times = 1 + found.is_word
    return np.repeat(found.values, times), np.repeat(found.owner, times)


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mask of the values that are in `known`; nearly all are ruled out by a table of their low bits."""
    table = np.zeros(1 << 20, bool)
    table[(known & np.uint64(len(table) - 1)).astype(np.int64)] = True
    found = table[(values & np.uint64(len(table) - 1)).astype(np.int64)]
    maybe = np.flatnonzero(found)
    found[maybe] = np.isin(values[maybe], known)
    return found


def _within(owner: np.ndarray) -> np.ndarray:
    """Mask of the positions from which SPAN items of one owner follow."""
    return owner[: max(0, len(owner) - SPAN + 1)] == owner[SPAN - 1 :]


def _spans(units: np.ndarray) -> np.ndarray:
    """A hash of every SPAN = 16 + 4 values in a row, uint64 [units - SPAN + 1]: polynomials, doubled in length step by step."""
    count = max(0, len(units) - SPAN + 1)
    values, length, four = units, 1, units
    while length < 16:
        factor = np.uint64(pow(_BASE, length, 1 << 64))
        values = values[: len(values) - length] * factor + values[length:] if len(values) > length else values[:0]
        length *= 2
        four = values if length == 4 else four
    return mix(values[:count] * np.uint64(pow(_BASE, 4, 1 << 64)) + four[16 : 16 + count], 4)


def _whole(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """A hash of each owner's values in order; 0 for an owner with fewer than WHOLE of them."""
    lengths = np.bincount(owner, minlength=count)
    position = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    terms = mix(values + (position.astype(np.uint64) << np.uint64(32)), 5)
    sums, some = np.zeros(count, np.uint64), lengths > 0
    if len(terms):
        sums[some] = np.add.reduceat(terms, (np.cumsum(lengths) - lengths)[some])
    return np.where(lengths >= WHOLE, mix(sums, 6), np.uint64(0))


def protected_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `fingerprint` gave, from the directory it was kept in."""
    return np.load(path / "spans.npy", mmap_mode="r"), np.load(path / "wholes.npy", mmap_mode="r")
