"""What every task promises (see bmtool/engine/task.py and docs/architecture.md), over the registry and every tiny config in it."""

import asyncio
import base64
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import (
    CASES,
    EXCEPTIONS,
    FITTED,
    KIND,
    KIT,
    TASK,
    TRAINED,
    each_of,
    every_case,
    firsts,
    keeping,
    one_a_kit,
    one_a_task,
)
from conftest import ROOT, bmtool, config_path, inside, sets, torchrun
from safetensors.torch import load_file
from torch.utils._pytree import tree_leaves

from bmtool import registry
from bmtool.api import Model
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.config.load import dump, load, parse
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.device import choose
from bmtool.engine.task import Task
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.errors import ConfigError
from bmtool.measure.labels import TOP

TIMES = ("elapsed_s", "_per_s")  # of metrics.jsonl
BATCH = 80  # updates on one batch
KILLED = firsts(KIT, TRAINED)
SHARED = firsts(TASK, keeping("processes"))  # between two processes
ROUNDED = list(dict.fromkeys([*firsts(TASK, TRAINED), *firsts(KIND, TRAINED)]))  # to int8


def make_trainer(config) -> Trainer:
    seed_everything(config.seed)
    return Trainer(registry.find(config.task).load("task").of(config).fresh(config), config, choose(config.train))


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


def assert_same_bytes(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def assert_close(ours, theirs, atol: float, rtol: float):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], atol=atol, rtol=rtol, msg=lambda text, name=name: f"{name}: {text}"
        )


# --- the entry and its config ---


def test_every_task_has_a_tiny_config_and_every_exception_is_one_of_a_contract():
    assert {case.task for case in CASES} == set(registry.TASKS)
    for case in CASES:
        assert {contract for contract, _ in case.held["except"]} <= EXCEPTIONS, case.name
        assert case.asked, f"{case.name} does not say what to ask its model"
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", list(registry.TASKS))
def test_every_part_of_every_entry_loads(name):
    entry = registry.TASKS[name]
    for part in registry.PARTS:
        assert part in ("combine", "kind") or entry.has(part), part
    assert issubclass(entry.load("task"), Task)
    assert entry.help and entry.takes and entry.gives


@every_case
def test_a_config_is_shipped_with_its_command_and_says_what_the_schema_says(case):
    text = case.path.read_text("utf-8")
    assert text.splitlines()[0] == f"# bmtool pretrain {case.path.relative_to(ROOT)}"
    assert case.config.task == case.task
    assert isinstance(case.config, case.entry.load("config"))
    assert parse(case.config.model_dump()) == case.config
    train = case.config.train
    assert case.fitted or (train.steps, train.validate_every, train.threads) == (8, 4, 1)


@every_case
def test_a_saved_config_loads_as_it_is(case, tmp_path):
    (tmp_path / "config.yaml").write_text(dump(case.config), encoding="utf-8")
    assert load(tmp_path / "config.yaml") == case.config


# --- preparing ---


@one_a_task
def test_preparing_twice_gives_the_same_bytes_and_does_nothing(case, prepared, settings, tmp_path):
    place = prepared(case)
    other = prepare_data(config_path(case), settings(case, "run", f"data.prepared={tmp_path / 'again'}"))
    assert other["data_hash"] == json.loads((place / "manifest.json").read_text("utf-8"))["data_hash"]
    for path in sorted(place.rglob("*.npy")):
        assert (tmp_path / "again" / path.relative_to(place)).read_bytes() == path.read_bytes(), path
    before = (place / "manifest.json").stat().st_mtime_ns
    prepare_data(config_path(case), settings(case))
    assert (place / "manifest.json").stat().st_mtime_ns == before


# --- training ---


@each_of(keeping("loss-falls"))
def test_loss_on_one_batch_falls_by_half(case, prepared, settings):
    prepared(case)
    trainer = make_trainer(load(case.path, settings(case, "x", *case.deterministic)))
    batch = trainer.task.batches("train", 1)[0]
    for phase in trainer.task.phases:
        losses = [trainer._update(phase, [batch], 1.0)[0] for _ in range(BATCH)]
        assert losses[-1] < losses[0] / 2, phase


