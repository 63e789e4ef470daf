"""Sentences on disk, in two files, so that each can be read alone."""

from itertools import pairwise
from pathlib import Path

import numpy as np


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
