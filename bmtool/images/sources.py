"""Where images and their targets come from: named data sets, class folders, tables, idx files, folders of masks."""

import csv
import gzip
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.needs import needs
from bmtool.config.image import ImageData
from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.predict.inputs import SUFFIXES

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it
IDX = {"train": "train", "test": "t10k"}
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
NAMED = ("digits", "mnist", "fashion-mnist", "cifar10")


# Folders beside `images/`, with a file of the same stem for each image: a target, and the field of Item that names it.
BESIDE = {"masks": "mask", "targets": "paired"}
BOX_COLUMNS = ["path", "x1", "y1", "x2", "y2", "label"]


class Box(NamedTuple):
    """In pixels of the upright image: x1 < x2 from its left edge, y1 < y2 from its upper one."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str


class Item(NamedTuple):
    name: str
    label: str | None
    # None: by a hash of the pixels
    split: str | None
    # a file, or pixels uint8 [H, W] or [H, W, 3]
    content: Path | np.ndarray
    # None where the source has no boxes; empty for an image without any
    boxes: tuple[Box, ...] | None = None
    # a file of class numbers, one for each pixel
    mask: Path | None = None
    # the image that is to be made of this one
    paired: Path | None = None


def items(data: ImageData) -> list[Item]:
    """Every image of `data.source`, undecoded where it is a file. DataError when there is none."""
    if data.source in NAMED:
        return {"digits": _digits, "mnist": _mnist, "fashion-mnist": _mnist, "cifar10": _cifar10}[data.source](data)
    path = Path(data.source)
    if path.suffix == ".csv":
        found = _table(path)
    elif path.is_file():
        raise DataError(f"data.source: {path} is no folder and no .csv: unpack an archive first")
    elif not path.is_dir():
        raise DataError(f"data.source: {path} is no folder, no .csv and none of {', '.join(NAMED)}")
    elif _idx(path, "train-images-idx3-ubyte"):
        found = _idx_items(path, None)
    else:
        found = _folders(path)
    if not found:
        raise DataError(
            f"{path} holds no images: expected a folder for each class with {', '.join(SUFFIXES)} files in it"
        )
    return found


def _digits(data: ImageData) -> list[Item]:
    with needs("scikit-learn", "data.source: digits come with scikit-learn", error=DataError):
        from sklearn.datasets import load_digits
    loaded = load_digits()
    pixels = (loaded.images * (255 / 16)).round().astype(np.uint8)
    return [Item(f"digits/{i}", str(t), None, x) for i, (x, t) in enumerate(zip(pixels, loaded.target.tolist()))]


def _mnist(data: ImageData) -> list[Item]:
    """From idx files in `root`, where Debian's package puts Fashion-MNIST, or through torchvision."""
    name, fashion = ("FashionMNIST", True) if data.source == "fashion-mnist" else ("MNIST", False)
    places = [Path(data.root), Path(data.root) / name / "raw", *([FASHION] if fashion else [])]
    for place in places:
        if _idx(place, "train-images-idx3-ubyte"):
            return _idx_items(place, FASHION_CLASSES if fashion else None)
    if not data.download:
        hint = " or install Debian's dataset-fashion-mnist," if fashion else ""
        raise DataError(
            f"{data.source} is not in {data.root}: put its idx files there,{hint} or allow it to be fetched with --set data.download=true"
        )
    _torchvision(data, name)
    return _idx_items(Path(data.root) / name / "raw", FASHION_CLASSES if fashion else None)


def _torchvision(data: ImageData, name: str) -> list[Any]:
    """Both parts of a torchvision data set."""
    from bmtool.torchvision import torchvision

    kind = getattr(torchvision.datasets, name)
    try:
        return [kind(data.root, train=train, download=data.download) for train in (True, False)]
    except RuntimeError as error:
        raise DataError(
            f"{data.source} is not in {data.root}: put it there, or allow it to be fetched with --set data.download=true"
        ) from error
    except OSError as error:
        raise DataError(f"{data.source} could not be fetched: {error}") from error


def _cifar10(data: ImageData) -> list[Item]:
    parts = zip(("train", "test"), _torchvision(data, "CIFAR10"))
    return [
        Item(f"{split}/{i}", part.classes[target], split if split == "test" else None, pixels)
        for split, part in parts
        for i, (pixels, target) in enumerate(zip(part.data, part.targets))
    ]


