"""The image kit: preparations that replace each other whole, fingerprints, targets that move with their images, orders, features."""

import errno
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CONFIGS, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_cli import fails
from torch import nn

from bmtool.base.files import lock
from bmtool.base.needs import needs
from bmtool.commands.prepare_data import prepare_data
from bmtool.config.image import Augment, ImageData, on_features
from bmtool.config.load import load
from bmtool.data import replacing
from bmtool.data.batching import Order, hashed
from bmtool.data.prepared import described
from bmtool.errors import ConfigError, DataError, ResourceError
from bmtool.images import decoding, pictures, steps
from bmtool.images.augment import Augmenter, require_together
from bmtool.images.batches import batches, collate
from bmtool.images.features import FeatureBatches
from bmtool.images.fingerprint import changes, require_same
from bmtool.images.pictures import Frame
from bmtool.images.prepare import Images, prepare
from bmtool.images.report import lines
from bmtool.images.report import write as write_report
from bmtool.images.targets import VOID, Target, clip

DIGITS = str(CONFIGS / "image-classification" / "digits.yaml")
SILENT = SimpleNamespace(say=lambda line: None)


def noise(path: Path, seed: int, size: tuple[int, int] = (20, 16)) -> np.ndarray:
    """A picture of noise in a file; its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of eight images each."""
    for number in range(16):
        noise(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", number)
    return tmp_path / "photos"


def data_of(source: Path, **more) -> ImageData:
    plain = {"size": 16, "valid_share": 0.2, "test_share": 0.2, "prepared": str(source.parent / "prepared")}
    return ImageData(source=str(source), **(plain | more))


def prepared(data: ImageData) -> dict:
    return prepare(SimpleNamespace(data=data), SILENT)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- a preparation takes the place of another whole ---


def is_left_as_it_was(data: ImageData, error: type[BaseException], words: str) -> None:
    """Preparing `data` ends in `error`, and what was prepared before is there as before, with nothing beside it."""
    target = Path(data.prepared)
    before = contents(target)
    with pytest.raises(error, match=words):
        prepared(data)
    assert contents(target) == before
    assert [path.name for path in target.with_name(f".{target.name}.making").iterdir()] == [".lock"]
    assert len(Images(target, "train")) > 0


def test_a_refused_preparation_leaves_the_old_one(photos):
    prepared(data_of(photos))
    is_left_as_it_was(data_of(photos, valid_share=0, test_share=0.99), DataError, "left to train on")
    is_left_as_it_was(data_of(photos, labels=str(photos)), DataError, "no labels.json")
    for number in range(3):
        (photos / "c").mkdir(exist_ok=True)
        (photos / "c" / f"{number}.png").write_text("no image")
    is_left_as_it_was(data_of(photos), DataError, "no image of the class c is left to train on")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_preparation_that_breaks_off_leaves_the_old_one(error, photos, monkeypatch):
    prepared(data_of(photos))
    read, count = decoding._read, iter(range(100))

    def breaks(*arguments):
        if next(count) == 10:
            raise error("in the middle")
        return read(*arguments)

    monkeypatch.setattr(decoding, "_read", breaks)
    is_left_as_it_was(data_of(photos, size=12), error, "in the middle")


@pytest.mark.parametrize("step", ["_drop_duplicates", "_write_lists", "_statistics"])
def test_a_preparation_that_breaks_off_late_leaves_the_old_one(step, photos, monkeypatch):
    prepared(data_of(photos))

    def breaks(*arguments):
        raise KeyboardInterrupt("late")

    monkeypatch.setattr(steps, step, breaks)
    is_left_as_it_was(data_of(photos, size=12), KeyboardInterrupt, "late")


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Files of this process may not grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_old_preparation(photos, monkeypatch):
    """The pixels do not fit, which is known before one of them is decoded."""
    prepared(data_of(photos))
    monkeypatch.setattr(decoding, "_read", lambda *_: pytest.fail("an image was decoded"))
    with small_files(4096):
        words = r"no room for images\.npy \(0\.2 MB\).*File too large; make room, and run the same command again"
        is_left_as_it_was(data_of(photos, size=64), ResourceError, words)


def test_a_disk_that_promises_nothing_may_be_full_later(photos, monkeypatch):
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    prepared(data_of(photos))
    with small_files(4096):
        is_left_as_it_was(data_of(photos, size=64), ResourceError, "no room to make .*File too large.*make room")
    assert prepared(data_of(photos, size=64))["kept"] == 16


def test_arrays_that_do_not_fit_are_a_full_disk_too(photos, monkeypatch):
    """numpy says how much of an array it wrote, and not why."""
    prepared(data_of(photos))

    def full(*_: object) -> None:
        raise OSError("1000 requested and 12 written")

    monkeypatch.setattr(steps, "_write_lists", full)
    is_left_as_it_was(data_of(photos, size=12), ResourceError, "no room to make .*12 written.*make room")


def test_a_small_disk_is_one_line_and_a_restart_goes_on(photos, tmp_path):
    """A file system of 1 MB of this process's own. Nothing is mapped for writing, so that none dies by a signal."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    (tmp_path / "disk").mkdir()
    command = f"{sys.executable} -m bmtool prepare-data {DIGITS}"
    values = [
        f"data.source={photos}",
        f"data.prepared={tmp_path / 'disk' / 'p'}",
        "data.channels=3",
        "data.valid_share=0",
    ]
    sets = " ".join(f"--set {value}" for value in [*values, "data.test_share=0", "data.size=200"])
    script = (
        f"mount -t tmpfs -o size=1m tmpfs {tmp_path / 'disk'} && {command} {sets}; echo $?; "
        f"mount -o remount,size=9m {tmp_path / 'disk'} && {command} {sets}; echo $?"
    )
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=200
    )
    assert ran.stdout.split() == ["6", "0"], ran.stderr
    first = ran.stderr.splitlines()[0]
    assert re.search(r"^bmtool: no room for images\.npy \(1\.9 MB\) in .*: 0\.9 MB are missing; make room", first)
    assert "16 images read, 16 kept" in ran.stderr


def test_nothing_of_the_package_maps_a_file_for_writing_that_has_no_room():
    """A full disk kills a process that writes to such a map: one that is needed is made room for by `base.files.allocate`."""
    writing = re.compile(r"open_memmap|np\.memmap|mmap_mode=(?!\"r\")|ACCESS_WRITE|ACCESS_COPY")
    found = {path: path.read_text("utf-8") for path in (ROOT / "bmtool").rglob("*.py")}
    assert [str(path) for path, text in found.items() if writing.search(text) and "allocate(stream" not in text] == []


def test_a_process_killed_between_the_renames_loses_nothing(photos, monkeypatch):
    data = data_of(photos)
    prepared(data)
    target = Path(data.prepared)
    before, rename = contents(target), Path.rename

    class Killed(BaseException):
        pass

    def killed(self, to):
        if self.name == "new":
            raise Killed
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        patched.setattr(replacing, "_tidy", lambda beside, target: None)  # what is killed tidies nothing up
        with pytest.raises(Killed):
            prepared(data.model_copy(update={"size": 12}))
    assert not target.exists()
    assert prepared(data)["settings"]["size"] == 16 and contents(target) == before


def test_files_of_others_are_never_replaced(photos):
    data = data_of(photos, prepared=str(photos))
    before = contents(photos)
    with pytest.raises(DataError, match=r"holds what was not prepared here \(a, b\): choose another"):
        prepared(data)
    assert contents(photos) == before


def test_two_processes_do_not_prepare_the_same(photos):
    data = data_of(photos)
    with lock(Path(data.prepared).with_name(".prepared.making"), "mine"), pytest.raises(ResourceError, match="another"):
        prepared(data)


def test_readers_of_the_old_preparation_go_on(photos):
    data = data_of(photos)
    prepared(data)
    old = Images(data.prepared, "train")
    before = old.pixels(np.arange(len(old)))
    prepared(data_of(photos, size=12))
    assert np.array_equal(old.pixels(np.arange(len(old))), before)
    assert Images(data.prepared, "train").pixels(np.array([0])).shape == (1, 12, 12, 3)


def test_a_preparation_through_a_link_replaces_what_it_names(photos, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "prepared").symlink_to(tmp_path / "disk")
    prepared(data_of(photos))
    assert (tmp_path / "prepared").is_symlink() and (tmp_path / "disk" / "manifest.json").is_file()


# --- what has changed ---


def test_changes_are_named(photos):
    data = data_of(photos)
    manifest = prepared(data)
    assert changes(manifest, data) == []
    assert changes(manifest, data_of(photos, prepared=data.prepared, root="elsewhere", download=True)) == []
    assert changes(manifest, data_of(photos, size=32, fit="pad")) == ["data.size: 16 -> 32", "data.fit: square -> pad"]
    noise(photos / "a" / "new.png", 99), noise(photos / "a" / "0.png", 98, (21, 16))
    (photos / "b" / "1.png").unlink()
    assert changes(manifest, data) == ["data.source: 1 files added, 1 files removed, 1 files changed"]
    assert changes(prepared(data), data) == []
    (photos / "a").rename(photos / "z")
    assert changes(described(Path(data.prepared)), data) == ["data.source: its classes were a, b, and are b, z"]
    assert changes({"format": 0}, data) == [f"{data.prepared} was prepared by another version or task"]


def test_a_list_in_another_order_is_another_source(photos):
    table = photos.parent / "list.csv"
    rows = [f"{path.relative_to(photos.parent)},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    table.write_text("\n".join(rows))
    data = data_of(table)
    manifest = prepared(data)
    table.write_text("\n".join(rows[::-1]))
    assert changes(manifest, data) == ["data.source: its images come in another order"]


def test_other_settings_are_never_used_in_silence(photos):
    manifest = prepared(data_of(photos))
    require_same(manifest, data_of(photos, download=True))
    for more in ({"valid_share": 0.3}, {"test_share": 0.3}, {"per_class": 3}, {"fit": "pad"}, {"channels": 1}):
        ((key, value),) = more.items()
        with pytest.raises(ConfigError, match=f"data.{key}: .* -> {value}.*prepare-data"):
            require_same(manifest, data_of(photos, **more))


def test_what_an_earlier_version_prepared_is_read(photos):
    """It knew neither `fit` nor windows nor facts, and prepared as `fit: square` does."""
    data = data_of(photos)
    manifest = prepared(data)
    for name in ("facts.npy", "windows.npy"):
        (Path(data.prepared) / name).unlink()
    manifest["settings"].pop("fit"), manifest.pop("target")
    require_same(manifest, data)
    assert Images(data.prepared, "train").kind == "label"
    old = manifest | {"fingerprint": "old"}
    assert changes(old, data) == ["data.fit: prepared by a version without it, now square"]
    manifest["settings"]["fit"] = "square"
    assert changes(old, data) == [
        "data.source: prepared by an earlier version, which did not note its files one by one"
    ]


# --- the place of an image in its square ---


@given(st.integers(4, 500), st.integers(4, 500), st.sampled_from(["square", "pad"]), st.integers(4, 64))
def test_boxes_go_into_a_square_and_come_back(width, height, fit, size):
    window = Frame(size, fit).window((width, height))
    boxes = np.array([[0, 0, width, height], [width / 4, height / 3, width / 2, height]], np.float64)
    inside = window.inside(boxes)
    np.testing.assert_allclose(window.outside(inside), boxes, atol=1e-9)
    if fit == "pad":
        assert inside.min() >= -1e-9 and inside.max() <= size + 1e-9
        assert max(inside[0, 2] - inside[0, 0], inside[0, 3] - inside[0, 1]) == pytest.approx(size)
    else:
        assert inside[0, 0] <= 1e-9 and inside[0, 2] >= size - 1e-9 and inside[0].sum() == pytest.approx(2 * size)


def extent(bright: np.ndarray) -> list[int]:
    """The box around all true pixels of [H, W]."""
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("fit", ["square", "pad"])
@pytest.mark.parametrize("shape", [(60, 30), (30, 60), (48, 48)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_box_around_a_bright_square_still_is(fit, shape, turned, tmp_path):
    """Also of a JPEG whose EXIF says that it lies on its side: boxes are of the upright image."""
    pixels = np.zeros((shape[1], shape[0]), np.uint8)
    pixels[12:20, 11:21] = 255
    upright = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    lying = upright.transpose(Image.Transpose.ROTATE_90) if turned else upright
    lying.save(tmp_path / "x.jpg", quality=95, exif=exif)
    placed = pictures.place(tmp_path / "x.jpg", 1, Frame(24, fit))
    assert placed.shape == shape
    box = clip(placed.window.inside(np.array([[11, 12, 21, 20]])), np.zeros(1), 24).boxes[0]
    found = extent((placed.pixels[..., 0] > 140) & (placed.pixels[..., 0] != 128))
    assert np.abs(box - found).max() <= 1


def test_padding_is_grey_and_keeps_the_aspect(tmp_path):
    Image.new("RGB", (40, 10), (255, 0, 0)).save(tmp_path / "wide.png")
    placed = pictures.place(tmp_path / "wide.png", 3, Frame(16, "pad"))
    assert (placed.pixels[:6] == 128).all() and (placed.pixels[10:] == 128).all()
    assert (placed.pixels[6:10] == [255, 0, 0]).all()
    assert placed.window == (0.4, 0.4, 0, 6)


# --- sources of targets ---


@pytest.fixture
def boxed(tmp_path) -> Path:
    """Twelve images of 40 x 20 with a bright square each, in a list with boxes; the last has none."""
    rows = ["path,x1,y1,x2,y2,label"]
    for number in range(12):
        pixels = noise(tmp_path / "set" / f"{number}.png", number, (40, 20)) // 4
        left, top = 3 * number % 30, number % 10
        pixels[top : top + 8, left : left + 8] = 255
        Image.fromarray(pixels).save(tmp_path / "set" / f"{number}.png")
        rows += [f"set/{number}.png,{left},{top},{left + 8},{top + 8},{'ab'[number % 2]}"] if number < 11 else []
    rows += ["set/0.png,20.5,1,39.5,19,b", "set/11.png,,,,,"]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    return tmp_path / "boxes.csv"


def test_boxes_are_those_of_the_stored_image(boxed):
    manifest = prepared(data_of(boxed, fit="pad", size=20, test_share=0, valid_share=0))
    images = Images(data_of(boxed).prepared, "train")
    assert images.kind == "boxes" and manifest["labels"] == ["a", "b"] and manifest["dropped"] == {}
    assert manifest["splits"]["train"] == {"examples": 12, "classes": [6, 6]}
    targets = images.targets(np.arange(12))
    assert [len(target.boxes) for target in targets] == [2, *[1] * 10, 0]
    for number, (pixels, target) in enumerate(zip(images.pixels(np.arange(11)), targets)):
        assert target.box_labels[0] == number % 2 and target.boxes.dtype == np.float32
        assert np.abs(target.boxes[0] - extent((pixels > 135).all(axis=2))).max() <= 1
    np.testing.assert_allclose(targets[0].boxes[1], [10.25, 5.5, 19.75, 14.5])
    window = images.windows(np.array([3]))[0]
    np.testing.assert_allclose(window.outside(targets[3].boxes), [[9, 3, 17, 11]], atol=1e-5)
    assert "2 classes of boxes" in next(lines(manifest))
    write_report(Path(data_of(boxed).prepared), manifest)
    sheet = np.asarray(Image.open(Path(data_of(boxed).prepared) / "report" / "samples.png"))
    assert (sheet == [255, 0, 0]).all(axis=2).sum() > 100


def test_boxes_that_a_square_leaves_out_are_counted(boxed):
    manifest = prepared(data_of(boxed, size=20, test_share=0, valid_share=0))
    inside = [max(10, 3 * n % 30) < min(30, 3 * n % 30 + 8) for n in range(11)]
    lost = {reason: count for reason, count in manifest["dropped"].items() if "box outside" in reason}
    assert sum(lost.values()) == 11 - sum(inside) > 0
    images = Images(data_of(boxed).prepared, "train")
    boxes = np.concatenate([target.boxes for target in images.targets(np.arange(12))])
    assert boxes.min() >= 0 and boxes.max() <= 20


@pytest.mark.parametrize("row, words", [
    ("set/1.png,1,2,x,4,a", "are numbers, not 1,2,x,4"),
    ("set/1.png,5,2,5,4,a", "x1 < x2"),
    ("set/1.png,1,2,nan,4,a", "x1 < x2"),
    ("set/1.png,1,2,3,4,", "has no label"),
    ("set/1.png,1,2,3,4", "expected path,x1,y1,x2,y2,label, got 5 columns"),
    ("../x.png,1,2,3,4,a", "lies outside"),
])  # fmt: skip
def test_rows_that_are_no_boxes_name_their_line(row, words, boxed):
    boxed.write_text(boxed.read_text() + "\n" + row)
    with pytest.raises(DataError, match=rf"boxes\.csv:15: .*{words}"):
        prepared(data_of(boxed))


@pytest.fixture
def masked(tmp_path) -> Path:
    """Twelve images and their masks: classes 0 to 2 and void, one mask in a palette."""
    for number in range(12):
        noise(tmp_path / "set" / "images" / f"{number}.png", number, (30, 20))
        mask = Image.fromarray(np.random.default_rng(number).choice([0, 1, 2, VOID], (20, 30)).astype(np.uint8))
        if number == 3:
            mask = mask.copy()
            mask.putpalette([value for colour in range(256) for value in (255 - colour, 0, 7)])
        (tmp_path / "set" / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "set" / "masks" / f"{number}.png")
    return tmp_path / "set"


def test_masks_lie_beside_their_images(masked):
    manifest = prepared(data_of(masked, fit="pad", size=30, test_share=0, valid_share=0))
    images = Images(data_of(masked).prepared, "train")
    assert manifest["labels"] == ["0", "1", "2"] and manifest["splits"]["train"]["classes"] == [12, 12, 12]
    for name, target in zip(images.names(), images.targets(np.arange(12))):
        expected = np.random.default_rng(int(Path(name).stem)).choice([0, 1, 2, VOID], (20, 30))
        assert np.array_equal(target.mask[5:25], expected) and (target.mask[:5] == VOID).all()
    write_report(Path(data_of(masked).prepared), manifest)


def test_masks_that_do_not_fit_are_named(masked):
    Image.new("L", (30, 21)).save(masked / "masks" / "0.png")
    Image.new("RGB", (30, 20)).save(masked / "masks" / "1.png")
    (masked / "masks" / "2.png").write_text("text")
    manifest = prepared(data_of(masked, test_share=0, valid_share=0))
    assert manifest["dropped"] == {
        "a mask of another size than its image": 1, "a mask that holds no class numbers (one channel of 8 bits)": 1,
        "no image, or of a kind that is not known": 1,
    }  # fmt: skip
    (masked / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match="masks lacks 1 files, 3 among them"):
        prepared(data_of(masked))
    for path in (masked / "masks").iterdir():
        Image.new("L", (30, 20), 255).save(path)
    Image.new("L", (30, 20)).save(masked / "masks" / "3.png")
    with pytest.raises(DataError, match="no mask shows a class but 0"):
        prepared(data_of(masked))


def test_images_beside_their_targets(tmp_path):
    for number in range(8):
        large = noise(tmp_path / "set" / "targets" / f"{number}.png", number, (32, 32))
        (tmp_path / "set" / "images").mkdir(exist_ok=True)
        Image.fromarray(large).resize((16, 16)).save(tmp_path / "set" / "images" / f"{number}.jpg")
    noise(tmp_path / "set" / "targets" / "7.png", 7, (32, 20))
    manifest = prepared(data_of(tmp_path / "set", size=32, test_share=0, valid_share=0))
    assert manifest["dropped"] == {"a target of another aspect than its image": 1} and manifest["labels"] == []
    images = Images(tmp_path / "prepared", "train")
    for name, target in zip(images.names(), images.targets(np.arange(7))):
        assert np.array_equal(
            target.image, np.asarray(Image.open(tmp_path / "set" / "targets" / f"{Path(name).stem}.png"))
        )
    write_report(tmp_path / "prepared", manifest)
    assert "each with another" in next(lines(manifest))


def test_two_files_of_one_name_are_refused(masked):
    noise(masked / "images" / "0.jpg", 1)
    with pytest.raises(DataError, match="different endings"):
        prepared(data_of(masked))


def test_a_copy_with_another_target_is_named(masked):
    (masked / "images" / "5.png").write_bytes((masked / "images" / "4.png").read_bytes())
    manifest = prepared(data_of(masked))
    assert manifest["dropped"] == {"the same image with another target": 1}


def test_targets_are_part_of_the_data_hash(masked):
    before = prepared(data_of(masked))["data_hash"]
    Image.new("L", (30, 20), 2).save(masked / "masks" / "0.png")
    assert prepared(data_of(masked))["data_hash"] != before


def test_tasks_of_classes_refuse_other_targets(boxed):
    prepared(data_of(boxed))
    config = SimpleNamespace(data=data_of(boxed), augment=Augment(), train=SimpleNamespace(batch_size=4))
    with pytest.raises(ConfigError, match="holds boxes, and no class for each image"):
        batches(config, "train", None, classes=2)


def test_settings_without_effect_are_refused(boxed, photos):
    with pytest.raises(ConfigError, match=r"data\.per_class"):
        prepared(data_of(boxed, per_class=2))
    with pytest.raises(ConfigError, match=r"data\.fit: pad is for boxes"):
        prepared(data_of(photos, fit="pad"))


def test_a_source_has_targets_of_one_kind(masked):
    (masked / "images").rename(masked.parent / "images")
    (masked / "masks").rename(masked.parent / "masks")
    (masked / "train").mkdir()
    (masked.parent / "images").rename(masked / "train" / "images")
    (masked.parent / "masks").rename(masked / "train" / "masks")
    assert prepared(data_of(masked))["target"] == "mask"
    noise(masked / "test" / "a" / "x.png", 1)
    with pytest.raises(DataError, match="classes in one part and masks in another"):
        prepared(data_of(masked))


def test_another_box_is_another_preparation(boxed):
    data = data_of(boxed)
    manifest = prepared(data)
    boxed.write_text(boxed.read_text().replace("39.5", "38.5"))
    assert changes(manifest, data) == ["data.source: 1 files changed"]


# --- augmentation of an image and its target ---

GEOMETRY = st.builds(
    Augment, crop=st.integers(0, 6), flip=st.sampled_from([0.0, 0.5, 1.0]), resized_crop=st.sampled_from([0.3, 1.0])
)


def bright(seed: int, count: int = 6, size: int = 32) -> tuple[np.ndarray, list[Target]]:
    """Images with one bright square each, grey elsewhere, and its box, its mask and a copy of the image as their targets."""
    random = np.random.default_rng(seed)
    pixels = np.full((count, size, size, 3), 30, np.uint8)
    targets = []
    for image in pixels:
        (left, top), (width, height) = random.integers(8, 14, 2), random.integers(5, 10, 2)
        image[top : top + height, left : left + width] = 255
        box = np.array([[left, top, left + width, top + height]], np.float32)
        mask = (image[..., 0] > 128).astype(np.uint8)
        targets.append(Target(boxes=box, box_labels=np.array([7], np.int32), mask=mask, image=image.copy()))
    return pixels, targets


def test_what_is_drawn_for_an_image_leaves_the_gpus_generators_alone(monkeypatch):
    """Else noise that is drawn there would be another where loader workers do the augmenting."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    Augmenter(Augment(erase=1.0), 32, 0).together(*bright(0), (0, 3))
    assert seeded == []


@settings(max_examples=60, deadline=None)
@given(GEOMETRY, st.integers(0, 10_000))
def test_targets_move_with_their_images(augment, seed):
    """A box is where the bright pixels are, a mask is what they are, a paired image stays the image, all within the image."""
    images, targets = Augmenter(augment, 32, 0).together(*bright(seed), (seed, 3))
    exact = augment.resized_crop == 1
    for image, target in zip((images * 255).round().numpy().astype(np.uint8).transpose(0, 2, 3, 1), targets):
        assert np.array_equal(image, target.image)
        seen = image[..., 0] > 142
        assert ((target.mask == 1) == seen).mean() > (1 - 1e-9 if exact else 0.9)
        assert target.boxes.shape == (len(target.box_labels), 4)
        assert (target.boxes >= 0).all() and (target.boxes <= 32).all()
        if len(target.boxes) and seen.any() and exact and augment.crop == 0:
            assert target.boxes[0].tolist() == extent(seen)
        elif len(target.boxes) and not exact and augment.crop == 0:
            assert np.abs(target.boxes[0] - extent(seen)).max() <= 2


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_crop_moves_boxes_by_whole_pixels(flip):
    """Squares are 8 pixels or more from the edge: with a border of 5 no mirrored copy of them comes in."""
    pixels, targets = bright(1, 50)
    images, moved = Augmenter(Augment(crop=5, flip=flip), 32, 0).together(pixels, targets, (1, 2))
    assert {tuple(a.boxes[0] - b.boxes[0]) for a, b in zip(targets, moved)} != {(0, 0, 0, 0)}
    for image, target in zip(images.numpy(), moved):
        assert target.boxes[0].tolist() == extent(image[0] > 0.5) and target.box_labels.tolist() == [7]


def test_a_rotated_box_is_around_what_it_was_around():
    pixels, targets = bright(3, 20)
    images, moved = Augmenter(Augment(rotation=40), 32, 0).together(pixels, targets, (1, 2))
    uncovered = 0
    for image, target in zip(images.numpy(), moved):
        left, top, right, bottom = extent(image[0] > 0.5)
        x1, y1, x2, y2 = target.boxes[0]
        assert x1 <= left + 1 and y1 <= top + 1 and x2 >= right - 1 and y2 >= bottom - 1
        assert ((target.mask == 1) == (image[0] > 0.55)).mean() > 0.97
        uncovered += (target.mask == VOID).sum()
    assert uncovered > 0


def test_a_box_that_is_cropped_away_goes_with_its_label():
    pixels = np.zeros((40, 8, 8, 1), np.uint8)
    boxes, labels = np.array([[0, 0, 2, 8], [3, 3, 6, 6]], np.float32), np.array([1, 2], np.int32)
    _, moved = Augmenter(Augment(crop=4), 8, 0).together(pixels, [Target(boxes=boxes, box_labels=labels)] * 40, (5, 0))
    kept = {tuple(target.box_labels.tolist()) for target in moved}
    assert {(1, 2), (2,)} <= kept
    assert all(len(target.boxes) == len(target.box_labels) for target in moved)


@pytest.mark.parametrize("settings_", [
    Augment(crop=2, flip=0.5, rotation=10, colour=0.3, erase=0.5), Augment(crop=1), Augment(flip=1.0), Augment(resized_crop=0.4),
])  # fmt: skip
def test_images_are_changed_alike_with_and_without_targets(settings_):
    """One way of drawing: what a class-only batch sees is what a batch with boxes sees; and the same key gives the same."""
    pixels, targets = bright(1)
    augmenter = Augmenter(settings_, 32, 0)
    alone, labels = augmenter(pixels, torch.arange(6), (4, 9))
    together, _ = augmenter.together(pixels, targets, (4, 9))
    assert torch.equal(alone, together) and labels.tolist() == list(range(6))
    torch.manual_seed(5)
    assert torch.equal(augmenter(pixels, torch.arange(6), (4, 9))[0], alone)
    assert not torch.equal(augmenter(pixels, torch.arange(6), (4, 10))[0], alone) or settings_.flip == 1


def test_colours_change_in_an_image_and_its_pair_alike():
    pixels, targets = bright(1)
    images, moved = Augmenter(Augment(colour=0.8), 32, 0).together(pixels, targets, (1, 2))
    changed = (images * 255).round().numpy().astype(np.uint8).transpose(0, 2, 3, 1)
    assert np.array_equal(changed, np.stack([target.image for target in moved]))
    assert not np.array_equal(changed, pixels) and all(np.array_equal(a.mask, b.mask) for a, b in zip(moved, targets))


def test_images_without_boxes_pass():
    pixels, _ = bright(1, 3)
    nothing = Target(boxes=np.zeros((0, 4), np.float32), box_labels=np.zeros(0, np.int32))
    _, moved = Augmenter(Augment(crop=2, flip=0.5, rotation=10, resized_crop=0.5), 32, 0).together(
        pixels, [nothing] * 3, (1, 1)
    )
    assert all(target.boxes.shape == (0, 4) for target in moved)


@pytest.mark.parametrize("name", ["trivial", "mixup", "cutmix"])
def test_what_cannot_be_done_to_targets_is_refused(name):
    settings_ = Augment(**{name: True if name == "trivial" else 0.5})
    require_together(settings_, "label")
    with pytest.raises(ConfigError, match=rf"augment\.{name} .* boxes too"):
        require_together(settings_, "boxes")


def test_batches_carry_their_targets(masked):
    prepared(data_of(masked, test_share=0, valid_share=0))
    config = SimpleNamespace(
        data=data_of(masked, test_share=0, valid_share=0), augment=Augment(crop=2), train=SimpleNamespace(batch_size=5)
    )
    batch = batches(config, "train", 1)[7].to(torch.device("cpu"))
    assert batch.masks.shape == (5, 16, 16) and batch.masks.dtype == torch.int64 and batch.tokens == 5
    assert torch.equal(batches(config, "train", 1)[7].masks, batch.masks)
    plain = batches(config, "train", None)[0]
    held = Images(config.data.prepared, "train").targets(np.arange(5))
    assert np.array_equal(plain.masks.numpy(), np.stack([target.mask for target in held]))


def test_collated_boxes_are_of_each_image():
    some = [Target(boxes=target.boxes, box_labels=target.box_labels) for target in bright(2, 2)[1]]
    none = Target(boxes=np.zeros((0, 4), np.float32), box_labels=np.zeros(0, np.int32))
    batch = collate(torch.zeros(3, 3, 32, 32), [*some, none])
    assert [len(boxes) for boxes in batch.boxes] == [1, 1, 0] and batch.box_labels[0].tolist() == [7]
    assert batch.box_labels[2].dtype == torch.int64 and batch.masks is None
    assert batch.to(torch.device("meta")).boxes[0].device.type == "meta"


# --- orders ---


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_takes_every_example_once(size, batch, seed):
    """But those of its last incomplete batch; another epoch has another order; without a seed it is the stored one."""
    order = Order(np.zeros(size, np.int32), batch, seed)
    epochs = [np.concatenate([order[e * order.per_epoch + n] for n in range(order.per_epoch)]) for e in range(3)]
    for taken in epochs:
        assert len(taken) == len(set(taken.tolist())) == (size if batch >= size else size - size % batch)
        assert taken.min() >= 0 and taken.max() < size
    if size > 20:
        assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])
    stored = Order(np.zeros(size, np.int32), batch, None)
    assert np.concatenate([stored[n] for n in range(stored.per_epoch)]).tolist() == list(range(size))