@each_of(keeping("accumulate"))
def test_accumulated_gradient_is_that_of_all_targets_together(case, prepared, settings):
    """Batches of different numbers of targets: the mean is over the targets of all, not of means."""
    prepared(case)
    # A step is the gradient: Adam would blow up the rounding of one that is zero.
    plain = ["optim.name=sgd", "optim.lr=1.0"]
    config = load(case.path, settings(case, "x", *plain, *case.deterministic))
    whole, parts = make_trainer(config), make_trainer(config)
    batches = [whole.task.batches("train", 1)[position] for position in range(3)]
    for phase in whole.task.phases:
        losses = [whole.task.loss(phase, batch) for batch in batches]
        (sum(loss.total for loss in losses) / sum(loss.count for loss in losses)).backward()
        optimizers = whole.optimizers[phase]
        optimizers.coalesce()
        optimizers.finish_gradients(1)
        optimizers.step()
        parts._update(phase, batches, 1.0)
    assert_close(whole.tensors(), parts.tensors(), atol=2e-5, rtol=1e-4)


STOPS = [(case, 3) for case in TRAINED] + [(CASES[0], 4), (CASES[0], 5)]


@pytest.mark.parametrize("case, stop", [pytest.param(case, stop, id=f"{case.name}-{stop}") for case, stop in STOPS])
def test_a_resumed_run_is_the_same_run(case, stop, prepared, settings, tmp_path):
    """With all that is drawn at random, averaged weights, accumulation, and other processes that build the batches."""
    prepared(case)
    more = ["train.ema=0.9", "train.accumulate=2"]
    whole = pretrain(config_path(case), settings(case, tmp_path / "whole", *more))
    parts = settings(case, tmp_path / "parts", *more)
    pretrain(config_path(case), [*parts, f"train.stop_after={stop}"])
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    pretrain(config_path(case), [*parts, "train.workers=2"])
    other = tmp_path / "parts"
    assert_same_bytes(weights(whole, 8), weights(other, 8))
    assert_same_state(whole, other)
    assert (whole / "checkpoints" / "best").read_text() == (other / "checkpoints" / "best").read_text()
    # A run that is stopped logs and saves there, too: its last window is another one.
    assert [e for e in events(whole) if "valid/" in " ".join(e)] == [
        e for e in events(other) if "valid/" in " ".join(e)
    ]
    steps = [event["step"] for event in events(other)]
    assert steps == sorted(steps)


@each_of(FITTED)
def test_fitting_twice_gives_the_same_bytes(case, trained, settings, tmp_path):
    again, names = pretrain(config_path(case), settings(case, tmp_path / "again")), []
    for run in (trained(case), again):
        checkpoints = Checkpoints(run, print)
        names.append(checkpoints.best())
    assert names[0] == names[1]
    assert_same_bytes(*(Checkpoints(run, print).weights(names[0]) for run in (trained(case), again)))
    assert events(trained(case)) == events(again)


def assert_same_state(ours: Path, theirs: Path) -> None:
    states = [
        torch.load(run / "checkpoints" / "step-00000008" / "state.pt", weights_only=True)["trainer"]
        for run in (ours, theirs)
    ]
    leaves = [tree_leaves(state) for state in states]
    assert len(leaves[0]) == len(leaves[1]) > len(weights(ours, 8))
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(*leaves))


