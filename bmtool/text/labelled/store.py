"""Prepared labelled text as training and evaluation read it: see `text.labelled.prepare`."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.files import parse_json, read_json, read_text
from bmtool.data import prepared
from bmtool.data.prepared import AGAIN, array
from bmtool.errors import DataError
from bmtool.text.labelled.kind import Draft, Kind, Schema
from bmtool.text.tokenizer import Tokenizer, open_tokenizer

FORMAT, NAME = 1, "text.labelled"
SCHEMA, EXAMPLES = "schema.json", "examples.jsonl"
Line = tuple[str, list[str], Any, dict[str, str]]  # of examples.jsonl: place, texts, target, other columns


class Manifest(prepared.Manifest):
    """Of prepared labelled text."""

    settings: dict[str, Any]
    fingerprint: str  # type: ignore[misc]  # always there
    rules: int
    warnings: list[str]
    noted: dict[str, int]
    ignored: dict[str, int]
    brought: dict[str, int]
    read: int
    kept: int
    dropped: dict[str, int]
    examples: dict[str, list[str]]


class Texts:
    """One split of a prepared directory. `target` are those of its examples, as JSON has them."""

    def __init__(self, directory: str | Path, split: str, kind: Kind):
        """DataError that names the command to run when there is none, or one of another task or version."""
        self._path = Path(directory)
        self.manifest = prepared.read_manifest(self._path, Manifest, is_readable)
        if self.manifest.get("task") != kind.task:
            raise DataError(
                f"{directory} was prepared for {self.manifest.get('task')}, not {kind.task}: name another data.prepared"
            )
        if self.manifest["rules"] != kind.rules:
            raise DataError(f"{directory} was prepared by another version: {AGAIN}")
        self.schema = read_json(self._path / SCHEMA, Schema, AGAIN)
        self.numbers = array(self._path / f"{split}.npy")
        self.texts = len(kind.texts)
        self._tokens = array(self._path / "tokens.npy", mapped=True)
        self._bounds = array(self._path / "bounds.npy")  # of every text of every example, one more than there are

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return open_tokenizer(self._path)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each text of each example, int64 [examples, texts]."""
        return np.diff(self._bounds).reshape(-1, self.texts)[self.numbers]

    def tokens(self, example: int, text: int) -> np.ndarray:
        """int64, without special ones."""
        place = int(self.numbers[example]) * self.texts + text
        return self._tokens[self._bounds[place] : self._bounds[place + 1]].astype(np.int64)

    @cached_property
    def drafts(self) -> list[Draft]:
        return list(self._drafts())

    @cached_property
    def target(self) -> list[Any]:
        return [draft.target for draft in self.drafts]

    def _drafts(self) -> Iterator[Draft]:
        path = self._path / EXAMPLES
        lines = read_text(path, AGAIN).split("\n")
        for number in self.numbers.tolist():
            place, texts, target, fields = parse_json(lines[number], Line, origin=f"{path}:{number + 1}", again=AGAIN)
            yield Draft(place, tuple(texts), target, fields, "")


def is_readable(manifest: dict) -> bool:
    """Whether it describes labelled text, prepared in the format that this version reads."""
    return manifest.get("kind") == NAME and manifest.get("format") == FORMAT
