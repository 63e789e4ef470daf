"""A prepared table as training and evaluation read it: see `tables.prepare`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import NotRequired

from bmtool.base.files import parse_json, read_text
from bmtool.data import prepared
from bmtool.data.prepared import AGAIN, array
from bmtool.tables.columns import Schema

FORMAT = 1
Row = tuple[str, dict[str, str]]  # a line of rows.jsonl: place and cells, as it came


class Manifest(prepared.Manifest):
    """Of a prepared table."""

    settings: dict[str, Any]
    fingerprint: str  # type: ignore[misc]  # always there
    warnings: list[str]
    guessed: dict[str, list[str]]
    noted: NotRequired[dict[str, int]]
    ignored: NotRequired[dict[str, int]]
    brought: NotRequired[dict[str, int]]
    read: int
    kept: int
    dropped: dict[str, int]
    examples: dict[str, list[str]]


class Table:
    """One split of a prepared directory."""

    def __init__(self, directory: str | Path, split: str):
        self._path = Path(directory)
        self.manifest = prepared.read_manifest(self._path, Manifest, is_readable)
        self.schema = Schema.read(self._path / "schema.json", AGAIN)
        self.numbers = array(self._path / f"{split}.npy")
        self.values = array(self._path / "values.npy", mapped=True)[self.numbers]  # float32 [N, columns]
        target = array(self._path / "target.npy")[self.numbers]
        self.target = target.astype(np.int64) if self.schema.labels else target  # [N]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """(place, cells) of each row as it came."""
        path = self._path / "rows.jsonl"
        lines = read_text(path, AGAIN).split("\n")
        for place in self.numbers.tolist():
            yield parse_json(lines[place], Row, origin=f"{path}:{place + 1}", again=AGAIN)


def is_readable(manifest: dict) -> bool:
    """Whether it describes a table, prepared in the format that this version reads."""
    return manifest.get("kind") == "tables" and manifest.get("format") == FORMAT
