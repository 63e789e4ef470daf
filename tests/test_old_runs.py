"""Runs of earlier versions: stored ones evaluate, translate, export, train on, and can be finetuned from.

tests/data/old_run/ was made by version 0.3.0 (run format 1): a tagger and a classifier of four steps of six, with their prepared data.
"""

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLE

from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, pretrain
from bmtool.engine import upgrades
from bmtool.engine.run_dir import RunDir

OLD = ROOT / "tests" / "data" / "old_run"
RUNS = ("tagger", "classes")


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the old runs, in the directory that they name their data from."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def files(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_figures_have_the_names_of_today(old):
    run = RunDir(old / "tagger")
    checkpoints = run.checkpoints(print)
    assert set(checkpoints.manifest("step-00000004")["metrics"]) == {"network_accuracy", "loss"}
    assert set(checkpoints.state("step-00000004")["metrics"]) == {"network_accuracy", "loss"}
    assert "valid/network_accuracy" in run.events()[-1]
    assert run.info()["best"] is None
    assert checkpoints.best() == "step-00000004"


@pytest.mark.parametrize("name", RUNS)
def test_what_only_reads_a_run_changes_nothing_in_it(name, old):
    before = files(old / name)
    load_model(old / name, print)
    RunDir.open(old / name).events()
    assert files(old / name) == before


def test_a_tagger_translates_evaluates_and_exports(old):
    text = load_model(old / "tagger", print).predictor
    exported = load_model(export_onnx(old / "tagger"), print).predictor
    probes = text.probes(5)
    assert [v.line() for v in text.predict(probes)] == [v.line() for v in exported.predict(probes)]
    measured = evaluate([old / "tagger"], data=str(SAMPLE / "sentences" / "travel.txt"))
    assert 0 < measured.figures["character_accuracy"].value < 1


def test_a_classifier_evaluates_and_exports(old):
    assert evaluate([old / "classes"]).figures["accuracy"].value == 1.0
    assert export_onnx(old / "classes").is_file()


@pytest.mark.parametrize("name, figure", [("tagger", "network_accuracy"), ("classes", "accuracy")])
def test_training_goes_on(name, figure, old):
    """With the data that it began with, although their sources are gone; from here on the run is one of today."""
    before = [event for event in RunDir(old / name).events()]
    run = RunDir(pretrain(old / name / "config.yaml", ["train.stop_after=6"]))
    assert json.loads((run.path / "run.json").read_text())["format"] == upgrades.FORMAT
    assert f"has run format 1: it goes on in format {upgrades.FORMAT}" in (run.path / "log.txt").read_text()
    assert run.info()["best"]["metric"] == figure
    assert Path(run.info()["prepared"]) == (old / f"{name}-data").resolve()
    events = run.events()
    assert events[: len(before)] == before and events[-1]["step"] == 6 and f"valid/{figure}" in events[-1]
    assert "resuming from step-00000004" in (run.path / "log.txt").read_text()
    assert "valid/accuracy" not in (run.path / "metrics.jsonl").read_text() or name == "classes"


def test_finetuning_starts_from_it(old, tmp_path):
    text = tmp_path / "more.txt"
    lines = (SAMPLE / "sentences" / "travel.txt").read_text("utf-8").splitlines()[:40]
    text.write_text("\n".join(lines), encoding="utf-8")
    settings = [
        f"run={tmp_path / 'tuned'}", f"data.sources=[{text}]", f"data.prepared={tmp_path / 'data'}", "data.vocabulary=tagger",
        "data.valid_share=0.2", "train.stop_after=null", "train.steps=2",
    ]  # fmt: skip
    prepare_data(old / "tagger" / "config.yaml", settings)
    run = finetune(old / "tagger" / "config.yaml", old / "tagger", settings)
    log = (run / "log.txt").read_text()
    assert f"starting from {old / 'tagger'} (step-00000004)" in log
    assert (run / "checkpoints" / "step-00000002").is_dir()
