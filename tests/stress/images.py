"""Image files of every format that Pillow writes, damaged; folders of anything; lists of anything.

A picture gives pixels or says in a few words why not. A source gives items, each file of it once, or ends in one line of DataError.
"""

import io
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from bmtool.config.image import ImageData
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.images.pictures import BadImage, Frame
from bmtool.images.sources import items
from bmtool.predict import folders
from stress import Attempt

DAMAGED, TREES, LISTS = 40, 400, 400  # tries: of each format, of folders, of lists
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "F", "I")
RANGES = ("auto", "8bit", "12bit", "16bit", "unit", [0, 1], [-1000.0, 1000.0])
NAMES = (
    "train", "Test", "dev", "val", "a", "b", "①", "1", "01", ".git", "__MACOSX", "images", "masks", "e\u0301", "\u00e9", "x y",
)  # fmt: skip
ENDINGS = (".png", ".PNG", ".jfif", ".heic", ".txt", "", ".csv", ".npy")
CELLS = (
    "path",
    "label",
    "class",
    "x1",
    "ymin",
    "a.png",
    "b/c.png",
    "../x",
    "",
    " ",
    "1",
    "nan",
    "\0",
    '"',
    "é",
    "x" * 300,
)
MARKS = (",", ";", "\t", "\n", "\r\n", '"', ",,")


def attempts(sample: int | None, seed: int) -> Iterator[Attempt]:
    every = list(_every())
    chosen = every if sample is None else random.Random(seed).sample(every, min(sample, len(every)))
    return (Attempt(name, _problem(trial)) for name, trial in chosen)


def _every() -> Iterator[tuple[str, Callable[[], str]]]:
    for kind in folders.formats():
        for mode in MODES:
            if contents := _written(kind, mode):
                for number in range(DAMAGED):
                    yield f"{kind} of {mode}, damage {number}", partial(_picture, contents, number)
    for number in range(TREES):
        yield f"folders {number}", partial(_tree, number)
    for number in range(LISTS):
        yield f"list {number}", partial(_list, number)


def _problem(trial: Callable[[], str]) -> str:
    try:
        return trial()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _written(kind: str, mode: str) -> bytes:
    """A picture of this format; nothing where Pillow does not write such."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8))
    deep = np.asarray(noise.convert("L"), np.float32) * 257
    types = {"I;16": np.uint16, "F": np.float32, "I": np.int32}
    image, stream = Image.fromarray(deep.astype(types[mode])) if mode in types else noise.convert(mode), io.BytesIO()
    try:
        image.save(stream, kind)
    except Exception:  # each writer has its own for what it does not write
        return b""
    return stream.getvalue()


def _picture(contents: bytes, number: int) -> str:
    """The first is whole; others have bytes changed, are cut short, or are longer."""
    draw, data = random.Random(number), bytearray(contents)
    for _ in range(draw.randrange(1, 9) if number else 0):
        data[draw.randrange(min(len(data), draw.choice((64, len(data)))))] = draw.randrange(256)
    data = data[: draw.randrange(len(data))] if number % 5 == 4 else data
    frame = Frame(8, draw.choice(("square", "pad")), draw.choice(RANGES))
    try:
        placed = pictures.place(bytes(data), draw.choice((1, 3)), frame)
    except BadImage as error:
        return "" if "\n" not in str(error) and len(str(error)) < 120 else f"says too much: {error}"
    return "" if placed.pixels.shape[:2] == (8, 8) and placed.pixels.dtype == np.uint8 else "other pixels"


def _tree(number: int) -> str:
    """Every file outside of hidden folders is an image or was counted."""
    draw = random.Random(number)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for _ in range(draw.randrange(1, 30)):
            folder = root.joinpath(*(draw.choice(NAMES) for _ in range(draw.randrange(4))))
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{draw.randrange(9)}f{draw.choice(ENDINGS)}"
            if not file.is_symlink() and not file.exists():
                file.symlink_to("nowhere") if draw.random() < 0.1 else file.write_bytes(b"x")
        tally = Tally()
        try:
            found = items(ImageData(source=place, prepared="prepared"), tally)
        except DataError as error:
            return "" if "\n" not in str(error) else f"more than a line: {error}"
        return _counted(root, len(found) + sum(item.mask is not None for item in found), tally)


def _counted(root: Path, used: int, tally: Tally) -> str:
    lying = sum(not path.is_dir() and not _in_hidden(path.relative_to(root)) for path in root.rglob("*"))
    ignored = tally.ignored.total() - tally.ignored["hidden folder"]
    return "" if lying == used + ignored else f"{lying} files, {used} used, {ignored} ignored"


def _in_hidden(path: Path) -> bool:
    return any(folders.is_hidden(part) for part in path.parts[:-1])


def _list(number: int) -> str:
    draw = random.Random(number)
    text = "".join(draw.choice(CELLS) + draw.choice(MARKS) for _ in range(draw.randrange(40)))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "list.csv")
        path.write_text(draw.choice(("", "path,label\n", "\ufeff", "file;class;size\n")) + text, "utf-8", newline="")
        try:
            found = items(ImageData(source=str(path), prepared="prepared"), Tally())
        except DataError as error:
            return "" if "\n" not in str(error) else f"more than a line: {error!r}"
        return "" if all(item.label or item.boxes is not None for item in found) else "an empty label is a class"
