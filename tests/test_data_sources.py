"""Data sets as others write them: what each kit makes of the same rows, which splits they bring, and what is refused."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml
from conftest import ROOT, config_path
from pyarrow import parquet
from sets import NAMES, PARTS, as_parquet, of_datasets, png, shard, tar, texts
from test_cli import fails
from test_image_kit import data_of
from test_image_kit import prepared as prepared_images
from text_toy import Corpus, toy

from bmtool import registry
from bmtool.base.console import Console
from bmtool.config.load import load
from bmtool.config.table import TableData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.images import report as image_report
from bmtool.images.prepare import Images
from bmtool.images.sources import items
from bmtool.sources import columnar, parts
from bmtool.sources.rows import rows
from bmtool.tables import report as table_report
from bmtool.tables.prepare import changed, prepare
from bmtool.tables.table import Table

SPLITS = {"train": 40, "valid": 10, "test": 20}


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Path]:
    """The same texts and images as `datasets` saves them, as the hub has them, and as tars."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for kind in ("text", "image"):
        held = of_datasets(kind)
        held.save_to_disk(folder / f"{kind}-saved")
        held["train"].save_to_disk(folder / f"{kind}-alone")
        found |= {f"{kind}-saved": folder / f"{kind}-saved", f"{kind}-alone": folder / f"{kind}-alone"}
        found[f"{kind}-hub"] = as_parquet(held, folder / f"{kind}-hub")
    start = 0
    for name, count in PARTS.items():
        shard(folder / "tars" / f"{name}-000.tar", range(start, start + count), as_json=name == "test")
        start += count
    return found | {"image-tars": folder / "tars"}


def table(source, tmp_path, **more) -> tuple[dict, Path]:
    data = TableData(**{"source": str(source), "prepared": str(tmp_path / "table"), "target": "stars"} | more)
    config = SimpleNamespace(task="tabular-classification", data=data)
    return prepare(config, Console(speaks=False)), tmp_path / "table"


def counts(manifest: dict) -> dict[str, int]:
    return {split: held["examples"] for split, held in manifest["splits"].items()}


# --- the kits ---


@pytest.mark.parametrize("form", ["text-saved", "text-hub"])
def test_tables_with_their_splits_and_the_names_of_classes(form, sets, tmp_path):
    manifest, place = table(sets[form], tmp_path, columns={"ignore": ["review"]})
    assert counts(manifest) == SPLITS
    assert Table(place, "train").schema.labels == NAMES
    said = "\n".join(table_report.lines(manifest))
    assert "splits are those of the set: test 1 file, valid 1 file, train 1 file" in said


def test_a_set_without_splits_is_split_by_a_hash(sets, tmp_path):
    manifest, _ = table(sets["text-alone"], tmp_path, valid_share=0.2, test_share=0.2)
    assert sum(counts(manifest).values()) == PARTS["train"] and manifest["brought"] == {}
    assert 0 < counts(manifest)["test"] < 20


def test_what_a_set_does_not_bring_is_taken_from_its_training_rows(sets, tmp_path):
    folder = as_parquet(
        {name: part for name, part in of_datasets("text").items() if name != "validation"}, tmp_path / "hub"
    )
    manifest, _ = table(folder, tmp_path, valid_share=0.3, test_share=0.3)
    found = counts(manifest)
    assert (
        found["test"] == PARTS["test"] and 0 < found["valid"] < 40 and found["train"] + found["valid"] == PARTS["train"]
    )


@pytest.mark.parametrize("form", ["text-saved", "text-hub"])
def test_texts_with_their_splits(form, sets, tmp_path):
    corpus = Corpus(tmp_path)
    manifest = corpus.prepare({"path": str(sets[form])}, columns={"text": "review"})
    assert counts(manifest) == SPLITS
    assert set(corpus.sentences("test")) == set(texts(20, 50))
    assert corpus.heard.said == [] or all("splits" not in line for line in corpus.heard.said)
    recipes = {source["split"] for source in manifest["recipe"]["sources"]}
    assert recipes == {"train", "valid", "test"}


