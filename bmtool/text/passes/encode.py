"""Pass 5: what is kept becomes the task's numbers, by split."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.data import shards
from bmtool.data.jobs import Job, facts
from bmtool.data.splitting import SPLITS
from bmtool.text.keys import row_keys
from bmtool.text.passes.choose import TRAIN
from bmtool.text.passes.repeats import CONFLICT
from bmtool.text.passes.run import Piece, Run, listed
from bmtool.text.store import Stored
from bmtool.text.task import Encoded


def encode_pass(
    run: Run, pieces: list[Piece], chosen: list[Path], conflicting: list[np.ndarray], learned: Path | None
) -> list[Path]:
    """The encoded blocks; counted in the tallies."""
    task = run.task
    encode = functools.partial(task.encode, learned=learned) if learned else task.encode
    files = facts(learned)["files"] if learned else None
    jobs = []
    for piece, directory, rows in zip(pieces, chosen, conflicting):
        at = run.place("encode", task.settings, task.rules, files, piece.key, directory.name, rows.tobytes())
        jobs.append(Job(at, encode_job, (piece.directory, directory, rows, encode, task.count)))
    done = run.do("labelling and indexing", jobs)
    for piece, directory in zip(pieces, done):
        _add(piece, facts(directory))
    return done


def _add(piece: Piece, found: dict) -> None:
    source = piece.source
    source.tally.kept += found["sentences"]
    source.seconds += found["seconds"]
    for split, count in found["examples"].items():
        source.splits[split] = source.splits.get(split, 0) + count
    piece.note(found["dropped"], source.tally.dropped)
    piece.note(found["flagged"], source.flagged)


def encode_job(  # noqa: PLR0913
    directory: Path, cleaned: Path, chosen: Path, conflicting: np.ndarray, encode: Callable, count: Callable
) -> dict:
    """Encode what is kept of one block and write each split."""
    started = time.process_time()
    rows, split, times = (np.load(chosen / f"{name}.npy") for name in ("rows", "split", "times"))
    every, line = Stored(cleaned).all(), np.load(cleaned / "line.npy")
    sentences = [every[row] for row in rows.tolist()]
    encoded = encode(sentences, row_keys(cleaned)[rows], split == TRAIN)
    used = np.unique(encoded.rows)
    encoded.flagged += [(at, CONFLICT) for at in used[np.isin(rows[used], conflicting)].tolist()]
    examples, tokens = _write(directory, encoded, split, times, count)

    def noted(found: list[tuple[int, str]]) -> dict:
        return listed([(int(line[rows[at]]), reason, sentences[at]) for at, reason in found])

    return {
        "sentences": len(used), "examples": examples, "tokens": tokens, "dropped": noted(encoded.dropped),
        "flagged": noted(encoded.flagged), "seconds": time.process_time() - started,
    }  # fmt: skip


def _write(
    directory: Path, encoded: Encoded, split: np.ndarray, times: np.ndarray, count: Callable
) -> tuple[dict[str, int], dict[str, int]]:
    """Write the examples of each split and what is counted in them; returns examples and tokens by split."""
    counts: dict[str, Any] = {}
    examples, tokens = {}, {}
    for number, name in enumerate(SPLITS):
        chosen = np.flatnonzero(split[encoded.rows] == number)
        chosen = np.repeat(chosen, times[encoded.rows[chosen]])
        lengths = encoded.lengths[chosen]
        at = shards.ragged(encoded.starts[chosen], lengths)
        fields = {field: values[at] for field, values in encoded.fields.items()}
        examples[name], tokens[name] = len(chosen), int(lengths.sum())
        for counted, values in ({"length": lengths} | count(fields)).items():
            unique, numbers = np.unique(values, return_counts=True)
            counts[f"{name}/keys/{counted}"], counts[f"{name}/counts/{counted}"] = unique.astype(np.int64), numbers
        if len(chosen):
            shards.write_part(directory, name, lengths, fields)
    np.savez(directory / "counts.npz", **counts)
    return examples, tokens
