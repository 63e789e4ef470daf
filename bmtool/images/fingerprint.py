"""What a preparation of images depends on, and what of it has changed since."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError
from typing_extensions import NotRequired

from bmtool.base.files import read_json
from bmtool.config.image import ImageData
from bmtool.data import prepared
from bmtool.data.prepared import AGAIN, array
from bmtool.data.tally import Tally
from bmtool.images.items import Item
from bmtool.images.labels import class_names
from bmtool.images.sources import items
from bmtool.sources.cells import Cell
from bmtool.sources.tars import Member

FORMAT = 1
# Where data lie, and how they came there, says nothing about what they are.
PLACES = {"prepared", "root", "download"}


class Counted(prepared.Counted):
    """Of a split: how many examples (of boxes, how many boxes) each class has."""

    classes: list[int]


class Manifest(prepared.Manifest):
    """Of prepared images; `mean` and `deviation` are of the training images, a channel each, in 0 .. 1."""

    labels: list[str]
    mean: list[float]
    deviation: list[float]
    splits: dict[str, Counted]  # type: ignore[misc]  # each with more
    settings: dict[str, Any]
    target: NotRequired[str]
    brought: NotRequired[dict[str, int]]
    read: int
    kept: int
    dropped: dict[str, int]
    examples: dict[str, list[str]]


class Fingerprint(NamedTuple):
    settings: dict
    labels: list[str]
    names: list[str]
    # uint64 [N]: a hash of each image's label, split, targets and bytes (of a file its size and time of change)
    facts: np.ndarray

    def digest(self) -> str:
        """sha256 in hex; another one says that the images must be prepared again."""
        digest = hashlib.sha256(json.dumps([self.settings, self.labels, self.names], sort_keys=True).encode())
        digest.update(self.facts.tobytes())
        return digest.hexdigest()


def fingerprint(data: ImageData, listed: list[Item]) -> Fingerprint:
    """Of the items of `data`. Decodes nothing."""
    facts = np.array([_facts(item) for item in listed], np.uint64)
    return Fingerprint(settings(data), class_names(data, listed), [item.name for item in listed], facts)


def settings(data: ImageData) -> dict:
    """What a manifest keeps of `data`."""
    return data.model_dump(exclude=PLACES if data.columns else PLACES | {"columns"})


def _facts(item: Item) -> int:
    described = repr((item.name, item.label, item.split, item.boxes, *map(_state, (item.mask, item.paired))))
    content = item.content.tobytes() if isinstance(item.content, np.ndarray) else _described(item.content).encode()
    return int.from_bytes(hashlib.sha256(described.encode() + content).digest()[:8], "little")


def _described(content: Path | Member | Cell) -> str:
    """A file, or a place in one, by what changes with it."""
    return repr(_state(content) if isinstance(content, Path) else (_state(content.path), content[1:]))


def _state(path: Path | None) -> tuple[int, int] | None:
    """Size and time of change of a file; None where there is none."""
    if path is None or not os.path.exists(path):
        return None
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def is_readable(manifest: dict) -> bool:
    """Whether it describes images, prepared in the format that this version reads."""
    return manifest.get("format") == FORMAT and "mean" in manifest


def changes(manifest: dict, data: ImageData) -> list[str]:
    """Why what lies in `data.prepared` is not what `data` describes, a line for each reason; empty when it is.

    Lists the source and looks at every file's size and time of change, but decodes none.
    """
    if not is_readable(manifest):
        return [f"{data.prepared} was prepared by another version or task"]
    found = fingerprint(data, items(data, Tally()))
    if manifest.get("fingerprint") == found.digest():
        return []
    if lines := setting_changes(manifest, data) or _unknown_settings(manifest, data):
        return lines
    return [f"data.source: {_source_changes(Path(data.prepared), manifest, found)}"]


def setting_changes(manifest: dict, data: ImageData) -> list[str]:
    """`data.key: old -> new` for every setting that differs; one that the manifest's version did not know had its default."""
    try:
        before = settings(ImageData(**manifest["settings"], prepared=data.prepared))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        return [f"data.{key}: prepared with a setting that this version does not take"]
    return prepared.differing(before, settings(data))


def _unknown_settings(manifest: dict, data: ImageData) -> list[str]:
    """The settings that the version did not have which made the manifest: what it did in their place may be another thing."""
    return [
        f"data.{key}: prepared by a version without it, now {value}"
        for key, value in settings(data).items()
        if key not in manifest["settings"]
    ]


def _source_changes(folder: Path, manifest: dict, found: Fingerprint) -> str:
    if found.labels != manifest["labels"] and found.labels:
        return f"its classes were {_short(manifest['labels'])}, and are {_short(found.labels)}"
    if not (folder / "facts.npy").is_file():
        return "prepared by an earlier version, which did not note its files one by one"
    old = dict(zip(read_json(folder / "names.json", list[str], AGAIN), array(folder / "facts.npy").tolist()))
    new = dict(zip(found.names, found.facts.tolist()))
    counts = {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[name] != new[name] for name in old.keys() & new.keys()),
    }
    told = [f"{count:,} files {what}" for what, count in counts.items() if count]
    return ", ".join(told) or "its images come in another order"


def _short(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5:,} more" if len(labels) > 5 else "")


def require_same(manifest: dict, data: ImageData) -> None:
    """ConfigError that names the settings with which the prepared images were made, where they are not those of `data`."""
    prepared.require_same(data.prepared, setting_changes(manifest, data))
