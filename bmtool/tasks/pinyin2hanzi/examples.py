"""Text to measure on: of a prepared split, or of files of sentences or pairs."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example
from bmtool.sources import parts
from bmtool.tasks.pinyin2hanzi import prepare
from bmtool.tasks.pinyin2hanzi.config import Data

UNITS = ("sentence", "run")
RUN_LENGTHS = range(2, 41)


def split(data: Data, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The examples of a split of prepared data that hold hanzi."""
    for number, (source, code_points) in enumerate(prepare.split_texts(str(prepared), name)):
        yield _example(f"{name}:{number}", source, code_points)


def key(example: Example) -> tuple:
    """What tells a sentence in splits of any preparation: its text."""
    return tuple(example.truth)


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """Sentences of a text or pair file, cut where a model of `reads` could not take them whole; or its runs of 2 to 40 hanzi."""
    if not path.is_file() and not parts.is_set(path):
        what = "is a folder: name a file in it" if path.is_dir() else "is no file"
        raise DataError(f"--data: {path} {what}")
    if unit not in (None, *UNITS):
        raise ConfigError(f"--unit: expected {' or '.join(UNITS)}, got {unit!r}")
    files = parts.to_measure(parts.parts(path, tally.ignore), tally.ignore) if path.is_dir() else [path]
    longest = min(one.model.max_length for one in reads)
    for source, hanzi in chain.from_iterable(prepare.read_examples(one, tally) for one in files):
        is_hanzi = hanzi > 0
        for start, end in _runs(is_hanzi) if unit == "run" else prepare.cut(is_hanzi, longest):
            if is_hanzi[start:end].any():
                tally.kept += 1
                yield _example(f"{path}:{tally.kept}", source[start:end], hanzi[start:end])


def _example(name: str, source: np.ndarray, hanzi: np.ndarray) -> Example:
    return Example(name, source.tolist(), [chr(code) if code else None for code in hanzi.tolist()])


def _runs(is_hanzi: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) of every run of hanzi of a length in RUN_LENGTHS."""
    bounds = np.flatnonzero(np.diff(is_hanzi, prepend=False, append=False)).reshape(-1, 2).tolist()
    return [(start, end) for start, end in bounds if end - start in RUN_LENGTHS]