def test_texts_with_targets_by_name(sets, tmp_path):
    corpus = Corpus(tmp_path)
    columns = {"text": "review", "label": "stars"}
    manifest = corpus.prepare({"path": str(sets["text-hub"])}, task=toy(("text", "label"), ("label",)), columns=columns)
    assert counts(manifest) == SPLITS
    text, target = corpus.sentences("valid")[0].split("\t")
    assert text in texts(10, 40) and json.loads(target) in NAMES


@pytest.mark.parametrize("form", ["image-saved", "image-hub", "image-tars"])
def test_images_with_their_splits_and_the_names_of_classes(form, sets, tmp_path):
    manifest = prepared_images(data_of(sets[form], prepared=str(tmp_path / "p")))
    assert counts(manifest) == SPLITS and tuple(manifest["labels"]) == NAMES
    test = Images(tmp_path / "p", "test")
    assert Counter(test.labels.tolist()) == {0: 10, 1: 10}
    assert "splits are those of the set" in "\n".join(image_report.lines(manifest))


def test_images_are_the_same_however_they_are_packed(sets, tmp_path):
    found = [prepared_images(data_of(sets[form], prepared=str(tmp_path / form)))["data_hash"] for form in sets if form in (
        "image-saved", "image-hub", "image-tars")]  # fmt: skip
    assert len(found) == 3 and len(set(found)) == 1


def test_a_set_of_one_part_and_images_whose_files_a_table_names(sets, tmp_path):
    manifest = prepared_images(data_of(sets["image-alone"], prepared=str(tmp_path / "p")))
    assert sum(counts(manifest).values()) == PARTS["train"]
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    listed = [{"file_name": f"{number}.png", "label": NAMES[number % 2], "more": number} for number in range(12)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, listed)), "utf-8")
    (tmp_path / "list.json").write_text(json.dumps(listed), "utf-8")
    parquet.write_table(pa.Table.from_pylist(listed), tmp_path / "list.parquet")
    hashes = set()
    for name in ("metadata.jsonl", "list.json", "list.parquet"):
        manifest = prepared_images(data_of(tmp_path / name, prepared=str(tmp_path / name[:4])))
        assert manifest["kept"] == 12 and manifest["ignored"] == {"column 'more'": 1}
        hashes.add(manifest["data_hash"])
    assert len(hashes) == 1


def test_a_list_of_json_is_read_as_lines_of_it_are(tmp_path):
    held = [{"review": text, "stars": NAMES[number % 2], "length": number} for number, text in enumerate(texts(30))]
    (tmp_path / "a.json").write_text(json.dumps(held, indent=1), "utf-8")
    (tmp_path / "b.json").write_text("\n".join(map(json.dumps, held)), "utf-8")
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, held)), "utf-8")
    found = [[row.values for row in rows(tmp_path / name)] for name in ("a.json", "b.json", "c.jsonl")]
    assert found[0] == found[1] == found[2] == held
    manifests = [table(tmp_path / name, tmp_path / name[0])[0] for name in ("a.json", "c.jsonl")]
    assert len({manifest["data_hash"] for manifest in manifests}) == 1
    corpus = Corpus(tmp_path)
    corpus.prepare("a.json", columns={"text": "review"}, valid_share=0.0, test_share=0.0)
    assert set(corpus.sentences()) == set(texts(30))


# --- which files ---


def test_patterns_name_shards(tmp_path):
    for number in range(4):
        shard(tmp_path / f"shard-{number:03}.tar", range(10 * number, 10 * number + 10))
    listed = items(data_of(tmp_path / "shard-{000..002}.tar"), Tally())
    assert len(listed) == 30 and listed[0].name.endswith("shard-000.tar/0000.png")
    assert len(items(data_of(tmp_path / "shard-*.tar"), Tally())) == len(items(data_of(tmp_path), Tally())) == 40
    with pytest.raises(DataError, match=r"nothing at .*shard-004\.tar"):
        items(data_of(tmp_path / "shard-{000..004}.tar"), Tally())


@pytest.mark.parametrize("source, words", [
    ("{1..99999999}.tar", "counts from a number to a larger one, 100,000 at most"), ("{3..1}.tar", "to a larger one"),
    ("{1..999}{1..999}.tar", "names 998,001 files"),
])  # fmt: skip
def test_patterns_have_bounds(source, words):
    with pytest.raises(DataError, match=words):
        parts.paths(source)