def events(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without the times."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    return [{key: value for key, value in line.items() if not key.endswith(TIMES)} for line in lines]


@each_of(KILLED, slow=KILLED[1:])
def test_kill_9_and_start_again_is_the_same_run(case, prepared, settings):
    prepared(case)
    done = bmtool("selfcheck", "resume", config_path(case), *sets(settings(case, "killed", "train.precision=auto")))
    assert done.returncode == 0, done.stderr
    assert "resume is exact" in done.stderr


@pytest.fixture(scope="module")
def of_two_processes(prepared, settings, tmp_path_factory) -> Path:
    """A run of each task in SHARED, by its name: the processes and torch start once for all of them."""
    folder = tmp_path_factory.mktemp("two")
    for case in SHARED:
        prepared(case)
    runs = [(config_path(case), settings(case, folder / case.name, *case.deterministic)) for case in SHARED]
    done = torchrun(2, Path(__file__).with_name("together.py"), json.dumps(runs))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(600)
@each_of(SHARED)
def test_two_processes_are_one(case, of_two_processes, settings, tmp_path):
    """Weights, and figures of validation of which each process has seen a part."""
    one = pretrain(config_path(case), settings(case, tmp_path / "one", "train.accumulate=2", *case.deterministic))
    two = of_two_processes / case.name
    assert_close(weights(one, 8), weights(two, 8), atol=1e-4, rtol=1e-3)
    figures = [[e for e in events(run) if "valid/" in " ".join(e)] for run in (one, two)]
    assert len(figures[0]) == 2
    for ours, theirs in zip(*figures):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)


# --- answers ---


@every_case
def test_answers_do_not_depend_on_the_batch_or_padding(case, trained):
    """Probes of text have several lengths, so that alone they stand without padding."""
    predictor = load_model(trained(case), print).predictor
    probes = predictor.probes(70)
    together = predictor.predict(probes)
    for probe, expected in [*zip(probes[:12], together[:12]), *zip(probes[-4:], together[-4:])]:
        assert predictor.predict([probe])[0].distance(expected) < 1e-4


@every_case
def test_pytorch_and_onnx_give_the_same_answers(case, trained, exported):
    ours, theirs = (Model(path).predict(case.asked) for path in (trained(case), exported(case)))
    assert len(ours) == len(theirs) == len(case.asked)
    for a, b in zip(ours, theirs):
        assert a.distance(b) < 1e-3
        assert a.line().split(" ")[0] == b.line().split(" ")[0] or case.entry.gives in ("vector", "image", "number")


@every_case
def test_shell_python_and_http_give_the_same_records(case, exported, invoke):
    result = invoke("predict", exported(case), *case.asked, "--json")
    assert result.exit_code == 0, result.stderr
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert said == Model(exported(case)).records(case.asked)
    assert len(said) == len(case.asked)
    served = asyncio.run(ask(exported(case), case))
    for ours, theirs in zip(said, served):
        # What was sent is not sent back.
        assert ours == theirs | {key: ours[key] for key in ("file", "record") if key in ours}


