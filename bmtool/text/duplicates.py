"""Finding duplicates in a corpus of any size: keys of all blocks are sorted a part of their range at a time.

Every block leaves its keys sorted on disk (`keys`). A part takes from each block the slice of keys in its range, so memory depends on
the size of a part and not on the corpus. A sentence is a duplicate when one before it, in the order of the sources, has the same key
(`exact`), or a band of equal MinHash values and a Jaccard similarity of at least the threshold (`near`; Broder 1997, banding after
Leskovec et al. 2014, ch. 3). Similarity is that of the sets of n-grams of `units`: hanzi, or words.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from bmtool.base.needs import needs
from bmtool.config.text import Duplicates
from bmtool.errors import DataError
from bmtool.text.keys import ROW_BITS, mix, read_part
from bmtool.text.records import measured_text
from bmtool.text.store import Stored
from bmtool.text.units import units

PERMUTATIONS = 64
SIGNED_AT_ONCE = 1 << 12  # sentences whose MinHash values, as Python numbers, are in memory
RECALL = 0.95  # of the pairs at the threshold, how many share a band
_BASE = 0x5851F42D4C957F2D


def exact(directory: Path, directories: list[Path], low: int, high: int) -> dict:
    """Job: places whose key occurred before, and where it occurred first."""
    keys, places = read_part(directories, low, high)
    again = np.append(False, keys[1:] == keys[:-1]) if len(keys) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(keys))))[again]
    _write_pairs(directory, places[again], places[first])
    return {"keys": len(keys)}


def _write_pairs(directory: Path, places: np.ndarray, firsts: np.ndarray) -> None:
    order = np.argsort(places, kind="stable")
    np.save(directory / "places.npy", places[order])
    np.save(directory / "firsts.npy", firsts[order])


def of_block(results: list[Path], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one block that are duplicates, sorted and without repeats, and the place of what each repeats."""
    rows, firsts = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for result in results:
        places = np.load(result / "places.npy", mmap_mode="r")
        start, end = np.searchsorted(places, np.array([number, number + 1], np.uint64) << np.uint64(ROW_BITS))
        if end > start:
            rows.append(places[start:end] & np.uint64((1 << ROW_BITS) - 1))
            firsts.append(np.asarray(np.load(result / "firsts.npy", mmap_mode="r")[start:end]))
    joined, at = np.unique(np.concatenate(rows), return_index=True)
    return joined.astype(np.int64), np.concatenate(firsts)[at]


# --- near-duplicates ---


def bands(threshold: float) -> tuple[int, int]:
    """(bands, values a band): the longest bands with which RECALL of the pairs at `threshold` share one."""
    for size in range(PERMUTATIONS, 1, -1):
        count = PERMUTATIONS // size
        if 1 - (1 - threshold**size) ** count >= RECALL:
            return count, size
    return PERMUTATIONS, 1


def band_keys(texts: list[str], rows: np.ndarray, settings: Duplicates) -> tuple[np.ndarray, np.ndarray]:
    """Band keys (uint64) of the given rows and the row of each; texts with fewer than `min_units` units have none."""
    with needs("rensa", "data.duplicates.near takes rensa", error=DataError):
        from rensa import RMinHash
    found = units(texts)
    wanted = np.zeros(len(texts), bool)
    wanted[rows] = True
    wanted &= found.counts >= max(settings.min_units, settings.ngram)
    size, values, owner = settings.ngram, found.values, found.owner
    gram = np.zeros(max(0, len(values) - size + 1), np.uint64)
    for offset in range(size):
        gram = gram * np.uint64(_BASE) + values[offset : offset + len(gram)]
    inside = wanted[owner[: len(gram)]] & (owner[: len(gram)] == owner[size - 1 :][: len(gram)])
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return np.empty(0, np.uint64), np.empty(0, np.uint32)
    starts = np.append(0, np.cumsum(found.counts[chosen] - size + 1)).astype(np.uint64)
    hashes = mix(gram[inside], 1)
    values = np.empty((len(chosen), PERMUTATIONS), np.uint64)
    for some in range(0, len(chosen), SIGNED_AT_ONCE):
        bounds = starts[some : some + SIGNED_AT_ONCE + 1]
        here = hashes[bounds[0] : bounds[-1]]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(here, bounds - bounds[0], PERMUTATIONS, 1)
        values[some : some + len(bounds) - 1] = matrix.to_rows()
    count, width = bands(settings.threshold)
    keys = np.zeros((len(chosen), count), np.uint64)
    for offset in range(width):
        keys = mix(keys ^ values[:, offset : count * width : width], 2)
    keys = mix(keys + np.arange(count, dtype=np.uint64), 3)
    return keys.reshape(-1), np.repeat(chosen, count)


def near(  # noqa: PLR0913
    directory: Path, directories: list[Path], low: int, high: int, stored: list[tuple[Path, int]], settings: Duplicates
) -> dict:
    """Job: of all sentences that share a band key in this range, those similar to an earlier one; they are compared in full.

    stored: for each block where its sentences lie, and the column that is measured.
    """
    keys, places = read_part(directories, low, high)
    pairs = _sharing(keys, places)

    @lru_cache(maxsize=1 << 12)
    def read(place: int) -> frozenset:
        folder, column = stored[place >> ROW_BITS]
        return ngrams(measured_text(Stored(folder).sentence(place & 0xFFFFFFFF), column), settings.ngram)

    similar = np.fromiter(
        (jaccard(read(a), read(b)) >= settings.threshold for a, b in pairs.tolist()), bool, len(pairs)
    )
    _write_pairs(directory, pairs[similar, 0], pairs[similar, 1])
    return {"keys": len(keys), "compared": len(pairs)}


def _sharing(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(later, earlier) places of equal keys, uint64 [pairs, 2]: each with the first of its key and with the one before it."""
    group = np.cumsum(np.append(False, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
    again = np.append(False, keys[1:] == keys[:-1]) if len(keys) else np.zeros(0, bool)
    first_of = np.searchsorted(group, np.arange(group[-1] + 1 if len(group) else 0))
    later = np.flatnonzero(again)
    pairs = np.concatenate([
        np.stack([places[later], places[first_of[group[later]]]], axis=1),
        np.stack([places[later], places[later - 1]], axis=1),
    ])  # fmt: skip
    return np.unique(pairs, axis=0)


def ngrams(text: str, size: int) -> frozenset[tuple[int, ...]]:
    """The distinct runs of `size` units."""
    values = units([text]).values.tolist()
    return frozenset(zip(*(values[offset:] for offset in range(size))))


def jaccard(a: frozenset, b: frozenset) -> float:
    """Size of the intersection over that of the union; 0 when both are empty."""
    return len(a & b) / len(a | b) if a or b else 0.0
