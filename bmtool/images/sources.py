"""Where images and their targets come from: named data sets, idx files, folders, lists, tables, tars."""

import gzip
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.needs import needs
from bmtool.config.image import NAMED, ImageData
from bmtool.data.tally import Tally, passed_over
from bmtool.errors import DataError
from bmtool.images import folders, pictures, tables, webdataset
from bmtool.images.items import Item
from bmtool.predict.folders import USUAL
from bmtool.sources import hub, parts, tars
from bmtool.sources.parts import Ignore, Part
from bmtool.sources.rows import READERS

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it
IDX = {"train": "train", "test": "t10k"}
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_READ = (*READERS, tars.SUFFIX)


def items(data: ImageData, tally: Tally) -> list[Item]:
    """Every image of `data.source`, undecoded where it is a file. DataError when there is none.

    `tally` counts what lies there and is no image to be read, and rows that lack a label.
    """
    if data.source in NAMED:
        return {"digits": _digits, "mnist": _mnist, "fashion-mnist": _mnist, "cifar10": _cifar10}[data.source](data)
    path = Path(data.source)
    if listed := parts_of(data.source, tally.ignore):
        found = [item for part in listed for item in _part_items(part, data.columns, tally)]
    elif path.is_file():
        raise DataError(f"data.source: {path} is no folder, no .csv and no .tar: unpack an archive first")
    elif not path.is_dir():
        raise DataError(
            f"data.source: {path} is no folder, no .csv and none of {', '.join(NAMED)}{hub.hint(data.source)}"
        )
    elif _idx(path, "train-images-idx3-ubyte"):
        found = _idx_items(path, None)
    else:
        found = folders.items(path, tally)
    if not found:
        told = passed_over(tally.ignored + tally.dropped, tally.examples)
        raise DataError(
            f"{path} holds no images: expected a folder for each class with image files in it ({', '.join(USUAL)} and what else "
            f"Pillow reads){told and f'; {told}'}"
        )
    return found


def parts_of(source: str, ignore: Ignore) -> list[Part]:
    """The tables and tars of a source, each with its split where the source brings splits; none where it is no such source."""
    path = Path(source)
    if source in NAMED:
        return []
    if parts.is_pattern(source):
        found = parts.matching(source, ignore)
        if strange := next((part.path for part in found if part.path.suffix.lower() not in _READ), None):
            raise DataError(f"data.source: {strange} is no table and no .tar: name those alone")
        return found
    if not path.is_dir():
        return [Part(path)] if path.suffix.lower() in _READ else []
    if parts.kind_of(path, {tars.SUFFIX}):
        return parts.by_name(path, sorted(path.rglob(f"*{tars.SUFFIX}")), ignore)
    return parts.parts(path, ignore) if parts.is_set(path) else []


def _part_items(part: Part, columns: Mapping[str, str], tally: Tally) -> list[Item]:
    """The images of a file; of the training part all splits that are missing are taken, by a hash of their pixels."""
    if part.path.suffix.lower() == tars.SUFFIX:
        found = webdataset.items(part.path, columns, tally)
    else:
        found = tables.items(part.path, columns, tally)
    split = None if part.split == "train" else part.split
    return [item._replace(split=split) for item in found]


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


def placed(item: Item, channels: int, frame: pictures.Frame) -> pictures.Placed:
    """The image as it is stored; BadImage when there is none to be had."""
    if isinstance(item.content, Path) and not os.path.isfile(item.content):
        raise pictures.BadImage("no such file")
    return pictures.place(held(item), channels, frame)


def held(item: Item) -> Path | bytes | np.ndarray:
    """What is decoded of an image: its file, its pixels, or its bytes, read now. BadImage when there are none."""
    if isinstance(item.content, (Path, np.ndarray)):
        return item.content
    try:
        return item.content.read()
    except ValueError as error:
        raise pictures.BadImage(str(error)) from error
