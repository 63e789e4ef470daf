"""The steps of preparing images: decode, split, drop duplicates, choose, measure, describe."""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.cores import cores
from bmtool.base.files import write_json, write_text
from bmtool.config.image import ImageData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.images import pictures, targets
from bmtool.images.sources import Box, Item, placed
from bmtool.images.targets import VOID, Growing, Ragged, Target, Writer

SPLITS = ("train", "valid", "test")
_CHUNK = 256
_TARGETS = {"boxes": "boxes", "mask": "mask", "paired": "image"}  # field of an Item -> kind of target


class Read(NamedTuple):
    """One item as it is stored, and how many of its boxes were left out."""

    pixels: np.ndarray
    window: pictures.Window
    target: Target
    lost: int


@dataclass
class Draft:
    """What is known of the items while they are prepared; lists and arrays have one entry for each."""

    data: ImageData
    listed: list[Item]
    # "label", "boxes", "mask" or "image"
    kind: str
    labels: list[str]
    tally: Tally = field(default_factory=Tally)
    # sha256 of the pixels, and of the target; empty where an image cannot be used
    digests: list[bytes] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    # number in SPLITS, -1: left out
    split_of: list[int] = field(default_factory=list)
    windows: list[pictures.Window] = field(default_factory=list)
    classes: Ragged | None = None


def make(folder: Path, data: ImageData, listed: list[Item], *, labels: list[str], console: Any) -> dict:
    """Write all files of a prepared directory but its manifest, which is returned. DataError when too little is left to train on."""
    began = time.perf_counter()
    draft = Draft(data, listed, _kind(listed), labels)
    if data.per_class and draft.kind != "label":
        raise ConfigError("data.per_class counts images of one class each: leave it out where the targets are others")
    _store(folder, draft, console)
    _drop_duplicates(draft)
    chosen = _choose(draft)
    _name_classes(draft, chosen)
    _require_classes(draft, chosen)
    _write_lists(folder, draft, chosen)
    mean, deviation = _statistics(np.load(folder / "images.npy", mmap_mode="r"), chosen["train"])
    seconds = round(time.perf_counter() - began, 2)
    return _manifest(draft, chosen) | {"mean": mean, "deviation": deviation, "seconds": seconds}


def _kind(listed: list[Item]) -> str:
    return next((kind for name, kind in _TARGETS.items() if listed and getattr(listed[0], name) is not None), "label")


# --- decoding ---


def _store(folder: Path, draft: Draft, console: Any) -> None:
    """Write pixels and targets of every item; one that cannot be used keeps its place, in zeros."""
    data, listed = draft.data, draft.listed
    shape = (len(listed), data.size, data.size, data.channels)
    given = {item.split for item in listed}
    images = Growing(folder / "images.npy", shape)
    try:
        with Writer(folder, draft.kind, shape) as writer:
            for item, read in zip(listed, _read_all(draft, console)):
                images.add(read.pixels if isinstance(read, Read) else None)
                writer.add(read.target if isinstance(read, Read) else None)
                _note(draft, item, read, given)
            draft.classes = writer.finish()
    finally:
        images.close()


def _note(draft: Draft, item: Item, read: Read | str, given: set[str | None]) -> None:
    """Keep what the later steps need of one item."""
    draft.tally.read += 1
    if isinstance(read, str):
        draft.tally.drop(read, item.name)
        draft.digests.append(b"")
        draft.marks.append(b"")
        draft.split_of.append(-1)
        draft.windows.append(pictures.Window(0, 0, 0, 0))
        return
    for _ in range(read.lost):
        draft.tally.drop("box outside the image as it is stored, or under a pixel wide or high", item.name)
    digest = hashlib.sha256(read.pixels.tobytes()).digest()
    draft.digests.append(digest)
    draft.marks.append(_mark(read.target))
    draft.split_of.append(SPLITS.index(item.split or _split(digest, draft.data, given)))
    draft.windows.append(read.window)


def _read_all(draft: Draft, console: Any) -> Iterator[Read | str]:
    """Every item in order, or why it cannot be used; files are decoded by as many threads as there are cores."""
    number_of = {label: number for number, label in enumerate(draft.labels)}

    def one(item: Item) -> Read | str:
        try:
            return _read(item, draft.data, number_of)
        except pictures.BadImage as error:
            return str(error)

    with ThreadPoolExecutor(cores()) as pool:
        stream, done = iter(draft.listed), 0
        while chunk := list(islice(stream, _CHUNK)):
            yield from pool.map(one, chunk)
            done += len(chunk)
            if done % (40 * _CHUNK) == 0:
                console.say(f"{done:,} of {len(draft.listed):,} images")


