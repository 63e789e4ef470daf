"""A prepared table as training and evaluation read it: see `tables.prepare`."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.data import prepared
from bmtool.tables.columns import Schema

FORMAT = 1
SPLITS = ("train", "valid", "test")


class Table:
    """One split of a prepared directory."""

    def __init__(self, directory: str | Path, split: str):
        self._path = Path(directory)
        self.manifest = prepared.read_manifest(self._path, is_readable)
        self.schema = Schema.load((self._path / "schema.json").read_text("utf-8"))
        self.numbers = np.load(self._path / f"{split}.npy")
        self.values = np.load(self._path / "values.npy", mmap_mode="r")[self.numbers]  # float32 [N, columns]
        target = np.load(self._path / "target.npy")[self.numbers]
        self.target = target.astype(np.int64) if self.schema.labels else target  # [N]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """(place, cells) of each row as it came."""
        lines = (self._path / "rows.jsonl").read_text("utf-8").split("\n")
        for place in self.numbers.tolist():
            name, cells = json.loads(lines[place])
            yield name, cells


def is_readable(manifest: dict) -> bool:
    """Whether it describes a table, prepared in the format that this version reads."""
    return manifest.get("kind") == "tables" and manifest.get("format") == FORMAT
