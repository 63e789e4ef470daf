"""Pass 4, for tasks that learn from the text itself, such as a tokenizer: a fixed sample of the training sentences to files."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bmtool.data.jobs import Job, facts
from bmtool.text.keys import mix, row_keys
from bmtool.text.passes.choose import TRAIN
from bmtool.text.passes.run import Piece, Run
from bmtool.text.store import Stored

SAMPLE_CHARACTERS = 1 << 25
BUCKETS = 1024  # of ranks; the sample is made of whole ones


def learn_pass(run: Run, pieces: list[Piece], chosen: list[Path]) -> Path | None:
    """The directory of what the task has learned from its sample; None when it learns nothing.

    The sample has at most SAMPLE_CHARACTERS, by a hash of each sentence: it is the same for any number of workers and size of
    blocks, and adding data replaces little of it. A sentence is in it once, whatever the weight of its source.
    """
    if run.task.learn is None:
        return None
    blocks = [(piece.directory, directory) for piece, directory in zip(pieces, chosen)]
    jobs = [Job(run.place("measure", at.name), measure_job, block) for block, at in zip(blocks, chosen)]
    measured = run.do("measuring the sample", jobs)
    buckets = _whole_buckets(sum(np.load(directory / "characters.npy") for directory in measured))
    at = run.place("learn", run.task.rules, run.task.learning, buckets, [directory.name for directory in chosen])
    job = Job(at, learn_job, (blocks, buckets, run.task.learn))
    run.do("learning", [job])
    found = facts(at)
    names = ", ".join(found["files"])
    run.console.say(f"learned {names} from {found['characters']:,} characters of {found['sentences']:,} sentences")
    return at


def _whole_buckets(characters: np.ndarray) -> int:
    """How many buckets, from the first, hold SAMPLE_CHARACTERS together at most; one at least."""
    return max(1, int(np.searchsorted(np.cumsum(characters), SAMPLE_CHARACTERS, side="right")))


def _sampled(cleaned: Path, chosen: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a block that are written to the training split, and the bucket of each."""
    rows = np.load(chosen / "rows.npy")
    rows = rows[np.load(chosen / "split.npy") == TRAIN]
    return rows, (mix(row_keys(cleaned)[rows], 14) // np.uint64((1 << 64) // BUCKETS)).astype(np.int64)


def measure_job(directory: Path, cleaned: Path, chosen: Path) -> dict:
    """Characters of the training sentences by bucket, int64 [BUCKETS]."""
    rows, bucket = _sampled(cleaned, chosen)
    lengths = np.array([len(sentence) for sentence in Stored(cleaned).all()], np.int64)
    np.save(directory / "characters.npy", np.bincount(bucket, lengths[rows], BUCKETS).astype(np.int64))
    return {}


class Sample:
    """The sentences of the first `buckets`, in the order of the corpus; counts what it has given."""

    def __init__(self, blocks: list[tuple[Path, Path]], buckets: int):
        self.blocks, self.buckets = blocks, buckets
        self.sentences = self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for cleaned, chosen in self.blocks:
            rows, bucket = _sampled(cleaned, chosen)
            sentences = Stored(cleaned).all()
            for row in rows[bucket < self.buckets].tolist():
                self.sentences += 1
                self.characters += len(sentences[row])
                yield sentences[row]


def learn_job(
    directory: Path,
    blocks: list[tuple[Path, Path]],
    buckets: int,
    learn: Callable[[Iterator[str]], dict[str, bytes]],
) -> dict:
    """Let the task learn, and keep its files with their hashes."""
    sample = Sample(blocks, buckets)
    files = learn(iter(sample))
    for name, contents in files.items():
        (directory / name).write_bytes(contents)
    hashes = {name: hashlib.sha256(contents).hexdigest() for name, contents in sorted(files.items())}
    return {"files": hashes, "sentences": sample.sentences, "characters": sample.characters}