def _idx(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _idx_items(folder: Path, classes: tuple[str, ...] | None) -> list[Item]:
    out = []
    for split, prefix in IDX.items():
        paths = [_idx(folder, f"{prefix}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
        if split == "test" and paths == [None, None]:
            continue
        if None in paths:
            raise DataError(f"{folder} lacks the images or the labels of {prefix} (idx files)")
        images, labels = (read_idx(path) for path in paths)
        if len(images) != len(labels):
            raise DataError(f"{paths[0]} holds {len(images):,} images, {paths[1]} {len(labels):,} labels")
        for number, (pixels, label) in enumerate(zip(images, labels.tolist())):
            name = classes[label] if classes else str(label)
            out.append(Item(f"{split}/{number}", name, split if split == "test" else None, pixels))
    return out


def read_idx(path: Path) -> np.ndarray:
    """A file of the format of MNIST, uint8, packed or not. DataError when it is another or cut short."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            zero, kind, dimensions = struct.unpack(">HBB", stream.read(4))
            shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
            if zero or kind != 8 or dimensions > 4:
                raise ValueError("no idx file of bytes")
            values = np.frombuffer(stream.read(), np.uint8)
        return values.reshape(shape)
    except (ValueError, struct.error, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged or no idx file: {error}") from error


def _folders(root: Path) -> list[Item]:
    """What `_folder` reads; or train/, test/ and perhaps valid/ (val/), each of which it reads."""
    splits = {"train": None, "valid": "valid", "val": "valid", "test": "test"}
    parts = {entry.name: entry for entry in root.iterdir() if entry.is_dir()}
    if "train" in parts and set(parts) <= set(splits):
        splits["train"] = "train" if {"valid", "val"} & set(parts) else None  # None: validation images come out of it
        return [item._replace(split=splits[name]) for name, path in sorted(parts.items()) for item in _folder(path)]
    return _folder(root)


def _folder(root: Path) -> list[Item]:
    """A folder a class; or images/ and beside it masks/ or targets/ with a file of the same stem for each image."""
    for name, field in BESIDE.items():
        if (root / "images").is_dir() and (root / name).is_dir():
            return _pairs(root / "images", root / name, field)
    return _classes(root)


def _pairs(images: Path, targets: Path, field: str) -> list[Item]:
    """Images with their targets. DataError when one has no other: what belongs together is not guessed."""
    ours, theirs = (
        {path.relative_to(root).with_suffix(""): path for path in _files(root)} for root in (images, targets)
    )
    for missing, root in ((ours.keys() - theirs.keys(), targets), (theirs.keys() - ours.keys(), images)):
        if missing:
            raise DataError(
                f"{root} lacks {len(missing):,} files, {min(missing)} among them: add them, or remove the others"
            )
    return [Item(str(path), None, None, path)._replace(**{field: theirs[stem]}) for stem, path in ours.items()]


def _files(root: Path) -> list[Path]:
    """Images below a folder. DataError when two differ in their suffix only: one would stand for both."""
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    stems = sorted(path.with_suffix("") for path in found)
    if twice := next((a for a, b in pairwise(stems) if a == b), None):
        raise DataError(f"{twice}: several images of this name, with different endings: keep one")
    return found


def _classes(root: Path) -> list[Item]:
    out, empty = [], []
    for folder in sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        inside = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        out += [Item(str(path), folder.name, None, path) for path in inside]
        empty += [] if inside else [folder.name]
    if empty and out:
        raise DataError(f"{root}: no image in {', '.join(empty)}: add some, or remove the folder")
    return out


class _Row(NamedTuple):
    place: str
    cells: list[str]


def _table(path: Path) -> list[Item]:
    """Rows of path and label, or of path, x1, y1, x2, y2, label; paths are relative to the file and lie below its folder.

    A first row of these names is a heading. An image has as many rows as boxes; one with the path alone says it has none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [_Row(f"{path}:{number}", row) for number, row in enumerate(csv.reader(stream), 1) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    boxes = bool(rows) and len(rows[0].cells) == len(BOX_COLUMNS)
    columns = BOX_COLUMNS if boxes else ["path", "label"]
    for row in rows:
        if len(row.cells) != len(columns):
            raise DataError(f"{row.place}: expected {','.join(columns)}, got {len(row.cells)} columns")
    rows = rows[1:] if rows and rows[0].cells == columns else rows
    return _boxed(path, rows) if boxes else _labelled(path, rows)


def _labelled(path: Path, rows: list[_Row]) -> list[Item]:
    return [Item(row.cells[0], row.cells[1].strip(), None, _below(path, row)) for row in rows]


def _boxed(path: Path, rows: list[_Row]) -> list[Item]:
    """An item for each path, in the order of their first rows, with the boxes of all its rows."""
    held: dict[str, list[Box]] = {}
    files = {}
    for row in rows:
        files[row.cells[0]] = _below(path, row)
        boxes = held.setdefault(row.cells[0], [])
        if any(row.cells[1:]):
            boxes.append(_box(row))
    return [Item(name, None, None, files[name], boxes=tuple(boxes)) for name, boxes in held.items()]


def _box(row: _Row) -> Box:
    """DataError unless it has a label and four finite numbers that span an area."""
    label = row.cells[5].strip()
    try:
        box = Box(*map(float, row.cells[1:5]), label)
    except ValueError as error:
        raise DataError(f"{row.place}: x1,y1,x2,y2 are numbers, not {','.join(row.cells[1:5])}") from error
    if not all(map(math.isfinite, box[:4])) or box.x1 >= box.x2 or box.y1 >= box.y2:
        raise DataError(f"{row.place}: a box needs x1 < x2 and y1 < y2, in pixels: {','.join(row.cells[1:5])}")
    if not label:
        raise DataError(f"{row.place}: the box has no label")
    return box


def _below(path: Path, row: _Row) -> Path:
    root = path.parent.resolve()
    target = (root / row.cells[0]).resolve()
    if not target.is_relative_to(root):
        raise DataError(f"{row.place}: {row.cells[0]} lies outside {path.parent}: paths are relative to the file")
    return target


def load(item: Item, size: int, channels: int) -> np.ndarray:
    """Its middle square, uint8 [size, size, channels]; BadImage when there is none to be had."""
    return placed(item, channels, pictures.Frame(size)).pixels


def placed(item: Item, channels: int, frame: pictures.Frame) -> pictures.Placed:
    """The image as it is stored; BadImage when there is none to be had."""
    if isinstance(item.content, Path) and not item.content.is_file():
        raise pictures.BadImage("no such file")
    return pictures.place(item.content, channels, frame)
