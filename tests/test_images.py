"""Images from where they lie to what training reads, good ones and bad ones."""

import contextlib
import gzip
import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CONFIGS, ROOT
from PIL import Image
from test_cli import fails

from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.images import prepare as images
from bmtool.images.pictures import BadImage, decode
from bmtool.images.sources import read_idx

DIGITS = str(CONFIGS / "image-classification" / "digits.yaml")


def photo(seed: int, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (40, 32)) -> Image.Image:
    """Noise around a colour."""
    noise = np.random.default_rng(seed).integers(-30, 30, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Two classes of twelve images each in class folders."""
    root = tmp_path / "photos"
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (root / name).mkdir(parents=True)
        for number in range(12):
            photo(number + 100 * len(name), colour).save(root / name / f"{number}.png")
    return root


def arguments(source, prepared, *more: str) -> list[str]:
    values = [f"data.source={source}", f"data.prepared={prepared}", "data.size=16", "data.channels=3", *more]
    return [part for value in values for part in ("--set", value)]


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# --- decoding ---


def test_torchvision_is_importable_and_its_operators_are_left_alone_where_they_load():
    """In a process of its own, since the schemas are defined once."""
    code = (
        "import torch; from bmtool.torchvision import OPERATORS, torchvision, define_missing_operators; "
        "assert hasattr(torch.ops.torchvision, 'nms') and torchvision.models.resnet18; "
        "assert OPERATORS is None or define_missing_operators() is not None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb_and_grey(mode, tmp_path):
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 20), 40_000, np.uint16))
    else:
        image = photo(1, size=(20, 20)).convert(mode)
    path = tmp_path / ("x.tif" if mode in ("CMYK",) else "x.png")
    image.save(path)
    rgb, grey = decode(path, 16, 3), decode(path, 16, 1)
    assert rgb.shape == (16, 16, 3) and grey.shape == (16, 16, 1) and rgb.dtype == np.uint8
    if mode == "I;16":
        assert abs(int(grey.mean()) - 40_000 // 256) <= 1


def test_transparency_is_white_and_rotation_is_undone():
    clear = encoded(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), "PNG")
    assert decode(clear, 10, 3).min() == 255
    half = Image.new("L", (20, 20), 0)
    half.paste(255, (0, 0, 20, 10))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: what was above is to the right
    turned = decode(encoded(half, "JPEG", exif=exif, quality=95), 20, 1)[..., 0]
    assert turned[:, 15:].min() > 200 and turned[:, :5].max() < 50


def bomb() -> bytes:
    """A PNG of 20,000 x 20,000 pixels that is a few hundred bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("contents, reason", [
    (b"this is text", "no image"),
    (b"", "no image"),
    (encoded(photo(1), "JPEG")[:300], "broken"),
    (encoded(photo(1), "PNG")[:200], "broken"),
    (encoded(Image.new("RGB", (1, 1)), "PNG"), "under 4 pixels"),
    (bomb(), "million pixels"),
])  # fmt: skip
def test_what_is_no_image_says_why(contents, reason):
    with pytest.raises(BadImage, match=reason):
        decode(contents, 16, 3)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_files_never_raise_anything_else(seed):
    random = np.random.default_rng(seed)
    data = bytearray(encoded(photo(seed), ["JPEG", "PNG", "WEBP", "GIF", "BMP"][seed % 5]))
    for place in random.integers(0, len(data), 8):
        data[place] = random.integers(256)
    with contextlib.suppress(BadImage):
        assert decode(bytes(data), 8, 3).shape == (8, 8, 3)


# --- preparing ---


def test_class_folders_are_split_by_their_pixels(photos, invoke, tmp_path):
    result = invoke("prepare-data", DIGITS, *arguments(photos, tmp_path / "p", "data.test_share=0.3"))
    assert result.exit_code == 0, result.stderr
    assert "24 images read, 24 kept (16x16, RGB), 2 classes" in result.stderr
    manifest = json.loads((tmp_path / "p" / "manifest.json").read_text("utf-8"))
    assert manifest["labels"] == ["blue", "red"]
    before = {name: split for split in images.SPLITS for name in images.Images(tmp_path / "p", split).names()}
    photo(999, (0, 200, 0)).save(photos / "red" / "new.png")
    assert invoke("prepare-data", DIGITS, *arguments(photos, tmp_path / "p", "data.test_share=0.3")).exit_code == 0
    after = {name: split for split in images.SPLITS for name in images.Images(tmp_path / "p", split).names()}
    assert {name: after[name] for name in before} == before and len(after) == 25
    train = images.Images(tmp_path / "p", "train")
    pixels = train.pixels(np.arange(len(train)))
    assert all(
        (p[..., 0] > p[..., 2]).mean() > 0.9 for p, c in zip(pixels, train.labels) if c == 1 and p[..., 1].mean() < 100
    )
    assert (tmp_path / "p" / "report" / "samples.png").is_file()


def test_folders_of_splits(photos, invoke, tmp_path):
    root = tmp_path / "split"
    for split in ("train", "test"):
        for name in ("red", "blue"):
            (root / split / name).mkdir(parents=True)
            for number in range(12):
                photo(number + len(split) * 50, size=(20, 20)).point(lambda v, n=name: v // len(n)).save(
                    root / split / name / f"{number}.png"
                )
    assert invoke("prepare-data", DIGITS, *arguments(root, tmp_path / "p", "data.valid_share=0.3")).exit_code == 0
    assert len(images.Images(tmp_path / "p", "test")) == 24
    assert len(images.Images(tmp_path / "p", "train")) + len(images.Images(tmp_path / "p", "valid")) == 24
    assert len(images.Images(tmp_path / "p", "valid")) > 0


def test_bad_files_are_dropped_counted_and_named(photos, invoke, tmp_path):
    (photos / "red" / "text.jpg").write_text("not an image")
    (photos / "red" / "bomb.png").write_bytes(bomb())
    (photos / "blue" / "cut.png").write_bytes(encoded(photo(5), "PNG")[:150])
    Image.new("RGB", (1, 1)).save(photos / "blue" / "dot.png")
    (photos / "blue" / "twin.png").write_bytes((photos / "blue" / "0.png").read_bytes())
    (photos / "red" / "stray.png").write_bytes((photos / "blue" / "1.png").read_bytes())
    result = invoke("prepare-data", DIGITS, *arguments(photos, tmp_path / "p"))
    assert result.exit_code == 0, result.stderr
    for shown in (
        "1 x no image", "text.jpg", "1 x more than 64 million pixels", "1 x broken image", "1 x under 4 pixels", "1 x duplicate",
        "1 x the same image in another class", "24 kept",
    ):  # fmt: skip
        assert shown in result.stderr, shown


def test_sources_that_cannot_be_used(photos, invoke, tmp_path):
    def refused(source, *words, more=()):
        fails(invoke("prepare-data", DIGITS, *arguments(source, tmp_path / "q", *more)), 4, *words)

    refused(tmp_path / "nothing", "is no folder", "digits, mnist")
    (tmp_path / "void").mkdir()
    refused(tmp_path / "void", "holds no images", ".jpg")
    (photos / "green").mkdir()
    refused(photos, "no image in green")
    (photos / "green").rmdir()
    refused("mnist", "idx files", "data.download=true", more=[f"data.root={tmp_path}"])
    refused("cifar10", "data.download=true", more=[f"data.root={tmp_path}"])
    table = tmp_path / "list.csv"
    table.write_text("path,label\n../../etc/passwd,red\n")
    refused(table, "list.csv:2", "outside")
    table.write_text("path,label\nphotos/red/1.png\n")
    refused(table, "list.csv:2", "path,label")
    table.write_text("path,label\nphotos/red/1.png,red\nphotos/red/99.png,red\n")
    invoke("prepare-data", DIGITS, *arguments(table, tmp_path / "t"))
    assert json.loads((tmp_path / "t" / "manifest.json").read_text())["dropped"] == {"no such file": 1}


def cifar(folder: Path, monkeypatch) -> Callable:
    """What writes a small CIFAR-10 as its authors pack it; torchvision, which checks the files' sums, is told theirs."""
    from bmtool.torchvision import torchvision

    kind = torchvision.datasets.CIFAR10
    draw = np.random.default_rng(1)
    numbers = draw.permutation(np.arange(60)) % 10
    pixels = draw.integers(0, 256, (60, 3 * 32 * 32), np.uint8)
    files = {"batches.meta": {"label_names": [f"kind{n}" for n in range(10)]}}
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        here = slice(10 * number, 10 * number + 10)
        files[name] = {"data": pixels[here], "labels": numbers[here].tolist()}
    packed = {name: pickle.dumps(value) for name, value in files.items()}
    sums = {name: hashlib.md5(value).hexdigest() for name, value in packed.items()}
    monkeypatch.setattr(kind, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums["batches.meta"]})

    def write(*_: object) -> None:
        (folder / kind.base_folder).mkdir(parents=True, exist_ok=True)
        for name, value in packed.items():
            (folder / kind.base_folder / name).write_bytes(value)

    monkeypatch.setattr(kind, "download", write)
    return write


