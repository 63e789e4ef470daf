"""Trackers: asked for by name, told the same figures, never in the way of a training."""

import json
import os
import socket
import subprocess
import sys
import warnings
from typing import ClassVar

import pytest
from conftest import DIGITS, ROOT, events
from test_interrupted import killed_at

from bmtool.commands.train import pretrain
from bmtool.engine.session import Session
from bmtool.errors import ConfigError, ResourceError
from bmtool.tracking.tracker import Trackers


@pytest.fixture(scope="module")
def settings(classifier):
    return [*classifier, "schedule.name=constant", "train.validate_every=4", "train.save_every=2", "train.log_every=2"]


@pytest.fixture
def mlflow(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    from bmtool.tracking import mlflow

    return mlflow


def trained(run, settings, *more):
    return pretrain(DIGITS, [*settings, f"run={run}", *more])


def logged(run) -> dict[str, list[tuple[int, float]]]:
    """Of metrics.jsonl: figure -> (step, value) of each line that has it."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(run):
        for name, value in event.items():
            if name not in ("step", "elapsed_s"):
                found.setdefault(name, []).append((event["step"], value))
    return found


def told_mlflow(run) -> tuple[object, dict[str, list[tuple[int, float]]]]:
    """The one run that MLflow keeps, and figure -> (step, value) in the order they came."""
    from mlflow.tracking import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = MlflowClient(tracking_uri=f"sqlite:///{run.parent / 'mlflow' / 'mlflow.db'}")
        (experiment,) = [one for one in client.search_experiments() if one.name == "image-classification"]
        (kept,) = client.search_runs([experiment.experiment_id])
        names = [name for name in kept.data.metrics if not name.startswith("best/")]
        history = {name: client.get_metric_history(kept.info.run_id, name) for name in names}
        files = [one.path for one in client.list_artifacts(kept.info.run_id)]
    return kept, {name: [(m.step, m.value) for m in points] for name, points in history.items()} | {"files": files}


def told_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    return read


# --- MLflow ---


def test_mlflow_is_told_settings_figures_and_what_came_of_it(mlflow, settings, tmp_path):
    run = trained(tmp_path / "run", settings, "tracking=[mlflow]")
    kept, told = told_mlflow(run)
    assert sorted(told.pop("files")) == ["config.yaml", "plots"]
    assert told == logged(run)
    assert kept.info.run_name == "run" and kept.info.status == "FINISHED"
    assert kept.data.params["train.batch_size"] == "64" and kept.data.params["model.kind"] == "mlp"
    manifest = json.loads((run / "checkpoints" / "step-00000008" / "manifest.json").read_text())
    best = (run / "checkpoints" / "best").read_text().strip()
    assert kept.data.metrics["best/accuracy"] == pytest.approx(
        json.loads((run / "checkpoints" / best / "manifest.json").read_text())["metrics"]["accuracy"]
    )
    assert manifest["metrics"].keys() == {n.removeprefix("best/") for n in kept.data.metrics if n.startswith("best/")}


def test_mlflow_goes_on_with_the_same_run(mlflow, settings, tmp_path, monkeypatch):
    """After a stop, a kill and for longer: each figure of a step once, of those that are taken again too."""
    run, tracked = tmp_path / "run", [*settings, "tracking=[mlflow]"]
    trained(run, tracked, "train.stop_after=3")
    with killed_at(monkeypatch, (Session, "_save"), 2, after=False):
        trained(run, tracked)
    assert told_mlflow(run)[0].info.status == "KILLED"
    trained(run, tracked)
    trained(run, tracked, "train.steps=12")
    kept, told = told_mlflow(run)
    del told["files"]
    assert {name: [step for step, _ in points] for name, points in told.items()} == {
        name: [step for step, _ in points] for name, points in logged(run).items()
    }
    assert {n: p for n, p in told.items() if not n.endswith("_per_s")} == {
        n: p for n, p in logged(run).items() if not n.endswith("_per_s")
    }
    assert kept.info.status == "FINISHED" and "train.steps: 8 -> 12" in kept.data.tags["changes"]
    assert json.loads((run / "run.json").read_text())["tracking"] == {"mlflow": kept.info.run_id}


def test_a_sitting_without_a_tracker_does_not_lose_the_name_it_gave(mlflow, settings, tmp_path):
    run = trained(tmp_path / "run", settings, "tracking=[mlflow]", "train.stop_after=3")
    named = json.loads((run / "run.json").read_text())["tracking"]
    trained(run, settings, "tracking=[]", "train.stop_after=5")
    trained(run, settings, "tracking=[mlflow]")
    assert json.loads((run / "run.json").read_text())["tracking"] == named != {}


def test_mlflow_goes_where_its_own_variable_says(mlflow, settings, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'own.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.chdir(tmp_path)
    run = trained(tmp_path / "runs" / "run", [s for s in settings], "tracking=[mlflow]")
    assert (tmp_path / "own.db").is_file() and not (run.parent / "mlflow").exists()


def test_a_tracker_that_cannot_begin_stops_the_training_before_its_first_step(mlflow, settings, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(ResourceError, match=r"tracking: mlflow cannot begin: .*--set 'tracking=\[\]'"):
            trained(tmp_path / "run", settings, "tracking=[mlflow]")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    trained(tmp_path / "run", settings)


NOBODY = """
import socket, sys
def refused(self, address):
    print(f"asked {address}", file=sys.stderr, flush=True)
    raise OSError("nobody is there")
socket.socket.connect = socket.socket.connect_ex = refused
socket.getaddrinfo = lambda *given, **more: refused(None, given)
from bmtool.commands.train import pretrain
pretrain(sys.argv[1], sys.argv[2:])
"""


@pytest.mark.timeout(400)
def test_mlflow_asks_nobody(mlflow, settings, tmp_path):
    """Not on a thread of its own either; tests are what it tells from other use, and does not report."""
    alone = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "CI", "MLFLOW"))} | {
        "HOME": str(tmp_path)
    }
    command = [sys.executable, "-c", NOBODY, str(DIGITS), *settings, f"run={tmp_path / 'run'}", "tracking=[mlflow]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=alone)
    assert done.returncode == 0 and "asked" not in done.stderr, done.stderr
    assert "INFO" not in done.stderr and "Warning" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["mlflow", "run"]


# --- TensorBoard ---


def test_tensorboard_is_told_the_same(settings, tmp_path, drawn):
    run = trained(tmp_path / "run", settings, "tracking=[tensorboard]", "train.stop_after=3")
    trained(run, settings, "tracking=[tensorboard]")
    read = told_tensorboard(run)
    scalars = {
        name: [(point.step, pytest.approx(point.value, rel=1e-6)) for point in read.Scalars(name)]
        for name in read.Tags()["scalars"]
        if not name.startswith("best/")
    }
    assert scalars == logged(run)
    assert "plots/accuracy" in read.Tags()["images"] and "config.yaml/text_summary" in read.Tags()["tensors"]
    best = json.loads(
        (run / "checkpoints" / (run / "checkpoints" / "best").read_text().strip() / "manifest.json").read_text()
    )
    assert read.Scalars("best/accuracy")[-1].value == pytest.approx(best["metrics"]["accuracy"])


# --- any ---


class Breaks:
    """A tracker that fails at its second figure."""

    name = None
    calls: ClassVar[list[str]] = []

    def __init__(self, subject):
        self.calls.clear()

    def log(self, step, figures):
        self.calls.append("log")
        if len(self.calls) == 2:
            raise RuntimeError("the disk is full\nand more")

    def end(self, step, figures, files):
        self.calls.append("end")

    def close(self):
        self.calls.append("close")


def test_a_tracker_that_fails_is_said_once_and_the_training_goes_on(settings, tmp_path, monkeypatch):
    from bmtool.tracking import tensorboard

    monkeypatch.setattr(tensorboard, "Tracker", Breaks)
    run = trained(tmp_path / "run", settings, "tracking=[tensorboard]")
    log = (run / "log.txt").read_text()
    assert log.count("warning: tracking: tensorboard has failed and is told nothing more: the disk is full\n") == 1
    assert Breaks.calls == ["log", "log"] and json.loads((run / "run.json").read_text())["ended"] is not None


def test_a_fit_is_tracked_too(tmp_path, monkeypatch):
    from cases import FITTED

    from bmtool.tracking import tensorboard

    told = []

    class Listens(Breaks):
        def log(self, step, figures):
            told.append(step)

    monkeypatch.setattr(tensorboard, "Tracker", Listens)
    case = FITTED[0]
    run = pretrain(
        case.path, [f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}", "tracking=[tensorboard]"]
    )
    assert told == [event["step"] for event in events(run)] and Listens.calls == ["end", "close"]


def test_none_is_imported_unless_it_is_asked_for(settings, tmp_path):
    code = "import sys\nfrom bmtool.commands.train import pretrain\npretrain(sys.argv[1], sys.argv[2:])\nprint(*sys.modules)"
    command = [
        sys.executable,
        "-c",
        code,
        str(DIGITS),
        *settings,
        f"run={tmp_path / 'run'}",
        "train.steps=2",
        "train.stop_after=1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded and not loaded & {"tensorboard", "mlflow", "sqlalchemy", "tensorflow"}


@pytest.mark.parametrize(
    "name, packages", [("tensorboard", "tensorboard"), ("mlflow", "mlflow-skinny sqlalchemy alembic")]
)
def test_a_package_that_is_missing_is_said_before_anything_is_done(name, packages, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("bmtool.base.needs.find_spec", lambda module: None)
    with pytest.raises(ConfigError, match=f"tracking: {name} takes .*: pip install {packages}"):
        trained(tmp_path / "run", settings, f"tracking=[{name}]")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_named_twice_or_unknown_is_refused(settings, tmp_path):
    for names, why in (("[mlflow, mlflow]", "named twice"), ("[wandb]", "expected one of tensorboard, mlflow")):
        with pytest.raises(ConfigError, match=why):
            trained(tmp_path / "run", settings, f"tracking={names}")


def test_other_processes_than_the_first_tell_nobody():
    with Trackers([], print) as trackers:
        trackers.log(1, {"loss": 1.0})
