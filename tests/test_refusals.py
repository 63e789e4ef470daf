"""What needs no data is refused before any are prepared, before a model is loaded, and before anything is written."""

import importlib.util
import os
import re
import shutil
from functools import reduce
from pathlib import Path

import pytest
from cases import ROOT
from conftest import config_path, sets

from bmtool import registry
from bmtool.commands import evaluate, export_onnx, predict, refusals, translate
from bmtool.config.load import load

TAGGER, IMAGES, TREES = (
    config_path(name) for name in ("tagger", "image-classification", "tabular-classification-lightgbm")
)
NEW = ("run={new}/run", "data.prepared={new}/data")

# What is refused: the exit code, words of the message, the command. {new} is an empty folder, {file} a file, {run} a run.
WALK = {
    "finetune without a run": (2, "--from", ["finetune", TAGGER, *sets(NEW)]),
    "finetune from what is no run": (4, "not a run directory", ["finetune", TAGGER, "--from", "{new}", *sets(NEW)]),
    "finetune from nothing": (4, "not a run directory", ["finetune", TAGGER, "--from", "{new}/no", *sets(NEW)]),
    "finetune with the words of a run that is not there": (
        2, "take that of the run to start from, --set data.vocabulary=",
        ["finetune", TAGGER, "--from", "{run}", *sets([*NEW, "data.vocabulary={new}/no"])],
    ),
    "finetune from the model in the box": (2, "8-bit", ["finetune", TAGGER, "--from", "default", *sets(NEW)]),
    "finetune what is fitted": (2, "nothing to finetune", ["finetune", TREES, *sets(NEW)]),
    "a fit with gradient steps": (2, "train.ema", ["pretrain", TREES, *sets([*NEW, "train.ema=0.9"])]),
    "a phase that is not there": (2, "no such phase", ["pretrain", TAGGER, *sets([*NEW, "optim.phases={x: {lr: 0.1}}"])]),
    "a GPU that is not there": (2, "no CUDA device", ["pretrain", TAGGER, *sets([*NEW, "train.device=cuda"])]),
    "a package that is missing": (2, "pip install", ["pretrain", TREES, *sets(NEW)]),
    "a package that is missing, to prepare": (2, "pip install", ["prepare-data", IMAGES, *sets(NEW)]),
    "a package that is missing, to look": (2, "pip install", ["prepare-data", "--dry-run", IMAGES, *sets(NEW)]),
    "a model that is too large": (6, "make it smaller", ["pretrain", TAGGER, *sets([*NEW, "model.width=65536", "model.layers=200"])]),
    "a run in a file": (6, "is a file", ["pretrain", TAGGER, *sets([*NEW, "run={file}"])]),
    "a run below a file": (6, "is a file", ["pretrain", TAGGER, *sets([*NEW, "run={file}/run"])]),
    "data below a file": (6, "is a file", ["pretrain", TAGGER, *sets([*NEW, "data.prepared={file}/data"])]),
    "data below a file, to prepare": (6, "is a file", ["prepare-data", TAGGER, *sets([*NEW, "data.prepared={file}/data"])]),
    "a run in its data": (2, "same folder", ["pretrain", TAGGER, *sets([*NEW, "data.prepared={new}/run"])]),
    "a split that is not there": (2, "--split", ["evaluate", "{run}", "--split", "tset"]),
    "data that are not there": (4, "--data", ["evaluate", "{run}", "--data", "{new}/no"]),
    "a unit without data": (2, "--unit", ["evaluate", "{run}", "--unit", "run"]),
    "a bound that is none": (2, "METRIC<=NUMBER", ["evaluate", "{run}", "--require", "cer"]),
    "a bound on what is not measured": (2, "did you mean 'cer'", ["evaluate", "{run}", "--require", "ser<=1"]),
    "a report below a file": (6, "--output", ["evaluate", "{run}", "--output", "{file}/x"]),
    "an export below a file": (6, "--output", ["export-onnx", "{run}", "--output", "{file}/x.onnx"]),
    "an export in a folder": (6, "--output", ["export-onnx", "{run}", "--output", "{new}"]),
    "samples that are not there": (4, "--samples", ["export-onnx", "{run}", "--int8", "--samples", "{new}/no"]),
    "samples for nothing": (2, "--int8", ["export-onnx", "{run}", "--samples", "{file}"]),
    "a picture below a file": (6, "--explain", ["predict", "{run}", "x", "--explain", "{file}/x.png"]),
    "lines that are not there": (4, "--input", ["translate", "--model", "{run}", "--input", "{new}/no"]),
    "what shows nowhere": (2, "--explain", ["translate", "--model", "{run}", "--explain", "--json", "ni"]),
    "a text that is not there": (4, "--proofread", ["translate", "--model", "{run}", "--proofread", "{new}/no"]),
    "a check of a finetuning from nothing": (4, "not a run directory", ["selfcheck", "resume", TAGGER, "--from", "{new}/no"]),
    "a server that everyone reaches": (2, "--api-key", ["serve", "{run}", "--host", "0.0.0.0"]),
    "a style that is none": (2, "--style", ["annotate", "--style", "x", "字"]),
}  # fmt: skip


@pytest.fixture
def command(trained, tmp_path):
    """`command(name)`: one of the walk with what stands in braces put in."""
    (tmp_path / "new").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")

    def make(name: str) -> list[str]:
        needs_run = "{run}" in WALK[name][2]
        places = {
            "{new}": tmp_path / "new",
            "{file}": tmp_path / "file",
            "{run}": trained("tagger") if needs_run else "",
        }
        return [
            reduce(lambda text, place: text.replace(place[0], str(place[1])), places.items(), argument)
            for argument in WALK[name][2]
        ]

    return make