@pytest.mark.parametrize("name, split", [
    ("train-00000-of-00002.parquet", "train"), ("imdb-test.arrow", "test"), ("dev.jsonl", "valid"), ("a/validation/0000.parquet", "valid"),
    ("unsupervised-00000-of-00001.parquet", None), ("latest.parquet", None), ("trainer.csv", None), ("val_01.parquet", "valid"),
])  # fmt: skip
def test_the_splits_that_names_say(name, split):
    assert parts.split_of(Path(name)) == split


def test_parts_of_no_split_are_passed_over_and_said(sets, tmp_path):
    folder = as_parquet(of_datasets("text"), tmp_path / "hub")
    rest = folder / "data" / "unsupervised-00000-of-00001.parquet"
    rest.write_bytes((folder / "data" / "train-00000-of-00001.parquet").read_bytes())
    manifest, _ = table(folder, tmp_path, columns={"ignore": ["review"]})
    assert counts(manifest) == SPLITS
    said = "\n".join(table_report.lines(manifest))
    assert f"1 x {parts.OTHER_SPLIT}" in said and "README.md" in said


def test_several_subsets_and_kinds_are_not_mixed(tmp_path):
    for name in ("de", "en"):
        (tmp_path / "a" / name).mkdir(parents=True)
        parquet.write_table(pa.table({"stars": [1]}), tmp_path / "a" / name / "train.parquet")
    with pytest.raises(DataError, match=r"several data sets \(de, en\)"):
        parts.parts(tmp_path / "a", lambda kind, path: None)
    (tmp_path / "b").mkdir()
    parquet.write_table(pa.table({"stars": [1]}), tmp_path / "b" / "x.parquet")
    (tmp_path / "b" / "y.csv").write_text("stars\n1\n")
    with pytest.raises(DataError, match=r"1 x \.parquet, 1 x \.csv"):
        parts.parts(tmp_path / "b", lambda kind, path: None)


def test_a_folder_of_texts_is_read_whole_as_ever(tmp_path):
    corpus = Corpus(tmp_path)
    (tmp_path / "texts").mkdir()
    for number, name in enumerate(("train.txt", "test.txt", "notes.jsonl")):
        line = texts(1, number)[0]
        (tmp_path / "texts" / name).write_text(line if name.endswith("txt") else json.dumps({"text": line}), "utf-8")
    corpus.prepare("texts", valid_share=0.0, test_share=0.0)
    assert sorted(corpus.sentences("train")) == sorted(texts(3))


def test_a_text_of_the_test_part_stays_there_when_it_is_for_training_too(tmp_path):
    corpus = Corpus(tmp_path)
    folder = tmp_path / "set"
    folder.mkdir()
    for name, listed in {"train": texts(30), "test": texts(10, 20) + texts(5, 50)}.items():
        parquet.write_table(pa.table({"text": listed}), folder / f"{name}.parquet")
    manifest = corpus.prepare("set", valid_share=0.0)
    assert set(corpus.sentences("test")) == {*texts(10, 20), *texts(5, 50)}
    assert set(corpus.sentences("train")) == set(texts(20)) and counts(manifest)["valid"] == 0


# --- columns ---


def test_fields_and_columns_that_are_not_there_are_named(sets, tmp_path):
    corpus = Corpus(tmp_path)
    with pytest.raises(
        ConfigError, match=r"data.columns: toy has no field 'txet'; did you mean 'text'\? \(fields are text\)"
    ):
        corpus.prepare({"path": str(sets["text-hub"])}, columns={"txet": "review"})
    with pytest.raises(
        DataError, match=r"no column text \(columns are review, length, stars\): data.columns: \{text: review\}\?"
    ):
        corpus.prepare({"path": str(sets["text-hub"])})
    with pytest.raises(DataError, match=r"no column 'picture' for the image \(columns are image, label\)"):
        items(data_of(sets["image-hub"], columns={"image": "picture"}), Tally())
    with pytest.raises(DataError, match=r"has no column 'star'; did you mean 'stars'\?"):
        table(sets["text-hub"], tmp_path, target="star", columns={"ignore": ["review"]})


