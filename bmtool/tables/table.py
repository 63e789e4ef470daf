"""A prepared table as training and evaluation read it: see `tables.prepare`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import NotRequired

from bmtool.base.files import parse_json, read_text
from bmtool.config.table import FieldData, TableData
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
        grouped = self._path / "group.npy"
        self.group = array(grouped)[self.numbers] if grouped.is_file() else None  # int64 [N]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """(place, cells) of each row as it came."""
        path = self._path / "rows.jsonl"
        lines = read_text(path, AGAIN).split("\n")
        for place in self.numbers.tolist():
            yield parse_json(lines[place], Row, origin=f"{path}:{place + 1}", again=AGAIN)


def groups(data: TableData, cells: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """`group` int64 [rows], whose row it is, by order of appearance, -1 where that is missing; nothing where nobody is meant."""
    if not isinstance(data, FieldData) or data.columns.user is None:
        return {}
    numbers = dict.fromkeys(data.missing, -1)
    names = [held.get(data.columns.user, "") for held in cells]
    there = dict.fromkeys(name for name in names if name not in numbers)
    numbers |= {name: number for number, name in enumerate(there)}
    return {"group": np.array([numbers[name] for name in names], np.int64)}


def is_readable(manifest: dict) -> bool:
    """Whether it describes a table, prepared in the format that this version reads."""
    return manifest.get("kind") == "tables" and manifest.get("format") == FORMAT