@pytest.fixture
def _no_work(monkeypatch):
    """Preparing and loading are bugs here; lightgbm and scikit-learn are not installed."""

    def work(*arguments, **options):
        raise AssertionError("work began before it was refused")

    load, find = registry.Entry.load, importlib.util.find_spec
    monkeypatch.setattr(registry.Entry, "load", lambda entry, part: work if part == "prepare" else load(entry, part))
    for module, name in (
        (evaluate, "load_several"),
        (export_onnx, "restore"),
        (predict, "load_model"),
        (translate, "load_model"),
    ):
        monkeypatch.setattr(module, name, work)
    missing = ("lightgbm", "sklearn")
    monkeypatch.setattr("bmtool.base.needs.find_spec", lambda name: None if name in missing else find(name))


def _there(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", WALK)
def test_refused_before_work(name, command, invoke, tmp_path, request):
    code, words, _ = WALK[name]
    arguments = command(name)
    # Only now: the run was made by work.
    request.getfixturevalue("_no_work")
    before = _there(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == code, result.stderr
    assert words in result.stderr and result.stderr.startswith("bmtool: ")
    assert result.stdout == "" and _there(tmp_path) == before


def test_what_is_prepared_elsewhere_needs_no_package_of_preparing(prepared, settings, invoke, tmp_path, request):
    prepared("image-classification")
    request.getfixturevalue("_no_work")
    values = [*settings("image-classification", tmp_path / "run"), "train.device=cuda"]
    result = invoke("pretrain", IMAGES, *sets(values))
    assert result.exit_code == 2 and "no CUDA device" in result.stderr


def test_data_that_are_prepared_may_lie_where_nothing_can_be_written(prepared, settings, invoke, tmp_path, monkeypatch):
    """They are read alone: many train from one folder of a file server."""
    place = prepared("image-classification")
    ask, fixed = os.access, place.resolve()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).resolve() != fixed and ask(path, mode))
    values = [*settings("image-classification", tmp_path / "run"), f"data.prepared={place}"]
    assert invoke("pretrain", IMAGES, *sets(values)).exit_code == 0
    result = invoke("pretrain", IMAGES, *sets([*values, f"run={tmp_path / 'other'}", "data.size=16"]))
    assert result.exit_code == 6 and "data.size: 8 -> 16: data.prepared: " in result.stderr
    assert "cannot be written to" in result.stderr and not (tmp_path / "other").exists()


def test_a_run_that_cannot_be_written_to_is_exported_elsewhere(trained, invoke, tmp_path, monkeypatch):
    run = shutil.copytree(trained("tagger"), tmp_path / "run")
    before, ask = _there(run), os.access
    monkeypatch.setattr("os.access", lambda path, mode: not Path(path).is_relative_to(run) and ask(path, mode))
    result = invoke("export-onnx", run)
    assert result.exit_code == 6 and "--output" in result.stderr and "wrote" not in result.stderr
    result = invoke("export-onnx", run, "--output", tmp_path / "model.onnx")
    assert result.exit_code == 0 and (tmp_path / "model.onnx").is_file(), result.stderr
    assert "parity.json" in result.stderr and "is not kept" in result.stderr and _there(run) == before


def test_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(refusals.ResourceError, match="cannot be written to"):
        refusals.require_folder(tmp_path / "a" / "b", "run")


def test_prepared_data_that_cannot_be_written_to_are_trained_on(prepared, settings, invoke, tmp_path, monkeypatch):
    """As one user prepares them for all: nothing is locked or written in them, or beside them."""
    values = settings("autoencoder-mlp", tmp_path / "run")
    data = prepared("autoencoder-mlp")
    before, access = _there(data.parent), os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) not in (data, data.parent) and access(path, mode))
    result = invoke("pretrain", config_path("autoencoder-mlp"), *sets(values))
    assert result.exit_code == 0, result.stderr
    assert _there(data.parent) == before


def test_the_place_of_prepared_data_is_one_beside_which_can_be_written(monkeypatch, tmp_path):
    """They are made there and then moved."""
    (tmp_path / "data").mkdir()
    config = load(config_path("autoencoder-mlp"), [f"data.prepared={tmp_path / 'data'}"])
    ask = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path and ask(path, mode))
    with pytest.raises(refusals.ResourceError, match=f"data.prepared: {tmp_path} cannot be written to"):
        refusals.require_preparing(config)


def test_a_model_that_the_environment_names(invoke, monkeypatch):
    monkeypatch.setenv("BMTOOL_MODEL", "nope")
    result = invoke("translate", "ni hao")
    assert result.exit_code == 4 and result.stderr == "bmtool: no such run or model: nope (BMTOOL_MODEL names it)\n"


def test_what_cannot_be_read_is_no_fault_of_the_report(trained, invoke, tmp_path, monkeypatch):
    def gone(*arguments):
        raise OSError(5, "Input/output error", "/far/away.txt")

    monkeypatch.setattr(evaluate, "feed", gone)
    result = invoke("evaluate", trained("tagger"), "--output", tmp_path / "report")
    assert (result.exit_code, result.stderr) == (4, "bmtool: cannot read /far/away.txt: Input/output error\n")


def test_every_package_of_a_configuration_is_named_with_its_command(monkeypatch):
    """Those that the sections name are those that pyproject.toml knows."""
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    found = {package for path in (ROOT / "bmtool").rglob("config*/*.py") for package in _named(path)}
    found |= {package for path in (ROOT / "bmtool" / "tasks").rglob("config.py") for package in _named(path)}
    assert {"lightgbm", "rensa", "opencc"} <= found
    assert not [package for package in found if package.split("[")[0].strip("'") not in known]


def _named(path: Path) -> list[str]:
    return re.findall(r'Package\("\w+", "([^"]+)"', path.read_text("utf-8"))
