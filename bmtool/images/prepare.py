"""Labelled images: from where they lie to one memory-mapped file of pixels that training reads.

A prepared directory holds `images.npy` (uint8 [N, size, size, channels]), `labels.npy` (int32, -1: none), `names.json`, the
numbers of the images of each split (`train.npy`, `valid.npy`, `test.npy`), `labels.json` and `manifest.json`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.cores import cores
from bmtool.base.files import lock, read_json, write_json, write_text
from bmtool.config.image import ImageData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.images import pictures
from bmtool.images.sources import Item, items, load

FORMAT = 1
SPLITS = ("train", "valid", "test")
_CHUNK = 256


# --- prepare-data ---


def prepare(config: Any, console: Any, limit: int | None = None) -> dict:
    """Write the prepared images that `config.data` describes and return their manifest.

    Damaged images and repeated ones are dropped and counted. A directory that holds the same already is left as it is.
    """
    data: ImageData = config.data
    target = Path(data.prepared)
    settings = _settings(data)
    listed = items(data)[:limit]
    labels = _labels(data, listed)
    fingerprint = _fingerprint(listed, settings, labels)
    with lock(target, f"{target} is being prepared by another process"):
        if (target / "manifest.json").is_file():
            manifest = read_json(target / "manifest.json")
            if manifest.get("fingerprint") == fingerprint and manifest.get("format") == FORMAT:
                return manifest
            (target / "manifest.json").unlink()
        manifest = _write(target, data, listed, labels, console)
        manifest |= {"format": FORMAT, "settings": settings, "fingerprint": fingerprint}
        write_json(target / "manifest.json", manifest)
    return manifest


def changed(config: Any, *, sources: bool = True) -> list[str]:
    """What of the prepared images is another than `config.data` asks for; see `registry.PARTS`."""
    data: ImageData = config.data
    manifest = read_json(Path(data.prepared) / "manifest.json")
    settings, before = _settings(data), manifest["settings"]
    lines = [f"data.{key}: {before.get(key)} -> {value}" for key, value in settings.items() if before.get(key) != value]
    if lines or not sources:
        return lines
    listed = items(data)
    is_same = manifest["fingerprint"] == _fingerprint(listed, settings, _labels(data, listed))
    return [] if is_same else ["data.source: its images have changed"]


def _settings(data: ImageData) -> dict:
    return data.model_dump(exclude={"prepared", "root", "download"})


def _labels(data: ImageData, listed: list[Item]) -> list[str]:
    """Class names in their order: numbers by value, else by name."""
    found = {item.label for item in listed if item.label is not None}
    if data.labels is None:
        return sorted(found, key=lambda name: (0, int(name), "") if name.isdigit() else (1, 0, name))
    known = load_labels(Path(data.labels))
    if unknown := sorted(found - set(known)):
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise DataError(
            f"{data.labels} does not know {len(unknown)} of the classes of {data.source}: {shown}\n"
            "leave data.labels out: finetuning then makes a new head for the classes of this data"
        )
    return known


def load_labels(path: Path) -> list[str]:
    """The class names of a run or of prepared data."""
    file = next((p for p in (path / "assets" / "labels.json", path / "labels.json") if p.is_file()), None)
    if file is None:
        raise DataError(f"{path} is no run and no prepared data with classes (no labels.json)")
    return read_json(file)


def _fingerprint(listed: list[Item], settings: dict, labels: list[str]) -> str:
    digest = hashlib.sha256(json.dumps([settings, labels], sort_keys=True).encode())
    for item in listed:
        if isinstance(item.content, Path):
            state = item.content.stat() if item.content.exists() else None
            facts = (item.name, item.label, item.split, state and (state.st_size, state.st_mtime_ns))
            digest.update(repr(facts).encode())
        else:
            digest.update(repr((item.name, item.label, item.split)).encode() + item.content.tobytes())
    return digest.hexdigest()


def _write(target: Path, data: ImageData, listed: list[Item], labels: list[str], console: Any) -> dict:
    began = time.perf_counter()
    shape = (len(listed), data.size, data.size, data.channels)
    images = np.lib.format.open_memmap(target / "images.npy", "w+", np.uint8, shape)
    number_of = {label: number for number, label in enumerate(labels)}
    codes = np.array([-1 if item.label is None else number_of[item.label] for item in listed], np.int32)
    tally, seen, given = Tally(), {}, {item.split for item in listed}
    split_of = np.full(len(listed), -1, np.int8)
    digests = []
    for number, (item, pixels) in enumerate(zip(listed, _decoded(listed, data, console))):
        digests.append(b"")
        tally.read += 1
        if isinstance(pixels, str):
            tally.drop(pixels, item.name)
            continue
        images[number] = pixels
        digests[-1] = hashlib.sha256(pixels.tobytes()).digest()
        split_of[number] = SPLITS.index(item.split or _split(digests[-1], data, given))
    order = sorted(range(len(listed)), key=lambda n: -split_of[n])  # what is tested on is kept, and its copies go
    for number in order:
        if split_of[number] < 0 or listed[number].split == "test":
            seen.setdefault(digests[number], number)
        elif (first := seen.setdefault(digests[number], number)) != number:
            same = codes[first] == codes[number]
            tally.drop(
                "duplicate" if same else "the same image in another class", listed[number].name, listed[first].name
            )
            split_of[number] = -1
    images.flush()
    chosen = {split: np.flatnonzero(split_of == code) for code, split in enumerate(SPLITS)}
    if data.per_class:
        chosen["train"] = _first_of_each(chosen["train"], codes, digests, data.per_class)
    _require_classes(data, codes, chosen["train"], labels, tally)
    for split, numbers in chosen.items():
        np.save(target / f"{split}.npy", numbers)
    np.save(target / "labels.npy", codes)
    write_json(target / "labels.json", labels)
    write_text(target / "names.json", json.dumps([item.name for item in listed], ensure_ascii=False))
    tally.kept = sum(map(len, chosen.values()))
    digest = hashlib.sha256(json.dumps([data.size, data.channels, labels]).encode())
    for split, numbers in chosen.items():
        digest.update(split.encode() + b"".join(digests[n] for n in numbers) + codes[numbers].tobytes())
    mean, deviation = _statistics(images, chosen["train"])
    counts = {
        split: {"examples": len(numbers), "classes": np.bincount(codes[numbers][codes[numbers] >= 0], minlength=len(labels)).tolist()}
        for split, numbers in chosen.items()
    }  # fmt: skip
    return {
        "kind": "images", "data_hash": digest.hexdigest(), "splits": counts, "labels": labels, "mean": mean, "deviation": deviation,
        "read": tally.read, "kept": tally.kept, "dropped": dict(tally.dropped),
        "examples": {reason: found[:10] for reason, found in tally.examples.items()},
        "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip


def _decoded(listed: list[Item], data: ImageData, console: Any) -> Iterator[np.ndarray | str]:
    """The pixels of every item in order, or why there are none; files are decoded by as many threads as there are cores."""

    def one(item: Item) -> np.ndarray | str:
        try:
            return load(item, data.size, data.channels)
        except pictures.BadImage as error:
            return str(error)

    with ThreadPoolExecutor(cores()) as pool:
        stream, done = iter(listed), 0
        while chunk := list(islice(stream, _CHUNK)):
            yield from pool.map(one, chunk)
            done += len(chunk)
            if done % (40 * _CHUNK) == 0:
                console.say(f"{done:,} of {len(listed):,} images")


def _split(digest: bytes, data: ImageData, given: set[str | None]) -> str:
    """By a hash of the pixels, so that an image stays where it is when others are added, and its copies are with it."""
    place = int.from_bytes(digest[:8], "big") / 2**64
    valid = data.valid_share if "valid" not in given else 0.0
    test = data.test_share if "test" not in given else 0.0
    return "test" if place < test else "valid" if place < test + valid else "train"


def _first_of_each(numbers: np.ndarray, codes: np.ndarray, digests: list[bytes], count: int) -> np.ndarray:
    """So many images of each class, chosen by a hash of their pixels."""
    ordered = sorted(numbers.tolist(), key=lambda n: digests[n])
    taken: dict[int, list[int]] = {}
    for number in ordered:
        held = taken.setdefault(int(codes[number]), [])
        if len(held) < count:
            held.append(number)
    return np.array(sorted(n for held in taken.values() for n in held), np.int64)


def _require_classes(data: ImageData, codes: np.ndarray, training: np.ndarray, labels: list[str], tally: Tally) -> None:
    if not len(training):
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in tally.dropped.items())
        raise DataError(f"{data.source}: no image is left to train on ({reasons or 'all are in other splits'})")
    present = np.unique(codes[training])
    missing = [label for number, label in enumerate(labels) if number not in present]
    if missing and data.labels is None:
        raise DataError(
            f"{data.source}: no image of {', '.join(missing[:5])} is left to train on: add some, or lower test_share"
        )


def _statistics(images: np.ndarray, numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the training images, in 0 .. 1."""
    total, squares, count = np.zeros(images.shape[-1]), np.zeros(images.shape[-1]), 0
    for start in range(0, len(numbers), _CHUNK):
        block = images[numbers[start : start + _CHUNK]].reshape(-1, images.shape[-1]) / 255.0
        total, squares, count = total + block.sum(0), squares + (block**2).sum(0), count + len(block)
    mean = total / count
    return mean.round(6).tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-8)).round(6).tolist()


