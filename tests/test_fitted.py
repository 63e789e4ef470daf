"""Tasks that are fitted, not trained: one checkpoint, no optimizer, the same commands as any run."""

import json
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from class_means.task import Task
from conftest import CONFIGS
from PIL import Image
from safetensors.numpy import load_file

from bmtool import registry
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.predict import predict
from bmtool.commands.selfcheck import differences
from bmtool.commands.train import finetune, pretrain
from bmtool.engine import plots
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError, Interrupted

CONFIG = """\
task: class-means
run: {folder}/run
data: {{source: digits, prepared: {folder}/data, size: 8, channels: 1}}
train: {{threads: 1}}
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("class-means")


@pytest.fixture
def config(monkeypatch, data):
    entry = registry.Entry("class_means", "the nearest mean", kit="images", takes="image", gives="labels")
    monkeypatch.setitem(registry.TASKS, "class-means", entry)
    path = data / "config.yaml"
    path.write_text(CONFIG.format(folder=data), encoding="utf-8")
    return path


def events(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_fit_becomes_a_run_like_any_other(config, tmp_path, capsys):
    run = pretrain(config, [f"run={tmp_path / 'run'}"])
    checkpoints = run / "checkpoints"
    assert {(checkpoints / pointer).read_text() for pointer in ("best", "last")} == {"step-00000002\n"}
    arrays = load_file(checkpoints / "step-00000002" / "model.safetensors")
    assert arrays["means"].shape == (10, 64) and arrays["means"].dtype == np.float64 and arrays["classes"] == 10
    manifest = json.loads((checkpoints / "step-00000002" / "manifest.json").read_text())
    logged = events(run)
    assert manifest["metrics"] == {"accuracy": logged[-1]["valid/accuracy"]} and manifest["metrics"]["accuracy"] > 0.8
    assert [event["step"] for event in logged] == [1, 2]
    assert (run / "plots" / "accuracy.png").is_file()
    log = (run / "log.txt").read_text()
    assert "means of" in log and f"step 2  valid  accuracy {logged[-1]['valid/accuracy']:.4f}\n" in log
    assert evaluate([run]).figures["accuracy"].value > 0.8
    exported = export_onnx(run)
    images = load_model(run, print).predictor.probes(3)
    ours, theirs = (load_model(path, print).predictor.probabilities(images) for path in (run, exported))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    Image.fromarray(images[0].squeeze(-1)).save(tmp_path / "one.png")
    capsys.readouterr()
    predict(run, [str(tmp_path / "one.png")])
    assert str(ours[0].argmax()) in capsys.readouterr().out.split("\t")[1]


def test_what_is_done_is_not_done_again(config, tmp_path):
    run = pretrain(config, [f"run={tmp_path / 'run'}"])
    before = events(run)
    pretrain(config, [f"run={tmp_path / 'run'}"])
    assert events(run) == before
    assert "nothing left to do" in (run / "log.txt").read_text()


def test_an_interrupted_fit_is_done_again_from_its_start(config, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(Task, "killed_after", 1)
    with pytest.raises(Interrupted, match="does it again"):
        pretrain(config, [f"run={run}"])
    assert len(events(run)) == 1 and not (run / "checkpoints").exists()
    monkeypatch.setattr(Task, "killed_after", 0)
    pretrain(config, [f"run={run}"])
    assert [event["step"] for event in events(run)] == [1, 2]
    assert "interrupted: it is done again from its start" in (run / "log.txt").read_text()


class Killed(BaseException):
    pass


PLACES = [
    (Checkpoints, "_put", 1), (Checkpoints, "mark", 1), (Checkpoints, "mark", 2), (Task, "draw", 2), (plots, "curves", 1),
    (RunDir, "end", 1),
]  # fmt: skip


@pytest.mark.parametrize("owner, name, call", PLACES, ids=str)
def test_a_fit_that_was_killed_comes_to_its_end(owner, name, call, config, tmp_path, monkeypatch):
    """What is fitted is not fitted again; then the run is, file by file, the one that nothing killed."""
    whole, run, left = pretrain(config, [f"run={tmp_path / 'whole'}"]), tmp_path / "run", [call]
    real = getattr(owner, name)

    def killed(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, killed)
        pretrain(config, [f"run={run}"])
    fitted = (run / "checkpoints" / "step-00000002").is_dir()
    pretrain(config, [f"run={run}"])
    log = (run / "log.txt").read_text()
    assert log.count("means of") == (1 if fitted else 2) and log.count("what comes after is done now") == fitted
    assert differences(whole, run) == []
    assert json.loads((run / "run.json").read_text())["ended"] == {"step": 2}
    pretrain(config, [f"run={run}"])
    assert "nothing left to do" in (run / "log.txt").read_text().splitlines()[-1]


def test_a_fit_that_is_done_anew_has_an_end_of_its_own(config, tmp_path, monkeypatch):
    run = pretrain(config, [f"run={tmp_path / 'run'}"])
    shutil.rmtree(run / "checkpoints")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("bmtool.commands.train.end", Mock(side_effect=Killed))
        pretrain(config, [f"run={run}"])
    assert json.loads((run / "run.json").read_text())["ended"] is None


def test_nothing_is_finetuned_from_a_fit(config, data, tmp_path):
    run = pretrain(config, [f"run={tmp_path / 'run'}"])
    digits = CONFIGS / "image-classification" / "digits.yaml"
    with pytest.raises(ConfigError, match="was fitted: it holds no weights"):
        finetune(digits, run, [f"run={tmp_path / 'tuned'}", f"data.prepared={tmp_path / 'data'}", "train.threads=1"])


def test_what_makes_no_sense_for_a_fit_is_refused(config, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="fitted, not trained"):
        finetune(config, None, [f"run={tmp_path / 'run'}"])
    with pytest.raises(ConfigError, match=r"optim.lr, train.best, train.steps: of no effect"):
        pretrain(config, [f"run={tmp_path / 'run'}", "optim.lr=0.1", "train.steps=7", "train.best=accuracy"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="without torchrun"):
        pretrain(config, [f"run={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists()
