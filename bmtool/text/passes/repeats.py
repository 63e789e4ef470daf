"""Pass 2: sentences that occurred before, or nearly; and texts that come with another target than before."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmtool.config.text import Duplicates
from bmtool.data.jobs import Job, facts
from bmtool.data.tally import EXAMPLES_KEPT
from bmtool.text import duplicates
from bmtool.text.keys import ROW_BITS, parts, sentence_keys, write_keys
from bmtool.text.passes.run import Piece, Run
from bmtool.text.records import measured_texts
from bmtool.text.store import Stored

NEAR = "near-duplicate"
CONFLICT = "the same text with another target"


@dataclass
class Repeats:
    """Rows of each block, sorted int64."""

    dropped: list[np.ndarray]  # they repeat an earlier sentence
    conflicting: list[np.ndarray]  # kept, but their text also stands earlier with another target


def repeats_pass(run: Run, pieces: list[Piece]) -> Repeats:
    """Find what repeats, and count it in the tallies."""
    settings = run.data.duplicates
    nothing = [np.empty(0, np.int64) for _ in pieces]
    found = Repeats(list(nothing), list(nothing))
    has_targets = any(piece.source.file.targets for piece in pieces)
    if settings.exact or has_targets:
        results = _by_part(run, "exact", [piece.directory for piece in pieces], duplicates.exact, ())
        same = [duplicates.of_block(results, number) for number in range(len(pieces))]
        if settings.exact:
            _drop(found, pieces, same, "duplicate")
        if has_targets:
            found.conflicting = _conflicts(run, pieces, [rows for rows, _ in same])
    if settings.near:
        apart = [np.union1d(*rows) for rows in zip(found.dropped, found.conflicting)]
        results = _near(run, pieces, apart)
        _drop(found, pieces, [duplicates.of_block(results, number) for number in range(len(pieces))], NEAR)
    return found


def _conflicts(run: Run, pieces: list[Piece], same: list[np.ndarray]) -> list[np.ndarray]:
    """For each block the rows whose text occurred before in another record; `same` are those that repeat a whole record."""
    jobs = [
        Job(run.place("text-keys", p.key, p.measured, rows.tobytes()), text_job, (p.directory, rows, p.measured))
        for p, rows in zip(pieces, same)
    ]
    keyed = run.do("looking for texts with several targets", jobs)
    results = _by_part(run, "texts", keyed, duplicates.exact, ())
    return [duplicates.of_block(results, number)[0] for number in range(len(pieces))]


def _near(run: Run, pieces: list[Piece], apart: list[np.ndarray]) -> list[Path]:
    """Comparisons of all sentences but the rows in `apart`."""
    settings = run.data.duplicates
    jobs = [
        Job(
            run.place("sign", settings.model_dump(), p.key, p.measured, rows.tobytes()),
            sign_job,
            (p.directory, rows, settings, p.measured),
        )
        for p, rows in zip(pieces, apart)
    ]
    signed = run.do("looking for near-duplicates", jobs)
    stored = [(piece.directory, piece.measured) for piece in pieces]
    return _by_part(run, "near", signed, duplicates.near, (stored, settings))


def _by_part(run: Run, step: str, directories: list[Path], work: Callable, more: tuple[object, ...]) -> list[Path]:
    """Results of one job for each part of the range of keys."""
    count = sum(int(facts(directory)["keys"]) for directory in directories)
    names = [directory.name for directory in directories]
    jobs = [Job(run.place(step, names, low, high), work, (directories, low, high, *more)) for low, high in parts(count)]
    return run.do(f"comparing keys ({step})", jobs)


def _drop(found: Repeats, pieces: list[Piece], repeats: list[tuple[np.ndarray, np.ndarray]], reason: str) -> None:
    """Drop rows that repeat others, (rows, places of what they repeat) of each block, with a few examples."""
    for number, (piece, (again, firsts)) in enumerate(zip(pieces, repeats)):
        found.dropped[number] = np.union1d(found.dropped[number], again)
        tally = piece.source.tally
        tally.dropped[reason] += len(again)
        room = EXAMPLES_KEPT - len(tally.examples.get(reason, []))
        for row, first in zip(again[:room].tolist(), firsts[:room].tolist()):
            tally.show(
                reason, piece.place_of(row), _said(piece, row, pieces[first >> ROW_BITS], first & 0xFFFFFFFF, reason)
            )
        if not tally.dropped[reason]:
            del tally.dropped[reason]


def _said(piece: Piece, row: int, other: Piece, first: int, reason: str) -> str:
    text = Stored(piece.directory).sentence(row)[:60]
    like = f" ~ {Stored(other.directory).sentence(first)[:60]}" if reason == NEAR else ""
    return f"{text}{like} (as {other.place_of(first)})"


def text_job(directory: Path, cleaned: Path, same: np.ndarray, measured: int) -> dict:
    """Keys of the measured texts of the records that repeat no earlier one."""
    texts = measured_texts(Stored(cleaned).all(), measured)
    rows = np.delete(np.arange(len(texts)), same)
    write_keys(directory, np.delete(sentence_keys(texts), same), rows)
    return {"keys": len(rows)}


def sign_job(directory: Path, cleaned: Path, apart: np.ndarray, settings: Duplicates, measured: int) -> dict:
    """MinHash band keys of the sentences that are not in the rows `apart`."""
    texts = measured_texts(Stored(cleaned).all(), measured)
    rows = np.delete(np.arange(len(texts)), apart)
    keys, rows = duplicates.band_keys(texts, rows, settings)
    write_keys(directory, keys, rows)
    return {"keys": len(keys)}