@pytest.mark.parametrize("downloads", [False, True])
def test_cifar10_through_torchvision(downloads, invoke, tmp_path, monkeypatch):
    write = cifar(tmp_path / "root", monkeypatch)
    values = [
        f"data.root={tmp_path / 'root'}",
        "data.size=32",
        "data.channels=3",
        f"data.download={str(downloads).lower()}",
    ]
    if not downloads:
        fails(invoke("prepare-data", DIGITS, *arguments("cifar10", tmp_path / "p", *values)), 4, "data.download=true")
        write()
    assert invoke("prepare-data", DIGITS, *arguments("cifar10", tmp_path / "p", *values)).exit_code == 0
    assert len(images.Images(tmp_path / "p", "test")) == 10
    assert json.loads((tmp_path / "p" / "labels.json").read_text()) == [f"kind{n}" for n in range(10)]


def test_one_class_cannot_be_told_apart(photos, invoke, tmp_path):
    for path in (photos / "red").iterdir():
        path.unlink()
    (photos / "red").rmdir()
    values = arguments(photos, tmp_path / "p", "data.valid_share=0.3", f"run={tmp_path / 'run'}")
    for command in ("prepare-data", "pretrain"):
        fails(invoke(command, DIGITS, *values), 4, "one class only", "blue")