def _read(item: Item, data: ImageData, number_of: dict[str, int]) -> Read:
    """BadImage when the image or its target is none."""
    frame = pictures.Frame(data.size, data.fit)
    image = placed(item, data.channels, frame)
    target, lost = Target(number_of[item.label] if item.label is not None else -1), 0
    if item.boxes is not None:
        target = _boxes(item.boxes, image.window, data.size, number_of)
        lost = len(item.boxes) - len(target.boxes)
    if item.mask is not None:
        target = Target(mask=pictures.place_mask(item.mask, image.shape, frame, void=VOID))
    if item.paired is not None:
        target = Target(image=_paired(item, image.shape, data.channels, frame))
    return Read(image.pixels, image.window, target, lost)


def _boxes(boxes: tuple[Box, ...], window: pictures.Window, size: int, number_of: dict[str, int]) -> Target:
    """What of the boxes of an original image lies in the stored one."""
    corners = np.array([box[:4] for box in boxes], np.float64).reshape(-1, 4)
    labels = np.array([number_of[box.label] for box in boxes], np.int32)
    kept = targets.clip(window.inside(corners), labels, size)
    return Target(boxes=kept.boxes.astype(np.float32), box_labels=kept.labels)


def _paired(item: Item, shape: tuple[int, int], channels: int, frame: pictures.Frame) -> np.ndarray:
    """BadImage unless it shows the same view: a larger or smaller image has the same aspect, to a pixel."""
    other = placed(item._replace(content=item.paired), channels, frame)
    (width, height), (wide, high) = shape, other.shape
    if abs(width * high - wide * height) > max(height, high):
        raise pictures.BadImage("a target of another aspect than its image")
    return other.pixels


def _mark(target: Target) -> bytes:
    """A hash that two images share when their targets are the same."""
    digest = hashlib.sha256(str(target.label).encode())
    for values in (target.boxes, target.box_labels, target.mask, target.image):
        digest.update(b"" if values is None else values.tobytes())
    return digest.digest()


# --- splits ---


def _split(digest: bytes, data: ImageData, given: set[str | None]) -> str:
    """By a hash of the pixels, so that an image stays where it is when others are added, and its copies are with it."""
    place = int.from_bytes(digest[:8], "big") / 2**64
    valid = data.valid_share if "valid" not in given else 0.0
    test = data.test_share if "test" not in given else 0.0
    return "test" if place < test else "valid" if place < test + valid else "train"


def _drop_duplicates(draft: Draft) -> None:
    """Leave out all images but one of those with the same pixels; what is tested on is kept, and its copies go."""
    listed, seen = draft.listed, {}
    for number in sorted(range(len(listed)), key=lambda n: -draft.split_of[n]):
        first = seen.setdefault(draft.digests[number], number)
        if draft.split_of[number] < 0 or listed[number].split == "test" or first == number:
            continue
        other = "the same image in another class" if draft.kind == "label" else "the same image with another target"
        reason = "duplicate" if draft.marks[first] == draft.marks[number] else other
        draft.tally.drop(reason, listed[number].name, listed[first].name)
        draft.split_of[number] = -1


def _choose(draft: Draft) -> dict[str, np.ndarray]:
    """The numbers of the images of each split, int64."""
    chosen = {split: np.flatnonzero(np.array(draft.split_of) == code) for code, split in enumerate(SPLITS)}
    if draft.data.per_class:
        chosen["train"] = _first_of_each(chosen["train"], draft, draft.data.per_class)
    draft.tally.kept = sum(map(len, chosen.values()))
    return chosen


def _first_of_each(numbers: np.ndarray, draft: Draft, count: int) -> np.ndarray:
    """So many images of each class, chosen by a hash of their pixels."""
    taken: dict[str | None, list[int]] = {}
    for number in sorted(numbers.tolist(), key=lambda n: draft.digests[n]):
        held = taken.setdefault(draft.listed[number].label, [])
        if len(held) < count:
            held.append(number)
    return np.array(sorted(n for held in taken.values() for n in held), np.int64)


