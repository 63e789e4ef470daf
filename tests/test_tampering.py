"""Files that bmtool wrote and that are not what they were: noticed when they are opened, said in one line, exit 4."""

import ast
import json
import random
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cases import one_a_kit
from conftest import ROOT, config_path, sets
from hypothesis import given
from hypothesis import strategies as st
from stress import tampering
from test_old_runs import OLD
from typing_extensions import TypedDict

from bmtool.base import files
from bmtool.base.files import SUMS, noted, parse_json, read_json, write_json, write_sums
from bmtool.commands import checking
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import PRETRAINED
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.data import jobs, prepared
from bmtool.data.jobs import Job
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError, DataError
from bmtool.images.prepare import content_hash as hash_of_images
from bmtool.predict.exported import open_model
from bmtool.registry import find
from bmtool.text.prepare import content_hash as hash_of_text

SMALL = "image-classification-mlp"
SAMPLE = 12  # changes of each subject; `make stress` tries them all
# What is no file of bmtool's own: the reason why these call json.loads.
FROM_OUTSIDE = {
    "sources/rows.py": "rows of a user's file", "sources/columnar.py": "what others note of columns",
    "sources/parts.py": "what others note of files",
    "images/webdataset.py": "a member of a user's tar",
    "text/records.py": "records of a user's file", "predict/inputs.py": "a row to predict",
    "serve/streams.py": "an answer that this process has made", "serve/jsontext.py": "a body of a request",
    "text/recipe.py": "a value made plain by writing and reading it",
}  # fmt: skip


class Kind(TypedDict):
    number: int
    names: list[str]


VALUE = {"number": 3, "names": ["a", "\u5b57"], "more": {"x": [0.1, 1e-300, float("inf")]}}


def flipped(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def flip(path: Path, place: int) -> None:
    path.write_bytes(flipped(path.read_bytes(), place))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "case", ["tabular-classification-lightgbm", *(pytest.param(c, marks=pytest.mark.slow) for c in tampering.CASES[:2])]
)
def test_no_changed_file_gives_another_answer_in_silence(case):
    tried = list(tampering.attempts(SAMPLE, 1, (case,)))
    assert len(tried) == 2 * SAMPLE
    assert not [attempt for attempt in tried if attempt.problem]


# --- one reader ---


def test_own_json_is_read_by_one_reader():
    found = {}
    for path in (ROOT / "bmtool").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("load", "loads")
                and getattr(node.value, "id", "") == "json"
            ):
                found[str(path.relative_to(ROOT / "bmtool"))] = node.lineno
    assert found.keys() == FROM_OUTSIDE.keys()


