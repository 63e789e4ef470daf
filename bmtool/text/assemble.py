"""Encoded blocks to a prepared directory: shards, what the task writes, and the manifest's facts."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import NotRequired

from bmtool.base.files import read_json, sha256, write_sums
from bmtool.data import prepared, shards
from bmtool.data.jobs import facts
from bmtool.data.splitting import SPLITS
from bmtool.text.inventory import Source
from bmtool.text.recipe import FORMAT
from bmtool.text.task import Counts, TextTask


class Manifest(prepared.Manifest):
    """Of prepared text; `files` has the sha256 of each file, and `recipe` all that the data depend on."""

    rules: int
    files: dict[str, str]
    recipe: NotRequired[dict[str, Any] | None]
    sources: dict[str, dict[str, Any]]
    lengths: dict[str, int]


def assemble(directory: Path, task: TextTask, sources: list[Source], encoded: list[Path], learned: Path | None) -> dict:
    """Fill a directory, and return its manifest without the recipe."""
    splits, counts = _totals(encoded)
    for split in SPLITS:
        shards.assemble(directory, split, [part for part in encoded if facts(part)["examples"][split]])
    for name in facts(learned)["files"] if learned else ():
        shutil.copyfile(learned / name, directory / name)
    finished = task.finish(directory, counts)
    files = {path.name: sha256(path) for path in sorted(directory.iterdir())}
    write_sums(directory, files)
    lengths = counts["train"].get("length", Counts())
    return {
        "format": FORMAT, "task": task.name, "rules": task.rules, "splits": splits,
        "sources": {source.name: source.as_dict() for source in sources},
        "lengths": dict(zip(lengths.keys.tolist(), lengths.counts.tolist())),
        **finished, "files": files, "data_hash": _data_hash(files),
    }  # fmt: skip


def content_hash(directory: Path) -> str:
    """The data hash of the files that lie there now, as the manifest names them."""
    named = read_json(directory / prepared.MANIFEST, Manifest, prepared.AGAIN)["files"]
    return _data_hash({name: sha256(directory / name) for name in named})


def _data_hash(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _totals(encoded: list[Path]) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, Counts]]]:
    """Examples and tokens, and all that was counted, by split."""
    splits = {split: {"examples": 0, "tokens": 0} for split in SPLITS}
    counts: dict[str, dict[str, Counts]] = {split: {} for split in SPLITS}
    for part in encoded:
        found = facts(part)
        for split in SPLITS:
            splits[split]["examples"] += found["examples"][split]
            splits[split]["tokens"] += found["tokens"][split]
        with np.load(part / "counts.npz") as stored:
            for split, _, name in (key.split("/") for key in stored.files if "/keys/" in key):
                keys, numbers = stored[f"{split}/keys/{name}"], stored[f"{split}/counts/{name}"]
                counts[split].setdefault(name, Counts()).add(keys, numbers)
    return splits, counts