# --- reading ---


class Images:
    """One split of a prepared directory; pixels stay on disk until they are asked for."""

    def __init__(self, directory: str | Path, split: str):
        path = Path(directory)
        self.manifest = read_manifest(path)
        self.numbers = np.load(path / f"{split}.npy")
        self.labels = np.load(path / "labels.npy")[self.numbers]  # int32 [N]
        self._pixels = np.load(path / "images.npy", mmap_mode="r")
        self._names: Callable[[], list[str]] = lambda: read_json(path / "names.json")

    def __len__(self) -> int:
        return len(self.numbers)

    def pixels(self, examples: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, C]."""
        return self._pixels[self.numbers[examples]]

    def names(self) -> list[str]:
        every = self._names()
        return [every[number] for number in self.numbers.tolist()]


class Example(NamedTuple):
    name: str
    pixels: np.ndarray  # uint8 [H, W, C]
    label: int  # -1: none


def split_examples(prepared: str, split: str) -> Iterator[Example]:
    """The images of a split in stored order."""
    images = Images(prepared, split)
    for number, name in enumerate(images.names()):
        yield Example(name, images.pixels(np.array([number]))[0], int(images.labels[number]))


def folder_examples(path: Path, unit: str, predictor: Any) -> tuple[Iterator[Example], Tally]:
    """Examples from class folders or a .csv of path,label, as `predictor` takes them, and the tally that fills as they are read.

    With `predictor.labels`, images of other classes are left out and counted.
    """
    if unit != "sentence":
        raise ConfigError("--unit is for text")
    listed = items(ImageData(source=str(path), prepared=""))
    labels = getattr(predictor, "labels", None) or sorted({item.label for item in listed if item.label})
    number_of, tally = {label: number for number, label in enumerate(labels)}, Tally()

    def read() -> Iterator[Example]:
        for item in listed:
            tally.read += 1
            if item.label not in number_of:
                tally.drop("a class that the model does not know", item.name, item.label or "")
                continue
            try:
                yield Example(item.name, load(item, predictor.size, predictor.channels), number_of[item.label])
            except pictures.BadImage as error:
                tally.drop(str(error), item.name)

    return read(), tally


def read_manifest(path: Path) -> dict:
    """DataError that names the command to run when `path` is not prepared."""
    if not (path / "manifest.json").is_file():
        raise DataError(f"{path} is not prepared yet: run `bmtool prepare-data CONFIG` first")
    manifest = read_json(path / "manifest.json")
    if manifest.get("format") != FORMAT or "mean" not in manifest:
        raise DataError(f"{path} was prepared by another version or task: run `bmtool prepare-data CONFIG` again")
    return manifest


def require_same(manifest: dict, data: ImageData) -> None:
    """ConfigError when the prepared images are not those that `data` describes."""
    for key in ("source", "size", "channels"):
        if (made := manifest["settings"][key]) != (wanted := getattr(data, key)):
            raise ConfigError(
                f"{data.prepared} was prepared with data.{key} {made}, not {wanted}: run `bmtool prepare-data` with these settings, "
                "or choose another data.prepared"
            )


def require_classes(labels: list[str], source: str) -> None:
    """ConfigError when there is nothing to tell apart."""
    if len(labels) < 2:
        raise ConfigError(
            f"{source} holds one class only ({', '.join(labels) or 'none'}): a classifier needs two or more"
        )