@given(
    st.binary(max_size=200)
    | st.recursive(st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_whatever_stands_in_a_file_is_a_value_of_its_kind_or_a_line(content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    try:
        value = parse_json(data, Kind, origin="a.json", again="make it again")
    except DataError as error:
        assert str(error).startswith("a.json is damaged (") and str(error).endswith("): make it again")
        assert "\n" not in str(error)
    else:
        assert isinstance(value["number"], int) and all(isinstance(name, str) for name in value["names"])


@pytest.mark.parametrize(
    "text", [*tampering.TEXTS.values(), b'{"number": true, "names": []}', b'{"number": 1, "names": "a"}']
)
def test_other_shapes_are_refused(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DataError, match=r"a\.json is damaged \([^\n]*\): make it again$"):
        read_json(tmp_path / "a.json", Kind, "make it again")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", VALUE)
    monkeypatch.setattr(files, "LARGEST", 10)
    with pytest.raises(DataError, match="larger than"):
        read_json(tmp_path / "a.json", Kind, "")


def test_any_flipped_bit_of_a_sealed_file_is_noticed_or_of_no_effect(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, VALUE)
    data = path.read_bytes()
    assert read_json(path, Kind, "") == VALUE
    silent = []
    for place in range(len(data)):
        for bit in range(8):
            path.write_bytes(flipped(data, place, bit))
            with suppress(DataError):
                silent += [] if VALUE.items() <= read_json(path, Kind, "").items() else [place]
    assert silent == []


def test_a_file_with_sums_beside_it_is_what_they_say(tmp_path):
    write_json(tmp_path / "labels.json", ["a", "b"])
    write_sums(tmp_path, ["labels.json"])
    assert read_json(tmp_path / "labels.json", list[str], "") == ["a", "b"]
    write_json(tmp_path / "labels.json", ["b", "a"])
    with pytest.raises(DataError, match=r"labels\.json is damaged"):
        read_json(tmp_path / "labels.json", list[str], "")


# --- runs ---


@one_a_kit
def test_everything_of_a_run_that_is_an_object_is_sealed(case, trained):
    run = trained(case)
    for path in [run / "run.json", *run.glob("checkpoints/*/manifest.json"), run / "assets" / SUMS]:
        assert path.read_bytes().startswith(b'{\n "seal": "'), path
    assert noted(run / "assets").keys() == {path.name for path in (run / "assets").iterdir()} - {SUMS}


def test_a_pointer_that_leads_elsewhere_is_passed_over_with_a_warning(moved, tmp_path):
    run, said = shutil.copytree(moved(SMALL), tmp_path / "run"), []
    best = RunDir(run).checkpoints(pytest.fail).best()
    for text in (b"../../x", b"\xff\xfe", b"", b"step-00000001/../..", b"step-99999999"):
        said.clear()
        (run / "checkpoints" / "best").write_bytes(text)
        assert RunDir(run).checkpoints(said.append).best() in (best, RunDir(run).checkpoints(said.append).names()[-1])
        assert any(words in said[0] for words in ("names no checkpoint", "cannot be used"))


def test_a_line_of_metrics_that_is_something_else(tmp_path):
    run, said = RunDir(tmp_path), []
    run.metrics.write_text('{"step": 1, "train/loss": 0.5}\n3\n{"step": 2}\n{"step": "2"}\n{"step": 3, "tr')
    assert [event["step"] for event in run.events(said.append)] == [1, 2]
    assert [line.partition(" is damaged")[0] for line in said] == [f"{run.metrics}:2", f"{run.metrics}:4"]
    with pytest.raises(DataError, match=r"metrics\.jsonl:2 is damaged"):
        run.events()


def test_a_run_of_a_newer_format_is_not_trained_on(moved, tmp_path):
    run = shutil.copytree(moved(SMALL), tmp_path / "run")
    info = json.loads((run / "run.json").read_text("utf-8"))
    del info["seal"]
    write_json(run / "run.json", info | {"format": 99})
    with pytest.raises(DataError, match="has run format 99"):
        pretrain(run / "config.yaml", [f"run={run}"])


# --- prepared data ---


@one_a_kit
def test_a_flipped_byte_of_prepared_data_is_noticed_before_they_are_used(case, prepared_copy, tmp_path, invoke):
    place, content = prepared_copy(case), case.entry.load("content")
    prepared.check(place, content)
    rng = random.Random(0)
    for name, _ in sorted(noted(place).items()):
        size = (place / name).stat().st_size
        if size == 0:
            continue
        at = rng.randrange(size)
        flip(place / name, at)
        with pytest.raises(DataError, match="bmtool prepare-data CONFIG"):
            prepared.check(place, content)
        flip(place / name, at)
    prepared.check(place, content)


@pytest.fixture
def prepared_copy(prepared, tmp_path):
    return lambda case: shutil.copytree(prepared(case), tmp_path / "data")


@one_a_kit
def test_the_commands_check_unless_told_not_to(case, prepared_copy, settings, tmp_path, invoke):
    place = prepared_copy(case)
    array = max(place.glob("*.npy"), key=lambda path: path.stat().st_size)
    flip(array, array.stat().st_size - 4)
    given = sets([*settings(case, tmp_path / "run"), f"data.prepared={place}"])
    result = invoke("pretrain", case.path, *given)
    assert result.exit_code == 4 and f"{array} is damaged" in result.stderr and len(result.stderr.splitlines()) == 1
    assert invoke("pretrain", case.path, *given, "--no-verify").exit_code == 0
    result = invoke("evaluate", tmp_path / "run", "--output", tmp_path)
    assert result.exit_code == 4 and f"{array} is damaged" in result.stderr
    assert invoke("evaluate", tmp_path / "run", "--output", tmp_path, "--no-verify").exit_code == 0
    result = invoke("prepare-data", case.path, *given)
    assert result.exit_code == 0 and "this is done now" in result.stderr
    prepared.check(place, case.entry.load("content"))


def test_the_cost_is_said_where_it_is_noticed(trained, monkeypatch, tmp_path, capsys):
    evaluate([trained(SMALL)], output=str(tmp_path))
    assert "checked" not in capsys.readouterr().err
    monkeypatch.setattr(checking, "NOTICED", 0.0)
    evaluate([trained(SMALL)], output=str(tmp_path))
    said = r"checked [\d.]+ .?B of prepared data in [\d.]+ s \(--no-verify leaves it out\)"
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("name, content", [("classes", hash_of_images), ("tagger", hash_of_text)])
def test_data_of_earlier_versions_are_checked_by_their_data_hash(name, content, tmp_path):
    place = shutil.copytree(OLD / f"{name}-data", tmp_path / "data")
    assert not noted(place)
    prepared.check(place, content)
    array = max(
        place.glob("*train*.npy") if name == "tagger" else place.glob("images.npy"), key=lambda p: p.stat().st_size
    )
    flip(array, array.stat().st_size - 1)
    with pytest.raises(DataError, match="not those of the data hash"):
        prepared.check(place, content)


@pytest.mark.parametrize("mapped", [True, False])
def test_any_changed_byte_of_the_header_of_an_array_is_a_line_or_of_no_effect(mapped, tmp_path):
    """Where nothing was checked before: data of earlier versions, and `--no-verify`."""
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(3, 4))
    data = (tmp_path / "a.npy").read_bytes()
    for place in range(data.index(b"}") + 1):
        for byte in b"\n ({'":
            (tmp_path / "a.npy").write_bytes(data[:place] + bytes([byte]) + data[place + 1 :])
            with suppress(DataError), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numpy's, of headers of Python 2
                prepared.array(tmp_path / "a.npy", mapped=mapped)


def test_a_manifest_that_was_sealed_again_is_noticed(prepared_copy, trained, settings, tmp_path, capsys):
    """Labels that were exchanged, with sums and seals to match, are not those of the data hash; with another data hash, not the run's."""
    place = prepared_copy(SMALL)
    np.save(place / "labels.npy", np.roll(np.load(place / "labels.npy"), 1))
    write_sums(place, ["labels.npy"])
    content = find("image-classification").load("content")
    with pytest.raises(DataError, match="not those of the data hash"):
        prepared.check(place, content)
    manifest = json.loads((place / "manifest.json").read_text("utf-8"))
    del manifest["seal"]
    write_json(place / "manifest.json", manifest | {"data_hash": content(place)})
    prepared.check(place, content)
    run = shutil.copytree(trained(SMALL), tmp_path / "run")
    info = json.loads((run / "run.json").read_text("utf-8"))
    del info["seal"], info["config"]
    write_json(run / "run.json", info)
    text = (run / "config.yaml").read_text("utf-8").replace(info["prepared"], str(place))
    (run / "config.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="data_hash: "):
        pretrain(config_path(SMALL), [*settings(SMALL, run)[1:], f"data.prepared={place}"])


def test_a_finished_job_with_a_flipped_byte_is_done_again(tmp_path):
    job = Job(tmp_path / "result", _write, ())
    jobs.perform(job)
    assert jobs.is_done(job.directory)
    flip(job.directory / "a.bin", 3)
    assert not jobs.is_done(job.directory)
    jobs.perform(job)
    for text in tampering.TEXTS.values():
        assert jobs.is_done(job.directory)
        (job.directory / jobs.FACTS).write_bytes(text)
        assert not jobs.is_done(job.directory)
        jobs.perform(job)


def _write(directory: Path) -> dict:
    (directory / "a.bin").write_bytes(bytes(8))
    return {"count": 1}


# --- exports ---


def test_the_sums_of_the_model_in_the_box_are_those_of_its_files():
    """After another model was put there: delete sums.json and write it with `bmtool.base.files.write_sums`."""
    folder = PRETRAINED / "pinyin2hanzi"
    assert noted(folder).keys() == {path.name for path in folder.iterdir() if path.suffix in (".onnx", ".safetensors")}
    for name, checksum in noted(folder).items():
        assert files.file_checksum(folder / name) == checksum


def test_a_list_of_checksums_that_lost_its_name_is_noticed(exported, tmp_path):
    """Without it nothing would be compared."""
    data, path = exported(SMALL).read_bytes(), tmp_path / "model.onnx"
    for place in (data.rfind(SUMS.encode()), data.find(SUMS.encode())):
        path.write_bytes(flipped(data, place + 4, 7))
        with pytest.raises(DataError, match="damaged"):
            open_model(path)


@one_a_kit
def test_any_flipped_byte_of_an_export_is_noticed_or_of_no_effect(case, exported, tmp_path):
    """The outputs of a model that still opens are those of the whole one: what was flipped is padding."""
    data, path, rng = exported(case).read_bytes(), tmp_path / "model.onnx", random.Random(2)
    whole = open_model(exported(case))
    for place in [*rng.sample(range(len(data)), 30), *range(len(data) - 22, len(data))]:
        path.write_bytes(flipped(data, place, rng.randrange(8)))
        try:
            opened = open_model(path)
            held = {name: bytes(opened.assets.read(name)) for name in opened.assets.names()}
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        assert opened.about == whole.about
        assert held == {name: bytes(whole.assets.read(name)) for name in whole.assets.names()}
        assert opened.assets.model() == whole.assets.model()


def test_prepare_data_leaves_whole_data_as_they_are(prepared_copy, settings, tmp_path):
    place = prepared_copy(SMALL)
    before = {path: path.stat().st_mtime_ns for path in place.glob("*.npy")}
    prepare_data(config_path(SMALL), [*settings(SMALL)[1:], f"data.prepared={place}"])
    assert {path: path.stat().st_mtime_ns for path in place.glob("*.npy")} == before
