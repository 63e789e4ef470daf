"""Finding duplicates in a corpus of any size: keys of all blocks are sorted a part of their range at a time.

Every block leaves its keys sorted on disk. A part takes from each block the slice of keys in its range, so memory depends on the
size of a part and not on the corpus. A sentence is a duplicate when one before it, in the order of the sources, has the same key
(`exact`), or a band of equal MinHash values and a Jaccard similarity of at least the threshold (`near`; Broder 1997, banding after
Leskovec et al. 2014, ch. 3).
"""

import re
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np

from bmtool.chinese.hanzi import HANZI
from bmtool.config.text import Duplicates
from bmtool.errors import DataError
from bmtool.text.cleaning import Text

PART_KEYS = 1 << 22
PERMUTATIONS = 64
SIGNED_AT_ONCE = 1 << 12  # sentences whose MinHash values, as Python numbers, are in memory
RECALL = 0.95  # of the pairs at the threshold, how many share a band
ROW_BITS = 32  # a place is block << ROW_BITS | row
SPAN = 20  # hanzi in a row that a kept sentence may not share with a protected file
WHOLE = 8  # from so many hanzi on, a sentence may not equal a protected line that is shorter than SPAN

_NOT_HANZI = re.compile(f"[^{HANZI}]+")
_MIX = 0x9E3779B97F4A7C15
_BASE = 0x5851F42D4C957F2D


def mix(values: np.ndarray, salt: int) -> np.ndarray:
    """Well-spread uint64 of uint64 (the finaliser of SplitMix64); another `salt` gives independent ones."""
    x = values + np.uint64(salt * _MIX % (1 << 64))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# --- keys on disk ---


def write_keys(directory: Path, keys: np.ndarray, rows: np.ndarray) -> None:
    """`keys` (uint64) sorted, each with its row; equal keys stay in the order of their rows."""
    order = np.argsort(keys, kind="stable")
    np.save(directory / "keys.npy", keys[order])
    np.save(directory / "rows.npy", rows[order].astype(np.uint32))