def test_one_column_that_is_likely_is_said_and_not_taken(tmp_path):
    import datasets

    features = {"scan": datasets.Image(), "fine": datasets.ClassLabel(names=list(NAMES))}
    held = {
        "scan": [{"bytes": png(number), "path": None} for number in range(20)],
        "fine": [number % 2 for number in range(20)],
    }
    datasets.Dataset.from_dict(held, features=datasets.Features(features)).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"which column is the image \(columns are scan, fine\): data.columns: \{image: scan\}\?"
    ):
        items(data_of(tmp_path / "a.parquet"), Tally())
    with pytest.raises(DataError, match=r"which column is the label .*data.columns: \{label: fine\}\?"):
        items(data_of(tmp_path / "a.parquet", columns={"image": "scan"}), Tally())
    found = items(data_of(tmp_path / "a.parquet", columns={"image": "scan", "label": "fine"}), Tally())
    assert {item.label for item in found} == {*NAMES} and found[3].content.read() == png(3)


# --- what is amiss in a row is counted ---


def test_rows_without_what_is_needed_are_counted_by_reason(tmp_path):
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = [{"bytes": png(number), "path": None} for number in range(20)]
    images[3], images[4], images[5] = None, {"bytes": None, "path": "x.png"}, {"bytes": b"no picture", "path": None}
    labels = [NAMES[number % 2] for number in range(20)]
    labels[6] = None
    parquet.write_table(pa.table({"image": pa.array(images, struct), "label": labels}), tmp_path / "a.parquet")
    manifest = prepared_images(data_of(tmp_path / "a.parquet"))
    dropped = manifest["dropped"]
    assert (
        dropped.pop("no label") == 1
        and dropped.pop("no image") == 1
        and sum(dropped.values()) == 2
        and manifest["kept"] == 16
    )
    assert manifest["examples"]["no image"] == [f"{tmp_path}/a.parquet:4"]


