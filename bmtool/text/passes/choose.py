"""Pass 3: what is kept of each block, and for which split: nothing that a protected file shares, no more than the cap of its source."""

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bmtool.data.jobs import Job, facts
from bmtool.data.splitting import SPLITS
from bmtool.text.keys import mix, row_keys, sentence_keys
from bmtool.text.passes.protect import protect_pass
from bmtool.text.passes.run import Piece, Run, listed
from bmtool.text.protect import leaks, protected_arrays
from bmtool.text.records import measured_texts
from bmtool.text.store import Stored

LEAK = "shares a span with a protected file"
ABOVE_CAP = "above the cap of its source"
LEFT_OUT = "left out by the weight of its source"
TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Choice:
    """How the sentences of one file are chosen."""

    measured: int  # the column of its records that is measured
    has_targets: bool
    weight: float
    cap: int | None  # the largest rank that is kept
    shares: tuple[float, float]  # of test and valid
    split_by: str  # "sentence", "line", or the key of the file in hexadecimal digits
    split: str | None = None  # that the set of the file brings for all of it


def choose_pass(run: Run, pieces: list[Piece], dropped: list[np.ndarray]) -> list[Path]:
    """For each block the rows that are kept, in `rows.npy`, with their splits and how often each is written."""
    protected = protect_pass(run)
    name = protected.name if protected else None
    caps = _caps(pieces, dropped)
    jobs = []
    for piece, rows in zip(pieces, dropped):
        how = _choice(run, piece, caps.get(id(piece.source)))
        at = run.place("choose", asdict(how), name, piece.key, rows.tobytes())
        jobs.append(Job(at, choose_job, (piece.directory, rows, how, protected)))
    done = run.do("choosing", jobs)
    for piece, directory in zip(pieces, done):
        found = facts(directory)
        piece.source.seconds += found["seconds"]
        piece.note(found["dropped"], piece.source.tally.dropped)
    return done


def _choice(run: Run, piece: Piece, cap: int | None) -> Choice:
    source, data = piece.source, run.data
    by_file = hashlib.blake2b(source.name.encode(), digest_size=8).hexdigest()
    split_by = by_file if data.split_by == "file" else data.split_by
    shares = tuple(0.0 if split in source.given else getattr(data, f"{split}_share") for split in ("test", "valid"))
    split = source.split if source.split != SPLITS[TRAIN] else None
    return Choice(piece.measured, bool(source.file.targets), source.spec.weight, cap, shares, split_by, split)


def _caps(pieces: list[Piece], dropped: list[np.ndarray]) -> dict[int, int]:
    """For every source with a cap that it exceeds: the largest rank that is kept."""
    kept: dict[int, tuple[int, list[np.ndarray]]] = {}
    for piece, rows in zip(pieces, dropped):
        cap = piece.source.spec.cap
        if cap is not None:
            ranks = kept.setdefault(id(piece.source), (cap, []))[1]
            ranks.append(np.delete(_rank(row_keys(piece.directory)), rows))
    every = {source: (cap, np.concatenate(ranks)) for source, (cap, ranks) in kept.items()}
    return {
        source: int(np.partition(ranks, cap - 1)[cap - 1]) for source, (cap, ranks) in every.items() if len(ranks) > cap
    }


def _rank(keys: np.ndarray) -> np.ndarray:
    return mix(keys, 11)


def choose_job(directory: Path, cleaned: Path, dropped: np.ndarray, how: Choice, protected: Path | None) -> dict:
    """Filter what is left of one block, and split it."""
    started = time.process_time()
    sentences, keys, line = Stored(cleaned).all(), row_keys(cleaned), np.load(cleaned / "line.npy")
    texts = measured_texts(sentences, how.measured)
    keep = np.ones(len(sentences), bool)
    keep[dropped] = False
    found: list[tuple[int, str, str]] = []

    def drop(mask: np.ndarray, reason: str) -> None:
        found.extend((int(line[row]), reason, sentences[row]) for row in np.flatnonzero(mask & keep).tolist())
        keep[mask] = False

    if protected is not None and sentences:
        drop(leaks(texts, line, protected_arrays(protected)), LEAK)
    if how.cap is not None:
        drop(_rank(keys) > np.uint64(how.cap), ABOVE_CAP)
    split = _split(how, keys, texts, cleaned)
    times = np.where(split == TRAIN, _repeats(keys, how.weight), 1)
    drop(times == 0, LEFT_OUT)
    rows = np.flatnonzero(keep)
    split = split[rows]
    np.save(directory / "rows.npy", rows.astype(np.uint32))
    np.save(directory / "split.npy", split.astype(np.uint8))
    np.save(directory / "times.npy", times[rows].astype(np.uint8))
    return {
        "train": int((split == TRAIN).sum()),
        "dropped": listed(found),
        "seconds": time.process_time() - started,
    }


def _split(how: Choice, keys: np.ndarray, texts: list[str], cleaned: Path) -> np.ndarray:
    """Index in SPLITS of each sentence: by a hash, so that it stays when data is added.

    Of records with targets the text decides, so that it is in one split whatever its targets.
    """
    if how.split is not None:
        return np.full(len(keys), SPLITS.index(how.split))
    if how.split_by == "line":
        keys = np.load(cleaned / "groups.npy")
    elif how.split_by != "sentence":
        keys = np.full(len(keys), int(how.split_by, 16), np.uint64)
    elif how.has_targets:
        keys = sentence_keys(texts)
    share = mix(keys, 12) / 2.0**64
    test, valid = how.shares
    return np.where(share < test, 2, np.where(share < test + valid, 1, 0))


def _repeats(keys: np.ndarray, weight: float) -> np.ndarray:
    """How often each training sentence is written: `weight` on average, whole numbers by a hash."""
    return np.floor(weight + mix(keys, 13) / 2.0**64).astype(np.int64)