@pytest.mark.parametrize("balance", ["none", "over", "under"])
def test_a_position_says_all(balance):
    labels = np.random.default_rng(1).choice([0, 3, 4], 500, p=[0.8, 0.15, 0.05])
    order = Order(labels, 8, 7, balance)
    backwards = {position: order[position] for position in (200, 3, 70, 0)}
    for position, examples in backwards.items():
        assert np.array_equal(Order(labels, 8, 7, balance)[position], examples)
    assert not np.array_equal(Order(labels, 8, 8, balance)[3], backwards[3])


def test_an_order_of_a_billion_images_takes_no_memory():
    class Many:
        def __len__(self):
            return 10**9

    batch = Order(Many(), 256, 1)[123_456_789_012]
    assert len(set(batch.tolist())) == 256 and batch.max() > 10**8


def test_balance_over_makes_classes_equally_frequent():
    labels = np.repeat([5, 6, 9], [900, 90, 10])
    order = Order(labels, 100, 1, "over")
    taken = np.concatenate([order[n] for n in range(30 * order.per_epoch)])
    counts = np.bincount(labels[taken])[[5, 6, 9]]
    # binomial: 30,000 draws, a deviation of 82
    assert np.abs(counts - 10_000).max() < 5 * 82
    each = np.bincount(taken, minlength=1000)
    assert each.min() > 0 and np.abs(each[990:] - 1000).max() < 6 * 32


