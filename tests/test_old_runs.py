"""Runs of earlier versions: stored ones evaluate, translate, export, train on, and can be finetuned from.

tests/data/old_run/ was made by version 0.3.0 (run format 1): a tagger and a classifier of four steps of six, with their prepared data.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import DIGITS, ROOT, SAMPLE

from bmtool.base.files import read_json, sha256, write_json
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.selfcheck import differences
from bmtool.commands.train import finetune, pretrain
from bmtool.engine import upgrades
from bmtool.engine.kept import Manifest
from bmtool.engine.record import Info
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


def as_of_format_2(run: Path) -> None:
    """Write a run as it was before rankings and times moved."""
    info = json.loads((run / "run.json").read_text("utf-8"))
    del info["ended"]
    write_json(run / "run.json", info | {"format": 2})
    for path in run.glob("checkpoints/step-*"):
        manifest, state = (
            read_json(path / "manifest.json", Manifest, ""),
            torch.load(path / "state.pt", weights_only=True),
        )
        ranking, elapsed_s = state.pop("ranking"), manifest.pop("elapsed_s")
        state |= {"best_value": ranking["value"], "waited": ranking["waited"], "elapsed_s": elapsed_s["training"]}
        state["window"]["elapsed_s"] = elapsed_s["window"]
        del state["recent"]
        torch.save(state, path / "state.pt")
        manifest["sha256"]["state.pt"] = sha256(path / "state.pt")
        write_json(path / "manifest.json", manifest | {"format": 2})


def test_a_run_of_format_2_goes_on_as_one_of_today(classifier, tmp_path):
    """Its ranking is made once of the checkpoints that it has, of equal ones the earliest first."""
    settings = [
        *classifier, "optim.lr=1e-6", "train.best=accuracy", "train.validate_every=1", "train.keep_best=3", "train.keep_last=2",
        "train.average_best=2",
    ]  # fmt: skip
    whole = pretrain(DIGITS, [*settings, f"run={tmp_path / 'whole' / 'run'}"])
    old = pretrain(DIGITS, [*settings, f"run={tmp_path / 'old' / 'run'}", "train.stop_after=5"])
    as_of_format_2(old)
    pretrain(DIGITS, [*settings, f"run={old}"])
    assert f"has run format 2: it goes on in format {upgrades.FORMAT}" in (old / "log.txt").read_text()
    different = differences(whole, old)
    # Checkpoints that are kept from then hold what that version wrote.
    written = r"checkpoints/step-0000000[1-5]/(state.pt|manifest.json)"
    assert different and all(re.fullmatch(written, name) for name in different)


def test_an_old_run_at_its_end_comes_once_to_an_end_of_today(old):
    """Format 1 did not say that its end was reached: what comes after the last checkpoint is done again, and no step."""
    run, settings = old / "classes", ["train.stop_after=4"]
    (run / "log.txt").unlink()
    pretrain(run / "config.yaml", settings)
    assert read_json(run / "run.json", Info, "")["ended"] == {"step": 4, "average_best": 0}
    pretrain(run / "config.yaml", settings)
    log = (run / "log.txt").read_text()
    assert log.count("done: 4 steps") == 1 and log.count("nothing left to do: 4 of 6 steps") == 1


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