async def ask(path: Path, case) -> list[dict]:
    """The answers of a server whose model is in this process."""
    import httpx

    from bmtool.serve.app import create
    from bmtool.serve.service import Service
    from bmtool.serve.settings import Settings

    guard = create(Service(str(path), Here(path), Settings(), print))
    transport = httpx.ASGITransport(guard)
    async with (
        guard.app.router.lifespan_context(guard.app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        answer = await client.post("/v1/predict", json=request_of(case))
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"]


def request_of(case) -> dict:
    """All that a case asks as one request, by the fields that it has."""
    given = [sent(case, raw) for raw in case.asked]
    if case.entry.takes == "question and context":
        return {name: [one[name] for one in given] for name in ("question", "context")}
    return {case.entry.takes: given}


def sent(case, argument: str):
    """An argument of the command line as a request has it."""
    if case.entry.takes == "image":
        return base64.b64encode(Path(argument).read_bytes()).decode()
    return {"number": int, "record": json.loads, "question and context": json.loads}.get(case.entry.takes, str)(
        argument
    )


class Here:
    """Stands for the process that a server keeps its model in: tests/test_serve.py holds that one."""

    def __init__(self, path: Path, documents: str | None = None):
        from bmtool.serve.model import Served

        self._served = Served.load(str(path), print, documents)
        self.task, self.about = self._served.loaded.task, self._served.about()

    def run(self, options, inputs):
        return self._served.run(options, inputs)

    def close(self):
        pass


# --- exports ---


@one_a_kit
def test_an_export_is_one_file_and_answers_without_torch(case, exported, tmp_path):
    alone = shutil.copy(exported(case), tmp_path / "alone.onnx")
    code = (
        "import sys\nfrom bmtool import cli\n"
        "try:\n    cli.app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'torchvision', 'onnx', 'sklearn', 'matplotlib', 'pypinyin'}))"
    )
    command = [sys.executable, "-c", code, "predict", str(alone), *case.asked, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert [json.loads(line) for line in lines] == Model(exported(case)).records(case.asked)


@every_case
def test_an_export_in_another_directory_answers_alone(case, exported, tmp_path):
    """It was made elsewhere, of a run that was moved, when the prepared data had gone: see conftest."""
    alone = Path(shutil.copy(exported(case), tmp_path / "alone.onnx"))
    with inside(tmp_path):
        assert Model(Path(alone.name)).records(case.asked) == Model(exported(case)).records(case.asked)
    report = json.loads((exported(case).parent / "parity.json").read_text("utf-8"))
    assert report["largest_answer_difference"] <= report["tolerance"] and report["answers_compared"] > 0
    assert report["largest_difference"] <= report["tolerance"]


def test_a_recurrent_network_is_exported_again_in_the_same_process(trained, tmp_path):
    """Of which torch would keep the length that was traced."""
    once, again = (export_onnx(trained("text-classification-rnn"), output=str(tmp_path / name)) for name in ("a", "b"))
    assert once.read_bytes() == again.read_bytes()


@pytest.mark.slow
@each_of(ROUNDED)
def test_int8_is_kept_if_it_costs_little(case, prepared, settings, tmp_path):
    """Of a model that has learned something to lose. Each task judges it, and networks differ in what is rounded."""
    prepared(case)
    more = ["train.steps=60", "train.validate_every=60"]
    run = pretrain(config_path(case), settings(case, tmp_path / "run", *more))
    assert_costs_little(case, run)


@pytest.mark.slow
@each_of(FITTED)
def test_int8_of_what_is_fitted_is_kept_too_unless_it_has_no_weights(case, trained, prepared):
    prepared(case)
    try:
        assert_costs_little(case, trained(case))
    except ConfigError as error:
        assert "no weights to round" in str(error)


def assert_costs_little(case, run: Path) -> None:
    path = export_onnx(run, int8=True)
    report = json.loads((run / "export" / "parity-int8.json").read_text("utf-8"))
    assert report.get("loss", report.get("mean_difference")) <= report["allowed"]
    assert len(Model(path).predict(case.asked)) == len(case.asked)


# --- figures ---


@every_case
def test_a_moved_run_evaluates_and_its_figures_are_those_of_the_validation(case, trained, moved, tmp_path):
    run, best = moved(case), Checkpoints(moved(case), print).best()
    validation = Checkpoints(run, print).manifest(best)["metrics"]
    with inside(tmp_path):
        measured = evaluate([run], split="valid", baseline=trained(case), output=str(tmp_path))
    found = {name: figure.value for name, figure in measured.figures.items()}
    few = len(json.loads((tmp_path / "valid.json").read_text("utf-8"))["slices"].get("class", {})) <= TOP
    names = case.entry.load("evaluation")(load_model(run, print).predictor, 1).names
    assert tuple(found) == tuple(name for name in names if name != "top5_accuracy" or not few)
    assert validation.keys() - found.keys() <= case.unlike.keys()
    for name in validation.keys() - case.unlike.keys():
        assert found[name] == pytest.approx(validation[name], rel=1e-5, abs=1e-5), name
    report = json.loads((tmp_path / "valid.json").read_text("utf-8"))
    assert report["baseline"]["not_compared"] == {}
    for name, difference in report["baseline"]["differences"].items():
        assert (difference["value"] == 0 or np.isnan(found[name])) and not difference["significant"], name


@each_of(TRAINED)
def test_the_figure_that_decides_is_one_of_the_meter(case, trained):
    config = load(trained(case) / "config.yaml")
    task = case.entry.load("task").of(config).open(config, trained(case) / "assets")
    assert task.best.metric in task.meter().names
    assert set(case.unlike) <= set(task.meter().names)