def test_balance_under_takes_others_every_epoch():
    labels = np.repeat([0, 1, 2], [900, 90, 10])[np.random.default_rng(1).permutation(1000)]
    order = Order(labels, 10, 1, "under")
    assert order.per_epoch == 3
    epochs = [np.concatenate([order[3 * e + n] for n in range(3)]) for e in range(60)]
    assert all(np.bincount(labels[epoch]).tolist() == [10, 10, 10] and len(set(epoch)) == 30 for epoch in epochs)
    assert len({example for epoch in epochs for example in epoch if labels[example] == 1}) == 90


def test_numbers_by_position_are_even():
    drawn = hashed(np.arange(100_000), 3) % np.uint64(10)
    assert np.abs(np.bincount(drawn.astype(int)) - 10_000).max() < 5 * 95
    assert not np.array_equal(hashed(np.arange(9), 3), hashed(np.arange(9), 4))


# --- features ---


def test_features_are_chosen_by_the_settings_alone():
    plain = ["augment.crop=0", "augment.rotation=0", "finetune.train=head"]
    assert on_features(load(DIGITS, plain))
    assert not on_features(load(DIGITS, plain[:2]))
    assert not on_features(load(DIGITS, ["finetune.train=head"]))
    assert not on_features(load(DIGITS, [*plain, "finetune.last_blocks=1"]))
    assert not on_features(load(DIGITS, [*plain[:2], "finetune.train=[head]"]))