def test_classes_that_are_not_known_or_have_no_name(tmp_path):
    info = {"info": {"features": {"stars": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
    held = pa.table({"x": [1, 2, 3, 4], "stars": [0, 1, -1, 7]}).replace_schema_metadata(
        {"huggingface": json.dumps(info)}
    )
    parquet.write_table(held, tmp_path / "a.parquet")
    found = [(row.values and row.values["stars"], row.problem) for row in rows(tmp_path / "a.parquet")]
    assert found == [("a", ""), ("b", ""), (None, ""), (None, columnar.NO_CLASS)]


def test_samples_of_tars_that_lack_something(tmp_path):
    members = {"a.png": png(1), "a.cls": b"x", "b.png": png(2), "c.cls": b"x", "d.png": png(3), "d.jpg": png(3), "d.cls": b"y",
               "e.png": png(4), "e.json": b"[1]", "f.png": png(5), "f.cls": b"y", "f.txt": b"said", ".h.png": png(9)}  # fmt: skip
    tally = Tally()
    found = items(data_of(tar(tmp_path / "a.tar", members)), tally)
    assert [(Path(item.name).name, item.label) for item in found] == [("a.png", "x"), ("f.png", "y")]
    assert dict(tally.dropped) == {"no label": 1, "a .json that is no object": 1}
    assert dict(tally.ignored) == {
        "sample without an image": 1, "sample with several images": 1, "member .txt": 1, "hidden member": 1,
    }  # fmt: skip


@pytest.mark.parametrize("members", [
    {f"{number:04}.png": png(number) for number in range(40)},
    {f"{number:04}.png": png(number) for number in range(40)} | {f"{number:04}.cls": b"x" for number in range(40)},
])  # fmt: skip
def test_images_without_labels_are_for_tasks_that_need_none(members, invoke, tmp_path):
    source = tar(tmp_path / "a.tar", members)
    values = [f"--set=data.{key}" for key in (f"source={source}", f"prepared={tmp_path / 'data'}", "per_class=null")]
    fails(invoke("prepare-data", config_path("image-classification-mlp"), *values), 4, "one class only (none)")
    result = invoke("prepare-data", config_path("autoencoder-mlp"), *values)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "data" / "report" / "samples.png").is_file()


# --- what is refused ---


def link(path: Path) -> Path:
    with tarfile.open(path, "w") as held:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        held.addfile(info)
    return path


def huge(path: Path) -> Path:
    tar(path, {"a.png": png(1)})
    data = bytearray(path.read_bytes())
    data[124:136] = b"77777777777\0"
    data[148:156] = b"        "
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    path.write_bytes(data)
    return path


def cut(path: Path, at: int) -> Path:
    path.write_bytes(path.read_bytes()[:at])
    return path


def headers(path: Path, kinds: list[bytes], content: bytes = b"13 path=a.png\n"[:13]) -> Path:
    """Extensions of a header, each of the next one."""
    with path.open("wb") as stream:
        for kind in kinds:
            info = tarfile.TarInfo("x")
            info.type, info.size = kind, len(content)
            stream.write(info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
        stream.write(bytes(1024))
    return path


@pytest.mark.parametrize("make, words", [
    (lambda p: tar(p, {"../../a.png": png(1)}), "leads out of it"), (lambda p: tar(p, {"/a.png": png(1)}), "leads out of it"),
    (link, "is a link, a device or has holes"), (huge, "bytes: 268,435,456 at most"),
    (lambda p: cut(tar(p, {"a.png": png(1), "b.png": png(2)}), 700), "cut short|unexpected end"),
    (lambda p: cut(tar(p, {"a.png": png(1), "b.png": png(2)}), 1024), "cut short at byte"),
    (lambda p: tar(p, {"a.png": png(1), "a.PNG": png(2)}), "is there twice"),
    (lambda p: p.write_bytes(b"no tar" * 200) and p, "is no .tar, or a damaged one"),
    (lambda p: p.write_bytes(2 * tar(p, {"a.png": png(1)}).read_bytes()) and p, "holds more behind its end"),
    (lambda p: headers(p, [tarfile.GNUTYPE_LONGLINK] * 3000), "is no .tar, or a damaged one"),
    (lambda p: headers(p, [tarfile.XHDTYPE] * 3000), "is no .tar, or a damaged one"),
    (lambda p: headers(p, [tarfile.XHDTYPE], b"99999999999999999999 path=a.png\n"), "is no .tar, or a damaged one"),
    (lambda p: headers(p, [tarfile.GNUTYPE_LONGNAME], b"a" * (2 << 20)), "a header of 2,097,152 bytes"),
])  # fmt: skip
def test_tars_that_are_refused(make, words, tmp_path):
    path = make(tmp_path / "a.tar")
    with pytest.raises(DataError, match=words) as told:
        items(data_of(path), Tally())
    assert str(path) in str(told.value) and "\n" not in str(told.value)


def footer(path: Path, size: int) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[:-8] + size.to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("change, words", [
    (lambda p: footer(p, 2**32 - 1), "a footer of 4,294,967,295 bytes"), (lambda p: cut(p, 300), "does not end as one"),
    (lambda p: p.write_bytes(b""), "does not end as one"), (lambda p: footer(p, 20), "no Parquet file, or a damaged one"),
])  # fmt: skip
def test_parquet_that_is_refused(change, words, tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": texts(100), "label": ["x"] * 100}), path)
    change(path)
    with pytest.raises(DataError, match=words) as told:
        list(rows(path))
    assert str(path) in str(told.value) and "\n" not in str(told.value)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "MAX_UNFOLDED", 1 << 20)
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": [1], "text": ["x" * (8 << 20)]}), path, compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match=r"a\.parquet:1: .* bytes unfold to"):
        list(rows(path))
    assert [row.values for row in rows(path, ["n"])] == [{"n": 1}]


def test_arrow_that_is_cut_or_lies_is_refused_with_its_row(tmp_path):
    path = tmp_path / "a.arrow"
    batches = [pa.record_batch({"text": texts(50, start)}) for start in (0, 50)]
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    whole = path.read_bytes()
    assert [row.values["text"] for row in rows(path)] == texts(100)
    path.write_bytes(whole[:-200])
    with pytest.raises(DataError, match=r"a\.arrow:51: no Arrow file, or a damaged one"):
        list(rows(path))
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(rows(path))
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("change, words", [
    ({"dataset_dict.json": '{"splits": ["../x"]}'}, "names '../x', which does not lie beside it"),
    ({"dataset_dict.json": '{"splits": ["more"]}'}, "was not saved whole: it has no state.json"),
    ({"dataset_dict.json": "[" * 100_000}, "is not what `datasets` writes"),
    ({"train/state.json": '{"_data_files": [{"filename": "/etc/passwd"}]}'}, "names '/etc/passwd'"),
    ({"train/state.json": '{"_data_files": [{"filename": "x.arrow"}]}'}, "was not saved whole: it lacks x.arrow"),
    ({"train/state.json": '{"_data_files": 7}'}, "is no list"),
])  # fmt: skip
def test_saved_sets_that_are_refused(change, words, tmp_path):
    of_datasets("text").save_to_disk(tmp_path / "set")
    for name, text in change.items():
        (tmp_path / "set" / name).write_text(text)
    with pytest.raises(DataError, match=words):
        parts.parts(tmp_path / "set", lambda kind, path: None)


@pytest.mark.parametrize("text, words", [
    ('[{"a": 1}, {"a": ', "a.json:2: not JSON, or the list breaks off here"), ('[{"a": 1}', "a.json:2: the list breaks off here"),
    ("[" * 200_000, "nested too deeply"), ("[{]", "a.json:1: not JSON"), ("[1, 2", "a.json:3: the list breaks off"),
])  # fmt: skip
def test_json_that_is_refused(text, words, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        list(rows(tmp_path / "a.json"))


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_a_list_of_json_is_all_that_its_file_holds_and_has_one_comma_between_two_rows(chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("bmtool.sources.rows._CHUNK", chunk)

    def read(text: str) -> list:
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        return [row.values for row in rows(tmp_path / "a.json")]

    assert read("[ ]\n") == [] and read('[{"a": 1} ,\n\t{"a": [2, 3]}]\r\n  ') == [{"a": 1}, {"a": [2, 3]}]
    for text in ('[{"a": 1}][{"a": 2}]', '[{"a": 1}]\n{"a": 2}', '[{"a": 1}] rest', "[] ]", '[{"a": 1}]\0'):
        with pytest.raises(DataError, match=r"a\.json:\d: '.+' follows the end of the list"):
            read(text)
    for text in ('[{"a": 1} {"a": 2}]', '[{"a": 1},, {"a": 2}]', '[, {"a": 1}]', '[{"a": 1},]', "[,]"):
        with pytest.raises(DataError, match=r"a\.json:\d: (no comma before it|not JSON)"):
            read(text)


# --- elsewhere ---


@pytest.mark.parametrize("source, words", [
    ("hf:stanfordnlp/imdb", "`bmtool init --data hf:stanfordnlp/imdb` downloads it"),
    ("https://example.org/datasets/stanfordnlp/imdb", "`bmtool init --data hf:stanfordnlp/imdb` downloads it"),
    ("https://example.org/a.csv", "curl -LO https://example.org/a.csv"), ("ylecun/mnist", "`bmtool init --data hf:ylecun/mnist`"),
])  # fmt: skip
@pytest.mark.parametrize("config, key", [
    ("tabular/or.yaml", "data.source={}"), ("image-classification/digits.yaml", "data.source={}"),
    ("pinyin2hanzi/tiny.yaml", "data.sources=[{}]"),
])  # fmt: skip
def test_a_name_of_the_hub_says_which_command_downloads(source, words, config, key, invoke, tmp_path):
    result = invoke(
        "prepare-data", f"configs/{config}", "--set", key.format(source), "--set", f"data.prepared={tmp_path / 'p'}"
    )
    assert result.exit_code in (2, 4) and words in result.stderr
    assert result.exit_code == 2 or source == "ylecun/mnist"


# --- the same files for evaluate and predict ---


@pytest.fixture(scope="module")
def image_run(trained):
    return trained("image-classification-mlp")


def test_predict_reads_images_out_of_tables_tars_and_sets(image_run, invoke, tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    shard(tmp_path / "x" / "a.tar", range(6))
    parquet.write_table(pa.table({"image": [png(number) for number in range(6)]}), tmp_path / "x" / "a.parquet")
    plain = invoke("predict", image_run, *(tmp_path / f"{number}.png" for number in range(6)))
    said = [line.partition("\t")[2] for line in plain.stdout.splitlines()]
    assert plain.exit_code == 0 and len(said) == 6
    for name in ("a.tar", "a.parquet"):
        result = invoke("predict", image_run, tmp_path / "x" / name)
        assert result.exit_code == 0 and [line.partition("\t")[2] for line in result.stdout.splitlines()] == said


def test_evaluate_takes_sets_of_images(image_run, invoke, sets, tmp_path):
    labels = json.loads((image_run / "assets" / "labels.json").read_text())[:2]
    members = {}
    for number in range(8):
        members |= {f"{number}.png": png(number), f"{number}.cls": labels[number % 2].encode()}
    shards = tar(tmp_path / "a.tar", members)
    held = {"image": [png(number) for number in range(8)], "label": [labels[number % 2] for number in range(8)]}
    parquet.write_table(pa.table(held), tmp_path / "a.parquet")
    figures = []
    for number, source in enumerate((shards, tmp_path / "a.parquet", tmp_path / "?.tar")):
        result = invoke("evaluate", image_run, "--data", source, "--output", tmp_path / str(number))
        assert result.exit_code == 0, result.stderr
        (report,) = (tmp_path / str(number)).glob("[a_]-*.json")
        figures.append(json.loads(report.read_text())["metrics"])
    assert figures[0] == figures[1] == figures[2]


def test_predict_and_evaluate_take_tables_by_columns(trained, invoke, tmp_path):
    run = trained("tabular-classification")
    prepared = Path(load(run / "config.yaml").data.prepared)
    held = [cells for _, cells in Table(prepared, "test").rows()]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, held)), "utf-8")
    parquet.write_table(pa.Table.from_pylist(held), tmp_path / "a.parquet")
    answers = [invoke("predict", run, tmp_path / name) for name in ("a.jsonl", "a.parquet")]
    assert [one.exit_code for one in answers] == [0, 0]
    lines = [[line.partition("\t")[2] for line in one.stdout.splitlines()] for one in answers]
    assert lines[0] == lines[1] and len(lines[0]) == len(held)
    assert invoke("evaluate", run, "--data", tmp_path / "a.parquet", "--output", tmp_path / "e").exit_code == 0


def test_the_test_split_of_a_set_is_what_is_measured(invoke, tmp_path):
    held = {name: [{"pinyin": "ni hao", "hanzi": "你好"}] * count for name, count in {"train": 9, "test": 3}.items()}
    for name, listed in held.items():
        parquet.write_table(pa.Table.from_pylist(listed), tmp_path / f"{name}-00000-of-00001.parquet")
    result = invoke("evaluate", "default", "--data", tmp_path, "--output", tmp_path / "e")
    assert result.exit_code == 0, result.stderr
    assert "3 examples" in result.stdout and "1 x file of another split than test" in result.stderr


def test_predict_reads_the_texts_of_a_table(invoke, tmp_path):
    parquet.write_table(pa.table({"id": [1, 2], "text": ["ni hao", None]}), tmp_path / "a.parquet")
    result = invoke("predict", "default", tmp_path / "a.parquet")
    assert result.exit_code == 4 and result.stdout.startswith("ni hao\t你好 ") and "1 x no text (" in result.stderr
    parquet.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "b.parquet")
    result = invoke("predict", "default", tmp_path / "b.parquet")
    assert (
        result.exit_code == 4
        and "which column is the text? " in result.stderr
        and "(columns are a, b)" in result.stderr
    )


# --- the page about it ---

PAGE = (ROOT / "docs" / "data-sources.md").read_text("utf-8")
KITS = {"text": "pinyin2hanzi", "images": "image_classification", "tables": "tabular"}
BLOCKS = re.findall(r"```yaml\n# (\w+): (.+?)\n(.+?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Path:
    """The files that the page names."""
    import datasets

    folder = tmp_path_factory.mktemp("page")
    reviews, photos = of_datasets("text"), of_datasets("image")
    reviews.save_to_disk(folder / "sets" / "reviews")
    photos.save_to_disk(folder / "sets" / "photos")
    as_parquet(reviews, folder / "hub" / "reviews")
    pictures = {name: part.rename_columns({"image": "picture", "label": "species"}) for name, part in photos.items()}
    as_parquet(datasets.DatasetDict(pictures), folder / "hub" / "pictures")
    held = [{"review": text, "length": number % 5, "stars": NAMES[number % 2]} for number, text in enumerate(texts(60))]
    (folder / "sets" / "reviews.json").write_text(json.dumps(held), "utf-8")
    for number, name in enumerate(("train-000", "train-001", "validation-000", "test-000")):
        shard(folder / "shards" / f"{name}.tar", range(20 * number, 20 * number + 20), as_json=number == 1)
    (folder / "photos").mkdir()
    listed = [{"file_name": f"{number}.png", "label": NAMES[number % 2]} for number in range(40)]
    for number in range(40):
        (folder / "photos" / f"{number}.png").write_bytes(png(number))
    (folder / "photos" / "metadata.jsonl").write_text("\n".join(map(json.dumps, listed)), "utf-8")
    return folder


@pytest.mark.parametrize("kit, what, block", BLOCKS, ids=[f"{kit}: {what[:40]}" for kit, what, _ in BLOCKS])
def test_what_the_page_shows_is_read(kit, what, block, shown, invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(shown)
    config = ROOT / "bmtool" / "tasks" / KITS[kit] / "tiny.yaml"
    keys = {"prepared": str(tmp_path / "p")} | yaml.safe_load(block)["data"]
    if kit == "tables":
        keys |= {"valid": None, "test": None, "valid_share": 0.1, "test_share": 0.1, "positive": None}
    settings = [f"--set=data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    result = invoke("prepare-data", config, *settings)
    assert result.exit_code == 0, result.stderr
    brings = ("sets/" in block and ".json" not in block) or "hub/" in block or "source: shards\n" in block
    assert ("splits are those of the set" in result.stderr) == brings


# --- fingerprints, memory ---


def test_a_changed_file_of_a_set_is_noticed(sets, tmp_path):
    folder = as_parquet(of_datasets("text"), tmp_path / "hub")
    data = TableData(
        source=str(folder), prepared=str(tmp_path / "table"), target="stars", columns={"ignore": ["review"]}
    )
    config = SimpleNamespace(task="tabular-classification", data=data)
    prepare(config, Console(speaks=False))
    assert changed(config) == []
    test = folder / "data" / "test-00000-of-00001.parquet"
    parquet.write_table(parquet.read_table(test).slice(1), test)
    assert changed(config) == ["data.source: its rows have changed"]


def test_images_in_a_shard_that_changed_are_noticed(tmp_path):
    load_changed = registry.TASKS["image-classification"].load("changed")
    shard(tmp_path / "a.tar", range(20))
    data = data_of(tmp_path / "a.tar")
    prepared_images(data)
    config = SimpleNamespace(data=data)
    assert load_changed(config) == []
    os.utime(tmp_path / "a.tar", (1, 1))
    assert "20 files changed" in load_changed(config)[0]


PEAK = """
import sys
from pathlib import Path
from bmtool.sources.rows import rows
from bmtool.sources.cells import Cell
from bmtool.sources.tars import samples
path, count = Path(sys.argv[1]), 0
if path.suffix == ".tar":
    for sample in samples(path, print):
        count += len(sample.members["bin"].read()) > 0
elif sys.argv[2] == "cells":
    for row in range(int(sys.argv[3])):
        count += len(Cell(path, row, "data").read()) > 0
else:
    for row in rows(path):
        count += row.values is not None
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, int(peak) // 1024)
"""


@pytest.mark.parametrize("form", ["rows", "cells", "tar", "json"])
def test_ten_times_the_data_take_the_same_memory(form, tmp_path):
    """MB at the peak of a process that reads 10 and 100 MB in one group of rows, one tar, one list; some of what is freed is kept."""
    peaks = []
    for count in (1000, 10_000):
        path = tmp_path / f"{count}{'.tar' if form == 'tar' else '.json' if form == 'json' else '.parquet'}"
        blobs = (os.urandom(5000).hex() for _ in range(count))
        if form == "tar":
            tar(path, {f"{number}.bin": blob.encode() for number, blob in enumerate(blobs)})
        elif form == "json":
            path.write_text("[" + ",".join(f'{{"data": "{blob}"}}' for blob in blobs) + "]")
        else:
            held = [blob.encode() if form == "cells" else blob for blob in blobs]
            parquet.write_table(
                pa.table({"data": held}), path, row_group_size=count, compression="none", use_dictionary=False
            )
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path, form, str(count)], capture_output=True, text=True, check=True
        )
        read, peak = map(int, done.stdout.split())
        assert read == count
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 50, peaks


def test_what_reads_rows_imports_neither_torch_nor_pyarrow_before_it_must():
    code = (
        "import sys, bmtool.sources.rows, bmtool.sources.parts, bmtool.sources.tars\n"
        "print({'torch', 'pyarrow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
