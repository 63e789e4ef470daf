"""Images and their targets: from where they lie to memory-mapped files that training reads.

A prepared directory holds `images.npy` (uint8 [N, size, size, channels]), `windows.npy` (float32 [N, 4], a `pictures.Window` each),
`labels.npy` (int32, -1: none) and other targets as `images.targets` describes them, `names.json`, `facts.npy` (what each image
looked like, for `fingerprint.changes`), the numbers of the images of each split (`train.npy`, `valid.npy`, `test.npy`),
`labels.json` and `manifest.json`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.console import Console
from bmtool.base.files import SUMS, read_json, write_json, write_sums
from bmtool.config.image import ImageData
from bmtool.config.schema import BaseConfig
from bmtool.data.prepared import AGAIN, MANIFEST, array, described, is_whole, read_manifest
from bmtool.data.replacing import making, put, require_own
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import Tally
from bmtool.images import pictures
from bmtool.images.decoding import digest_of, mark
from bmtool.images.fingerprint import FORMAT, Manifest, changes, fingerprint, is_readable, setting_changes
from bmtool.images.labels import load_labels, require_classes
from bmtool.images.sources import items, parts_of
from bmtool.images.steps import data_hash, make
from bmtool.images.targets import Reader, Target
from bmtool.sources.parts import brought

__all__ = [
    "SPLITS", "Images", "load_labels", "prepare", "require_classes",
]  # fmt: skip

FILES = frozenset({
    "images.npy", "windows.npy", "labels.npy", "boxes.npy", "box_labels.npy", "box_starts.npy", "masks.npy", "paired.npy",
    "facts.npy", "names.json", "labels.json", SUMS, MANIFEST, "report", ".lock", *(f"{split}.npy" for split in SPLITS),
})  # fmt: skip


# --- prepare-data ---


def prepare(config: BaseConfig, console: Console, limit: int | None = None) -> dict:
    """Write the prepared images that `config.data` describes and return their manifest.

    Damaged images and repeated ones are dropped and counted. A directory that holds the same already is left as it is. One that
    holds something else is replaced when all is written: until then, and when it cannot be, the old one stays as it was.
    """
    data: ImageData = config.data
    target = Path(data.prepared).resolve()
    tally = Tally()
    listed = items(data, tally)[:limit]
    found = fingerprint(data, listed)
    with making(
        target, f"{data.prepared} is being prepared by another process: wait for it, or name another directory"
    ) as new:
        if (kept := _same(target, found.digest(), console)) is not None:
            return _looked_through(kept, tally)
        require_own(target, FILES)
        np.save(new / "facts.npy", found.facts)
        manifest = make(new, data, listed, labels=found.labels, tally=tally, console=console)
        manifest["brought"] = brought(parts_of(data.source, Tally().ignore))
        manifest |= {"format": FORMAT, "settings": found.settings, "fingerprint": found.digest()}
        write_sums(new, [path.name for path in new.iterdir()])
        write_json(new / MANIFEST, manifest)
        put(new, target)
    return manifest


def _looked_through(manifest: dict, tally: Tally) -> dict:
    """A manifest with what lies in the source now and is none of its images, which the fingerprint leaves out."""
    shown = {kind: tally.examples[kind] for kind in tally.ignored}
    return manifest | {"ignored": dict(tally.ignored), "examples": manifest["examples"] | shown}


def _same(target: Path, fingerprint: str, console: Console) -> Manifest | None:
    """The manifest of what was prepared before, where it is the same and whole."""
    if not (target / MANIFEST).is_file() or not is_whole(target, content_hash, console.say):
        return None
    manifest = described(target)
    same = is_readable(manifest) and manifest.get("fingerprint") == fingerprint
    return read_json(target / MANIFEST, Manifest, AGAIN) if same else None


def content_hash(folder: Path) -> str:
    """The data hash of the images that lie there now."""
    manifest = read_manifest(folder, Manifest, is_readable)
    pixels, targets = array(folder / "images.npy", mapped=True), Reader(folder, manifest.get("target", "label"))
    chosen = {split: array(folder / f"{split}.npy") for split in SPLITS}
    marks = None if targets.kind == "label" else (lambda number: mark(targets[number]))
    about = [pixels.shape[1], pixels.shape[3], read_json(folder / "labels.json", list[str], AGAIN)]
    return data_hash(about, chosen, array(folder / "labels.npy"), lambda number: digest_of(pixels[number]), marks)


def changed(config: BaseConfig, *, sources: bool = True) -> list[str]:
    """What of the prepared images is another than `config.data` asks for; see `registry.PARTS`."""
    folder = Path(config.data.prepared)
    manifest: Any = described(folder)
    if is_readable(manifest):
        manifest = read_json(folder / MANIFEST, Manifest, AGAIN)
    return changes(manifest, config.data) if sources else setting_changes(manifest, config.data)


# --- reading ---


class Images:
    """One split of a prepared directory; pixels stay on disk until they are asked for."""

    def __init__(self, directory: str | Path, split: str):
        path = Path(directory)
        self.manifest = read_manifest(path, Manifest, is_readable)
        self.numbers = array(path / f"{split}.npy")
        self.labels = array(path / "labels.npy")[self.numbers]  # int32 [N]
        self._pixels = array(path / "images.npy", mapped=True)
        self._windows: Callable[[], np.ndarray] = lambda: array(path / "windows.npy", mapped=True)
        self._targets = Reader(path, self.manifest.get("target", "label"))
        self._names: Callable[[], list[str]] = lambda: read_json(path / "names.json", list[str], AGAIN)

    def __len__(self) -> int:
        return len(self.numbers)

    def pixels(self, examples: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, C]."""
        return self._pixels[self.numbers[examples]]

    def targets(self, examples: np.ndarray) -> list[Target]:
        """What belongs to each image, boxes and masks in pixels of the stored one."""
        return [self._targets[number] for number in self.numbers[examples].tolist()]

    @property
    def kind(self) -> str:
        """Of the targets: "label", "boxes", "mask" or "image"."""
        return self._targets.kind

    def windows(self, examples: np.ndarray) -> list[pictures.Window]:
        """How each stored image came out of its original."""
        return [pictures.Window(*row) for row in self._windows()[self.numbers[examples]].tolist()]

    def names(self) -> list[str]:
        every = self._names()
        return [every[number] for number in self.numbers.tolist()]
