"""Items read one after the other into the files of a prepared directory, and what is to be known of each afterwards."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bmtool.base.console import Console
from bmtool.base.cores import cores
from bmtool.config.image import ImageData
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import Tally
from bmtool.images import pictures, targets
from bmtool.images.items import Box, Item
from bmtool.images.sources import placed
from bmtool.images.targets import VOID, Growing, Ragged, Target, Writer

_CHUNK = 256


OUTSIDE = "box outside the image as it is stored, or under a pixel wide or high"
CUT = "box cut at the edge of the image as it is stored"


class Read(NamedTuple):
    """One item as it is stored, how many of its boxes were left out, and how many were cut."""

    image: pictures.Placed
    target: Target
    lost: int = 0
    cut: int = 0


@dataclass
class Draft:
    """What is known of the items while they are prepared; lists and arrays have one entry for each."""

    data: ImageData
    listed: list[Item]
    # "label", "boxes", "mask" or "image"
    kind: str
    labels: list[str]
    # the splits that the source makes itself
    given: set[str | None]
    tally: Tally
    # sha256 of the pixels, and of the target; empty where an image cannot be used
    digests: list[bytes] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    # number in SPLITS, -1: left out
    split_of: list[int] = field(default_factory=list)
    # what an image holds: its class, those of its boxes, or those that its mask shows
    classes: Ragged | None = None


def store(folder: Path, draft: Draft, console: Console) -> None:
    """Write pixels and targets of every item; one that cannot be used keeps its place, in zeros."""
    shape = (len(draft.listed), draft.data.size, draft.data.size, draft.data.channels)
    windows = np.zeros((len(draft.listed), 4), np.float32)
    with Growing(folder / "images.npy", shape) as images, Writer(folder, draft.kind, shape) as writer:
        for number, read in enumerate(_read_all(draft, console)):
            usable = read if isinstance(read, Read) else None
            images.add(usable and usable.image.pixels)
            writer.add(usable and usable.target)
            windows[number] = usable.image.window if usable else 0
            _note(draft, draft.listed[number], read)
        draft.classes = writer.finish()
    np.save(folder / "windows.npy", windows)


def _note(draft: Draft, item: Item, read: Read | str) -> None:
    """Keep what the later steps need of one item."""
    draft.tally.read += 1
    usable = isinstance(read, Read)
    if usable:
        _say(draft.tally, item, read)
    else:
        draft.tally.drop(read, item.name)
    digest = digest_of(read.image.pixels) if usable else b""
    draft.digests.append(digest)
    draft.marks.append(mark(read.target) if usable else b"")
    draft.split_of.append(SPLITS.index(item.split or _split(digest, draft)) if usable else -1)


def _say(tally: Tally, item: Item, read: Read) -> None:
    """Count what was left out of an item, and what was changed."""
    for _ in range(read.lost):
        tally.drop(OUTSIDE, item.name)
    for note in (*read.image.notes, *[CUT] * read.cut):
        tally.note(note, item.name)


def _read_all(draft: Draft, console: Console) -> Iterator[Read | str]:
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
    frame = pictures.Frame(data.size, data.fit, data.range)
    image = placed(item, data.channels, frame)
    if item.boxes is not None:
        return _boxed(item.boxes, image, number_of)
    target = Target(number_of[item.label] if item.label is not None else -1)
    if item.mask is not None:
        target = Target(mask=pictures.place_mask(item.mask, image.shape, frame, void=VOID))
    if item.paired is not None:
        target = Target(image=_paired(item, image.shape, data.channels, frame))
    return Read(image, target)


def _boxed(boxes: tuple[Box, ...], image: pictures.Placed, number_of: dict[str, int]) -> Read:
    """An image with what of the boxes of the original lies in the stored one."""
    corners = np.array([box[:4] for box in boxes], np.float64).reshape(-1, 4)
    labels = np.array([number_of[box.label] for box in boxes], np.int32)
    inside, size = image.window.inside(corners), len(image.pixels)
    kept = targets.clip(inside, labels, size)
    whole = ((inside > -targets.MIN_BOX) & (inside < size + targets.MIN_BOX)).all(axis=1)
    lost = len(boxes) - len(kept.boxes)
    target = Target(boxes=kept.boxes.astype(np.float32), box_labels=kept.labels)
    return Read(image, target, lost, max(0, int((~whole).sum()) - lost))


def _paired(item: Item, shape: tuple[int, int], channels: int, frame: pictures.Frame) -> np.ndarray:
    """BadImage unless it shows the same view: a larger or smaller image has the same aspect, to a pixel."""
    other = placed(item._replace(content=item.paired), channels, frame)
    (width, height), (wide, high) = shape, other.shape
    if abs(width * high - wide * height) > max(height, high):
        raise pictures.BadImage("a target of another aspect than its image")
    return other.pixels


def digest_of(pixels: np.ndarray) -> bytes:
    """A hash that two images share when their pixels are the same."""
    return hashlib.sha256(pixels.tobytes()).digest()


def mark(target: Target) -> bytes:
    """A hash that two images share when their targets are the same."""
    digest = hashlib.sha256(str(target.label).encode())
    for values in (target.boxes, target.box_labels, target.mask, target.image):
        digest.update(b"" if values is None else values.tobytes())
    return digest.digest()


def _split(digest: bytes, draft: Draft) -> str:
    """By a hash of the pixels, so that an image stays where it is when others are added, and its copies are with it."""
    place = int.from_bytes(digest[:8], "big") / 2**64
    valid = draft.data.valid_share if "valid" not in draft.given else 0.0
    test = draft.data.test_share if "test" not in draft.given else 0.0
    return "test" if place < test else "valid" if place < test + valid else "train"