# --- classes ---


def _name_classes(draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    """Classes of masks are their numbers, unless `data.labels` names them. DataError when there are none, or too few names."""
    if draft.kind != "mask":
        return
    most = int(draft.classes.of(np.concatenate(list(chosen.values()))).max(initial=0))
    if most == 0:
        raise DataError(f"{draft.data.source}: no mask shows a class but 0; {VOID} means that a pixel is not counted")
    if draft.data.labels is None:
        draft.labels = [str(number) for number in range(most + 1)]
    elif most >= len(draft.labels):
        raise DataError(
            f"{draft.data.source}: masks show class {most}, {draft.data.labels} names {len(draft.labels)} only"
        )


def _require_classes(draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    """DataError when nothing is left to train on, or nothing of a class; of masks only of one that is tested."""
    source, training = draft.data.source, chosen["train"]
    if not len(training):
        reasons = "; ".join(f"{count:,} x {reason}" for reason, count in draft.tally.dropped.items())
        raise DataError(f"{source}: no image is left to train on ({reasons or 'all are in other splits'})")
    wanted = range(len(draft.labels))
    if draft.kind == "mask":
        wanted = np.unique(draft.classes.of(np.concatenate(list(chosen.values())))).tolist()
    present = set(draft.classes.of(training).tolist())
    missing = [draft.labels[number] for number in wanted if number not in present]
    if missing and draft.data.labels is None:
        raise DataError(
            f"{source}: no image of {', '.join(missing[:5])} is left to train on: add some, or lower test_share"
        )


# --- what is written at the end ---


def _write_lists(folder: Path, draft: Draft, chosen: dict[str, np.ndarray]) -> None:
    for split, numbers in chosen.items():
        np.save(folder / f"{split}.npy", numbers)
    np.save(folder / "labels.npy", _codes(draft))
    np.save(folder / "windows.npy", np.array(draft.windows, np.float32).reshape(-1, 4))
    write_json(folder / "labels.json", draft.labels)
    write_text(folder / "names.json", json.dumps([item.name for item in draft.listed], ensure_ascii=False))


def _codes(draft: Draft) -> np.ndarray:
    """int32 [N]: the number of each image's class, -1 where it has none."""
    number_of = {label: number for number, label in enumerate(draft.labels)}
    return np.array([-1 if item.label is None else number_of[item.label] for item in draft.listed], np.int32)


def _statistics(images: np.ndarray, numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the training images, in 0 .. 1."""
    total, squares, count = np.zeros(images.shape[-1]), np.zeros(images.shape[-1]), 0
    for start in range(0, len(numbers), _CHUNK):
        block = images[numbers[start : start + _CHUNK]].reshape(-1, images.shape[-1]) / 255.0
        total, squares, count = total + block.sum(0), squares + (block**2).sum(0), count + len(block)
    mean = total / count
    return mean.round(6).tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-8)).round(6).tolist()


def _data_hash(draft: Draft, chosen: dict[str, np.ndarray]) -> str:
    """sha256 of all that training reads: sizes, classes, pixels and targets of each split."""
    digest = hashlib.sha256(json.dumps([draft.data.size, draft.data.channels, draft.labels]).encode())
    codes = _codes(draft)
    for split, numbers in chosen.items():
        digest.update(split.encode() + b"".join(draft.digests[n] for n in numbers) + codes[numbers].tobytes())
        if draft.kind != "label":
            digest.update(b"".join(draft.marks[n] for n in numbers))
    return digest.hexdigest()


def _manifest(draft: Draft, chosen: dict[str, np.ndarray]) -> dict:
    """What was read, kept and dropped, and how many examples of each class there are (of boxes, how many boxes)."""
    counts = {
        split: {
            "examples": len(numbers),
            "classes": np.bincount(draft.classes.of(numbers), minlength=len(draft.labels)).tolist(),
        }
        for split, numbers in chosen.items()
    }
    return {
        "kind": "images", "target": draft.kind, "data_hash": _data_hash(draft, chosen), "splits": counts, "labels": draft.labels,
        "read": draft.tally.read, "kept": draft.tally.kept, "dropped": dict(draft.tally.dropped),
        "examples": {reason: found[:10] for reason, found in draft.tally.examples.items()},
    }  # fmt: skip