def parts(count: int) -> list[tuple[int, int]]:
    """Ranges [low, high] of keys, enough of them to hold about PART_KEYS of `count` each."""
    number = max(1, -(-count // PART_KEYS))
    bounds = [(index << 64) // number for index in range(number + 1)]
    return [(low, high - 1) for low, high in pairwise(bounds)]


def _part(directories: list[Path], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of a range, sorted, and their places, in order among equal keys."""
    keys, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, directory in enumerate(directories):
        stored = np.load(directory / "keys.npy", mmap_mode="r")
        start = np.searchsorted(stored, np.uint64(low), side="left")
        end = np.searchsorted(stored, np.uint64(high), side="right")
        if end > start:
            rows = np.load(directory / "rows.npy", mmap_mode="r")[start:end].astype(np.uint64)
            keys.append(np.asarray(stored[start:end]))
            places.append(rows | np.uint64(number << ROW_BITS))
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(places)[order]


def exact(directory: Path, directories: list[Path], low: int, high: int) -> dict:
    """Job: places whose key occurred before, and where it occurred first."""
    keys, places = _part(directories, low, high)
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


def band_keys(sentences: list[str], rows: np.ndarray, settings: Duplicates) -> tuple[np.ndarray, np.ndarray]:
    """Band keys (uint64) of the given rows and the row of each; sentences with fewer than `min_hanzi` hanzi have none."""
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise DataError("data.duplicates.near needs rensa: pip install 'bmtool[text]'") from error
    text = Text(sentences)
    is_hanzi = text.is_hanzi
    counts = text.sums(is_hanzi)
    wanted = np.zeros(len(sentences), bool)
    wanted[rows] = True
    wanted &= counts >= max(settings.min_hanzi, settings.ngram)
    hanzi = text.codes[is_hanzi].astype(np.uint64)
    owner = np.repeat(np.arange(len(sentences)), counts)
    size = settings.ngram
    gram = np.zeros(max(0, len(hanzi) - size + 1), np.uint64)
    for offset in range(size):
        gram = gram * np.uint64(_BASE) + hanzi[offset : offset + len(gram)]
    inside = wanted[owner[: len(gram)]] & (owner[: len(gram)] == owner[size - 1 :][: len(gram)])
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return np.empty(0, np.uint64), np.empty(0, np.uint32)
    starts = np.append(0, np.cumsum(counts[chosen] - size + 1)).astype(np.uint64)
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
    directory: Path, directories: list[Path], texts: list[Path], low: int, high: int, settings: Duplicates
) -> dict:
    """Job: of all sentences that share a band key in this range, those similar to an earlier one; they are compared in full."""
    keys, places = _part(directories, low, high)
    group = np.cumsum(np.append(False, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
    again = np.append(False, keys[1:] == keys[:-1]) if len(keys) else np.zeros(0, bool)
    first_of = np.searchsorted(group, np.arange(group[-1] + 1 if len(group) else 0))
    later = np.flatnonzero(again)
    pairs = np.concatenate([
        np.stack([places[later], places[first_of[group[later]]]], axis=1),
        np.stack([places[later], places[later - 1]], axis=1),
    ])  # fmt: skip
    pairs = np.unique(pairs, axis=0)
    read = lru_cache(maxsize=1 << 12)(
        lambda place: ngrams(Stored(texts[place >> ROW_BITS]).sentence(place & 0xFFFFFFFF), settings.ngram)
    )
    similar = np.fromiter(
        (jaccard(read(a), read(b)) >= settings.threshold for a, b in pairs.tolist()), bool, len(pairs)
    )
    _write_pairs(directory, pairs[similar, 0], pairs[similar, 1])
    return {"keys": len(keys), "compared": len(pairs)}


def ngrams(sentence: str, size: int) -> frozenset[str]:
    """The distinct runs of `size` hanzi, anything else left out."""
    hanzi = _NOT_HANZI.sub("", sentence)
    return frozenset(hanzi[i : i + size] for i in range(len(hanzi) - size + 1))


def jaccard(a: frozenset, b: frozenset) -> float:
    """Size of the intersection over that of the union; 0 when both are empty."""
    return len(a & b) / len(a | b) if a or b else 0.0


# --- stored sentences ---


def store(directory: Path, sentences: list[str]) -> None:
    """Keep sentences so that each can be read alone."""
    encoded = [sentence.encode() for sentence in sentences]
    (directory / "text.bin").write_bytes(b"".join(encoded))
    np.cumsum([0, *map(len, encoded)], dtype=np.uint64).tofile(directory / "offsets.bin")


class Stored:
    """The sentences that `store` has written to a directory."""

    def __init__(self, directory: Path):
        self._text, self._offsets = (directory / name for name in ("text.bin", "offsets.bin"))

    def sentence(self, row: int) -> str:
        """One sentence, by two small reads: a mapped file would fill the memory with pages that are read once."""
        with self._offsets.open("rb") as stream:
            stream.seek(8 * row)
            start, end = np.frombuffer(stream.read(16), np.uint64).tolist()
        with self._text.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start).decode()

    def all(self) -> list[str]:
        data, offsets = self._text.read_bytes(), np.fromfile(self._offsets, np.uint64).tolist()
        return [data[a:b].decode() for a, b in pairwise(offsets)]


# --- protected files ---


def fingerprint(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What protected lines may not share: hashes of their runs of SPAN hanzi, and of whole shorter lines; sorted uint64."""
    hanzi = [h for line in lines if len(h := _NOT_HANZI.sub("", line)) >= WHOLE]
    codes, owner = _flat(hanzi)
    spans = _spans(codes)[_within(owner)]
    short = [line for line in hanzi if len(line) < SPAN]
    return np.unique(spans), np.unique(_whole(*_flat(short), len(short)))


def leaks(sentences: list[str], line: np.ndarray, protected: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Mask of the sentences that touch a protected span, across the sentences of a `line` too, or equal a short protected line."""
    spans, wholes = protected
    text = Text(sentences)
    is_hanzi = text.is_hanzi
    codes = text.codes[is_hanzi].astype(np.uint64)
    sentence = np.repeat(np.arange(len(sentences)), text.sums(is_hanzi))
    found = _among(_whole(codes, sentence, len(sentences)), wholes)
    starts = np.flatnonzero(_within(line[sentence]) & _among(_spans(codes), spans))
    for offset in range(SPAN):
        found[sentence[starts + offset]] = True
    return found


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mask of the values that are in `known`; nearly all are ruled out by a table of their low bits."""
    table = np.zeros(1 << 20, bool)
    table[(known & np.uint64(len(table) - 1)).astype(np.int64)] = True
    found = table[(values & np.uint64(len(table) - 1)).astype(np.int64)]
    maybe = np.flatnonzero(found)
    found[maybe] = np.isin(values[maybe], known)
    return found


def _flat(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all lines, and the line of each."""
    codes = np.frombuffer("".join(lines).encode("utf-32-le"), np.uint32).astype(np.uint64)
    return codes, np.repeat(np.arange(len(lines)), [len(line) for line in lines])


def _within(owner: np.ndarray) -> np.ndarray:
    """Mask of the positions from which SPAN items of one owner follow."""
    return owner[: max(0, len(owner) - SPAN + 1)] == owner[SPAN - 1 :]


def _spans(codes: np.ndarray) -> np.ndarray:
    """A hash of every SPAN = 16 + 4 code points in a row, uint64 [codes - SPAN + 1]: polynomials, doubled in length step by step."""
    count = max(0, len(codes) - SPAN + 1)
    values, length, four = codes, 1, codes
    while length < 16:
        factor = np.uint64(pow(_BASE, length, 1 << 64))
        values = values[: len(values) - length] * factor + values[length:] if len(values) > length else values[:0]
        length *= 2
        four = values if length == 4 else four
    return mix(values[:count] * np.uint64(pow(_BASE, 4, 1 << 64)) + four[16 : 16 + count], 4)


def _whole(codes: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """A hash of each owner's code points in order; 0 for an owner with fewer than WHOLE of them."""
    lengths = np.bincount(owner, minlength=count)
    position = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    terms = mix(codes + (position.astype(np.uint64) << np.uint64(32)), 5)
    sums, some = np.zeros(count, np.uint64), lengths > 0
    if len(terms):
        sums[some] = np.add.reduceat(terms, (np.cumsum(lengths) - lengths)[some])
    return np.where(lengths >= WHOLE, mix(sums, 6), np.uint64(0))


def protected_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `fingerprint` gave, from the directory it was kept in."""
    return np.load(path / "spans.npy", mmap_mode="r"), np.load(path / "wholes.npy", mmap_mode="r")


def sentence_keys(sentences: list[str]) -> np.ndarray:
    """uint64 of each sentence, BLAKE2b."""
    return np.frombuffer(b"".join([blake2b(s.encode(), digest_size=8).digest() for s in sentences]), np.uint64)