def test_features_are_what_the_backbone_makes(photos):
    prepared(data_of(photos))
    images = Images(data_of(photos).prepared, "train")
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5), nn.Dropout(0.5)).requires_grad_(False)
    features = FeatureBatches(backbone, images, batch_size=4, seed=1)
    batch = features[2]
    examples = Order(images.labels, 4, 1)[2]
    pixels = torch.from_numpy(images.pixels(examples).transpose(0, 3, 1, 2).copy()) / 255
    torch.testing.assert_close(batch.images, backbone.eval()(pixels))
    assert batch.labels.tolist() == images.labels[examples].tolist() and batch.tokens == 4
    learning = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    with pytest.raises(ConfigError, match="bmtool finetune"):
        FeatureBatches(learning, images, batch_size=4, seed=1)[0]


def test_a_head_alone_is_not_pretrained(invoke, tmp_path):
    """Its backbone would stay as it was drawn; the setting used to have no effect."""
    values = [f"data.prepared={tmp_path / 'p'}", f"run={tmp_path / 'run'}", "data.per_class=5", "train.stop_after=1"]
    values += ["augment.crop=0", "augment.rotation=0", "finetune.train=head", "train.batch_size=8"]
    fails(invoke("pretrain", DIGITS, *[part for value in values for part in ("--set", value)]), 2, "bmtool finetune")


# --- packages that are missing ---


def test_what_is_missing_is_named_with_the_command_that_installs_it():
    with pytest.raises(DataError) as told, needs("scikit-learn", "digits come with scikit-learn", error=DataError):
        raise ImportError("sklearn")
    assert str(told.value) == "digits come with scikit-learn, which is missing: pip install scikit-learn"
    with pytest.raises(ConfigError, match=r"which are missing: pip install a b$"), needs("a b", "this comes with two"):
        import a_package_that_nobody_has  # noqa: F401
    with pytest.raises(ValueError, match="other"), needs("a", "b"):
        raise ValueError("other")


def test_digits_prepare_to_what_they_always_were(tmp_path):
    """The hash that runs of earlier versions recorded."""
    manifest = prepare_data(DIGITS, [f"data.prepared={tmp_path / 'p'}"])
    assert manifest["data_hash"].startswith("ec7260fce0a5")