def test_classes_that_a_parent_does_not_know(photos, invoke, tmp_path):
    assert invoke("prepare-data", DIGITS, *arguments(photos, tmp_path / "p")).exit_code == 0
    (photos / "red").rename(photos / "crimson")
    values = arguments(photos, tmp_path / "q", f"data.labels={tmp_path / 'p'}")
    fails(invoke("prepare-data", DIGITS, *values), 4, "does not know 1", "crimson", "new head")


def test_per_class_takes_the_same_few_of_each(invoke, tmp_path):
    values = [f"data.prepared={tmp_path / 'p'}", "data.per_class=10"]
    assert invoke("prepare-data", DIGITS, *[p for v in values for p in ("--set", v)]).exit_code == 0
    assert np.bincount(images.Images(tmp_path / "p", "train").labels).tolist() == [10] * 10


def test_idx_files(tmp_path, invoke):
    random = np.random.default_rng(1)
    for prefix, count in (("train", 40), ("t10k", 10)):
        pixels, labels = random.integers(0, 255, (count, 12, 12), np.uint8), np.arange(count, dtype=np.uint8) % 2
        head = struct.pack(">HBB3I", 0, 8, 3, count, 12, 12)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes())
    values = arguments(tmp_path, tmp_path / "p", "data.channels=1", "data.size=12", "data.valid_share=0.3")
    result = invoke("prepare-data", DIGITS, *values)
    assert result.exit_code == 0, result.stderr
    assert len(images.Images(tmp_path / "p", "test")) == 10
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-50])
    fails(invoke("prepare-data", DIGITS, *arguments(tmp_path, tmp_path / "p2")), 4, "damaged or no idx file")
    with pytest.raises(DataError, match="no idx file"):
        read_idx(ROOT / "README.md")


def test_dry_run_writes_nothing(photos, invoke, tmp_path):
    result = invoke("prepare-data", DIGITS, *arguments(photos, tmp_path / "p"), "--dry-run")
    assert result.exit_code == 0 and "24 images read" in result.stdout
    assert not (tmp_path / "p").exists()


def test_a_zip_is_no_source(photos, invoke, tmp_path):
    """Archives are not unpacked, so a name such as ../../x in one can do no harm."""
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("../../evil.png", encoded(photo(1), "PNG"))
    fails(
        invoke("prepare-data", DIGITS, *arguments(tmp_path / "photos.zip", tmp_path / "p")), 4, "is no folder", "unpack"
    )
    assert not list(tmp_path.parent.glob("evil.png"))


def test_a_sheet_has_room_for_all():
    pixels = np.zeros((7, 8, 8, 1), np.uint8)
    assert pictures.sheet(pixels, 3, scale=1).size == (30, 30)
    assert pictures.sheet(pixels, 3, ["x"] * 7, scale=1).size == (30, 3 * 24)
