"""Data sets as others write them, for tests: by `datasets` itself, and tars by hand."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image

NAMES = ("neg", "pos")
PARTS = {"train": 40, "validation": 10, "test": 20}


def texts(count: int, start: int = 0) -> list[str]:
    return [f"第{number}句话说天气很好" for number in range(start, start + count)]


def png(number: int, size: int = 16) -> bytes:
    """A picture of its own for each number."""
    image = Image.new("RGB", (size, size), (number * 37 % 256, number * 91 % 256, number % 256))
    image.putpixel((number % size, number // size % size), (255, 255, 255))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def of_datasets(kind: str):
    """A `DatasetDict` of texts or of images, with classes; every row of it its own, with validation and test parts."""
    import datasets

    label = datasets.ClassLabel(names=list(NAMES))
    parts, start = {}, 0
    for name, count in PARTS.items():
        numbers = range(start, start + count)
        labels = [number % 2 for number in numbers]
        if kind == "text":
            held = {"review": texts(count, start), "length": [number % 7 for number in numbers], "stars": labels}
            features = {"review": datasets.Value("string"), "length": datasets.Value("int64"), "stars": label}
        else:
            held = {"image": [{"bytes": png(number), "path": None} for number in numbers], "label": labels}
            features = {"image": datasets.Image(), "label": label}
        parts[name] = datasets.Dataset.from_dict(held, features=datasets.Features(features))
        start += count
    return datasets.DatasetDict(parts)


def as_parquet(held, folder: Path) -> Path:
    """As the hub has it: data/train-00000-of-00001.parquet and so on, and a page about it."""
    (folder / "data").mkdir(parents=True)
    for name, part in held.items():
        part.to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    (folder / "README.md").write_text("# a set\n", "utf-8")
    return folder


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as held:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            held.addfile(info, io.BytesIO(data))
    return path


def shard(path: Path, numbers: range, *, as_json: bool = False) -> Path:
    """Samples of WebDataset: an image and its class, in a .cls or a .json."""
    members = {}
    for number in numbers:
        name = NAMES[number % 2]
        members[f"{number:04}.png"] = png(number)
        members[f"{number:04}" + (".json" if as_json else ".cls")] = (
            json.dumps({"label": name}).encode() if as_json else name.encode()
        )
    return tar(path, members)
