"""Folders and lists of images: what is a split, what a class, what is neither and is counted, and what is refused."""

import os
import random
import unicodedata
import zlib
from pathlib import Path

import pytest
from stress.images import attempts
from test_image_kit import data_of, noise, prepared

from bmtool.config.image import ImageData
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images import examples, labels, lists
from bmtool.images.folders import SPLIT_OF
from bmtool.images.report import lines
from bmtool.images.report import write as write_report
from bmtool.images.sources import items

CLASSES = ("a", "b")


def fill(root: Path, *folders: str, count: int = 2) -> Path:
    """Noise in each folder, no picture twice."""
    for folder in folders:
        for number in range(count):
            noise(root / folder / f"{number}.png", zlib.crc32(f"{folder}/{number}".encode()), (8, 8))
    return root


def split_set(root: Path, *splits: str) -> Path:
    return fill(root, *(f"{split}/{name}" for split in splits for name in CLASSES))


def listed(source: Path) -> tuple[dict[str, set], Tally]:
    """The labels of each split of a source."""
    tally, found = Tally(), dict[str, set]()
    for item in items(ImageData(source=str(source), prepared=str(source)), tally):
        found.setdefault(item.split, set()).add(item.label)
    return found, tally


def refused(source: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as told:
        listed(source)
    assert "\n" not in str(told.value)


def test_nothing_that_lies_there_breaks_more_than_itself():
    """A sample of what `make stress` tries: damaged pictures, folders and lists of anything."""
    assert [tried for tried in attempts(150, seed=1) if tried.problem] == []


# --- splits ---


@pytest.mark.parametrize("case", [str.lower, str.title, str.upper])
@pytest.mark.parametrize("train", [name for name, split in SPLIT_OF.items() if split == "train"])
@pytest.mark.parametrize("valid", [name for name, split in SPLIT_OF.items() if split == "valid"])
@pytest.mark.parametrize("test", [name for name, split in SPLIT_OF.items() if split == "test"])
def test_usual_names_are_splits_in_any_case(case, train, valid, test, tmp_path):
    source = split_set(tmp_path / "set", case(train), case(valid), case(test))
    assert listed(source)[0] == {"train": {*CLASSES}, "valid": {*CLASSES}, "test": {*CLASSES}}


@pytest.mark.parametrize("given, expected", [
    (["train", "validation"], {None, "valid"}), (["Train", "Test"], {None, "test"}), (["training", "testing"], {None, "test"}),
    (["train", "dev"], {None, "valid"}), (["train"], {None}), (["test"], {"test"}),
])  # fmt: skip
def test_what_is_not_given_comes_out_of_the_training_images(given, expected, tmp_path):
    """None: by a hash of the pixels, into whatever the source does not give."""
    assert listed(split_set(tmp_path / "set", *given))[0] == {split: {*CLASSES} for split in expected}


def test_a_missing_test_split_is_taken_from_the_training_images_alone(tmp_path):
    source = fill(tmp_path / "set", "train/a", "train/b", "val/a", "val/b", count=10)
    splits = prepared(data_of(source))["splits"]
    assert splits["valid"]["examples"] == 20 and 0 < splits["test"]["examples"] < 20
    assert splits["train"]["examples"] + splits["test"]["examples"] == 20


def test_folders_of_tests_alone_leave_nothing_to_train_on(tmp_path):
    with pytest.raises(DataError, match=r"no image is left to train on \(all are in other splits"):
        prepared(data_of(split_set(tmp_path / "set", "test")))


def test_hidden_folders_and_folders_without_images_beside_splits_are_counted(tmp_path):
    source = split_set(tmp_path / "set", "train", "Validation")
    fill(source, ".git/objects", "__MACOSX/a", "train/.ipynb_checkpoints", "train/a/@eaDir")
    (source / "annotations").mkdir()
    (source / "annotations" / "boxes.xml").write_text("x")
    found, tally = listed(source)
    assert set(found) == {None, "valid"}
    assert dict(tally.noted) == {"in Validation, taken for the split valid": 4}
    assert dict(tally.ignored) == {"hidden folder": 4, ".xml": 1}


@pytest.mark.parametrize("folders, words", [
    (["train/a", "bus", "car"], "train would be splits, and bus, car beside them holds images: .*rename them or list"),
    (["train/a", "test/a", "extra/deep"], "extra beside them holds images"),
    (["train/a", "Train/a"], "Train and train both name the split train"),
    (["train/a", "val/a", "dev/a"], "dev and val both name the split valid"),
    (["train/a", "train/val"], "train/val would be a class, and its name is that of the split valid: rename it"),
    (["a/train", "a/test", "b/train"], r"/a would be a class, and holds test, train, .* above the classes \(test/a\)"),
    (["photos/train/a", "photos/val/a"], "photos would be a class, and holds train, val"),
    (["train", "test"], "holds no images: .*image beside the folders"),
    ([""], "holds no images: .*ignored 2: 2 x image beside the folders"),
])  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(folders, words, tmp_path):
    refused(fill(tmp_path / "set", *folders), words)


@pytest.mark.parametrize(
    "given, measured, ignored", [(["train", "testing"], 4, 4), (["train", "val"], 8, 0), (["test"], 4, 0)]
)
def test_of_a_source_with_a_test_split_that_alone_is_measured(given, measured, ignored, tmp_path):
    tally = Tally()
    assert len(list(examples.file(split_set(tmp_path / "set", *given), None, tally, []))) == measured
    assert tally.ignored.total() == ignored


# --- files that are no candidates ---


def test_every_file_is_an_image_or_counted(tmp_path):
    source = fill(tmp_path / "set", *CLASSES, count=3)
    for name in ("a/x.heic", "a/README", "b/notes.txt", "b/more.TXT", "Thumbs.db", "a/.DS_Store", "list.csv"):
        (source / name).write_text("x")
    noise(source / "loose.png", 1)
    (source / "a" / "gone.png").symlink_to("nowhere.png")
    (source / "a" / "link").symlink_to(source / "b")
    os.mkfifo(source / "b" / "pipe.png")
    Path(os.fsdecode(os.fsencode(source / "b") + b"/\xff.png")).write_text("x")
    (source / "a" / "1.png").rename(source / "a" / "1.JFIF")
    manifest = prepared(data_of(source, valid_share=0.0, test_share=0.0))
    assert manifest["kept"] == 6
    assert manifest["ignored"] == {
        ".heic (convert it to .png or .jpg first)": 1, "no suffix": 1, ".txt": 2, "hidden file": 2, ".csv": 1, "broken link": 1,
        "image beside the folders": 1, "link to a folder": 1, "neither file nor folder": 1, "name that is not UTF-8": 1,
    }  # fmt: skip
    told = next(line for line in lines(manifest) if line.startswith("ignored"))
    assert told.startswith("ignored 12: 2 x .txt (") and "1 x .heic (convert it to .png or .jpg first)" in told
    page = write_report(Path(data_of(source).prepared), manifest).read_text("utf-8")
    assert "## Ignored: broken link (1)" in page and r"\xff.png" in page


def test_what_is_ignored_is_told_of_the_source_as_it_is_now(tmp_path):
    """A file that is no image changes nothing that was prepared, and is told all the same."""
    data = data_of(fill(tmp_path / "set", *CLASSES), valid_share=0.0, test_share=0.0)
    first = prepared(data)
    (Path(data.source) / "a" / "new.heic").write_text("x")
    again = prepared(data)
    assert first["ignored"] == {} and list(again["ignored"]) == [".heic (convert it to .png or .jpg first)"]
    assert "new.heic" in "\n".join(lines(again)) and again["fingerprint"] == first["fingerprint"]


# --- classes ---


def test_names_of_numbers_stay_apart_and_have_one_order(tmp_path):
    names = ["①", "1", "01", "10", "2", "١", "a", "9" * 5000]
    assert {tuple(sorted(random.Random(seed).sample(names, len(names)), key=labels.order)) for seed in range(50)} == {
        ("01", "1", "١", "2", "10", "9" * 5000, "a", "①")
    }
    source = fill(tmp_path / "set", "①", "1", "01")
    assert prepared(data_of(source, valid_share=0.0, test_share=0.0))["labels"] == ["01", "1", "①"]


def test_names_that_look_alike_are_refused_or_told(tmp_path):
    source = fill(tmp_path / "set", *(unicodedata.normalize(form, "café") for form in ("NFC", "NFD")))
    with pytest.raises(DataError, match=r"same text in other code points \('cafe\\u0301' and 'caf\\xe9'\)"):
        prepared(data_of(source))
    manifest = prepared(data_of(fill(tmp_path / "other", "Cat", "cat", "dog"), valid_share=0.0, test_share=0.0))
    assert manifest["labels"] == ["Cat", "cat", "dog"]
    assert [line for line in lines(manifest) if "'Cat' and 'cat'" in line and line.startswith("warning")]


def test_classes_of_a_run_that_have_no_image_are_told(tmp_path):
    first = data_of(fill(tmp_path / "first" / "set", "a", "b", "c"), valid_share=0.0, test_share=0.0)
    prepared(first)
    second = data_of(fill(tmp_path / "set", "a", "b"), valid_share=0.0, test_share=0.0, labels=first.prepared)
    assert f"warning: no image to train on of 1 of the classes of {first.prepared}: c" in list(lines(prepared(second)))


# --- lists ---

ROWS = [("x/0.png", "a"), ("x/1.png", "b")]


@pytest.fixture
def table(tmp_path) -> Path:
    fill(tmp_path, "x")
    return tmp_path / "list.csv"


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("path", ["path", "filename", "file", "image", "Image_Path"])
@pytest.mark.parametrize("label", ["label", "Class", "category"])
@pytest.mark.parametrize("start, quote", [("", ""), ("\ufeff", '"')])
def test_columns_are_found_by_their_names(mark, path, label, start, quote, table):
    cells = [("id", label, path), *((str(n), name, file) for n, (file, name) in enumerate(ROWS))]
    table.write_text(start + "\r\n".join(mark.join(f"{quote}{cell}{quote}" for cell in row) for row in cells), "utf-8")
    tally = Tally()
    assert [(item.name, item.label) for item in lists.items(table, tally)] == ROWS
    assert dict(tally.ignored) == {"column 'id'": 1}


def test_a_list_without_a_heading_has_its_columns_in_order(table):
    table.write_text("\n".join(map(",".join, ROWS)))
    assert [(item.name, item.label) for item in lists.items(table, Tally())] == ROWS


def test_a_list_with_tabs_may_be_called_tsv(table):
    table.with_suffix(".tsv").write_text(
        "\n".join(map("\t".join, [("class", "file"), ("a", "x/0.png"), ("b", "x/1.png")]))
    )
    assert listed(table.with_suffix(".tsv"))[0] == {None: {"a", "b"}}


def test_boxes_by_their_names(table):
    table.write_text("filename;width;class;xmin;ymin;xmax;ymax\nx/0.png;8;a;1;2;3;4\nx/1.png;8;;;;;\n")
    first, second = lists.items(table, Tally())
    assert [*first.boxes] == [(1, 2, 3, 4, "a")] and second.boxes == ()


@pytest.mark.parametrize("text, words", [
    ("path,class,label\nx/0.png,a,b", r"list\.csv:1: 2 columns that could be the label"),
    ("path,image,label\nx/0.png,x,b", r"list\.csv:1: 2 columns that could be the path"),
    ("path,size\nx/0.png,3", r"list\.csv:1: no column that could be the label: call one label, class, .*columns are path, size"),
    ("path,label,xmin,ymin,xmax\nx/0.png,a,1,2,3", r"list\.csv:1: no column that could be the y2"),
    ("picture,kind\nx/0.png,a", r"list\.csv:1: 'picture' names no file: call columns path,label .*data.columns: {image: ..., label: ...}"),
    ("path,label\nx/0.png,a\nx/1.png", r"list\.csv:3: expected path,label, got 1 columns"),
    ('path,label\n"x/0.png,a\n', r"cannot read .*list\.csv"),
    ("path,label\n\0,a\n", r"list\.csv:2: .* is no path"),
])  # fmt: skip
def test_lists_that_cannot_be_read_name_their_line(text, words, table):
    table.write_text(text)
    refused(table, words)


def test_a_list_in_another_encoding_is_named(table):
    table.write_bytes("path,label\nx/0.png,caf\xe9".encode("latin-1"))
    refused(table, r"list\.csv is not UTF-8")


def test_a_row_without_a_label_is_no_class(table):
    noise(table.parent / "x" / "2.png", 5)
    table.write_text("path,label\nx/0.png,a\nx/1.png, \nx/2.png,b\n")
    manifest = prepared(data_of(table, valid_share=0.0, test_share=0.0))
    assert manifest["labels"] == ["a", "b"] and (manifest["read"], manifest["kept"]) == (3, 2)
    assert manifest["dropped"] == {lists.UNLABELLED: 1}
    assert f"dropped 1 x no label  e.g. {table}:3: x/1.png" in list(lines(manifest))
