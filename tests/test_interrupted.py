"""A run that was interrupted, wherever and however, is the run that was not: small runs of small networks on digits."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import DIGITS, GAN, events

from bmtool.commands import train
from bmtool.commands.selfcheck import differences
from bmtool.commands.train import pretrain
from bmtool.engine import checkpoint, ending, plots, run_dir
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.ranking import Ranking
from bmtool.engine.run_dir import RunDir
from bmtool.engine.session import Session
from bmtool.engine.trainer import Trainer
from bmtool.errors import ConfigError, DataError, Interrupted, ResourceError


@pytest.fixture(scope="module", autouse=True)
def _averaged():
    """The average is always better."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranking, "is_better_than_all", lambda self, value: True)
        yield


@pytest.fixture(scope="module")
def tied(classifier):
    """So little is learnt that validations tie; of eight checkpoints three are kept as best, two are averaged."""
    return [
        *classifier, "optim.lr=1e-6", "train.best=accuracy", "train.validate_every=1", "train.save_every=3", "train.keep_best=3",
        "train.average_best=2", "train.ema=0.5",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uneven(tied):
    """Validated, saved and logged at different steps."""
    return [
        *tied,
        "optim.lr=1e-2",
        "train.validate_every=3",
        "train.save_every=2",
        "train.steps=7",
        "train.log_every=2",
        "train.keep_last=2",
    ]


@pytest.fixture(scope="module")
def whole(uneven, tmp_path_factory):
    """A run of `uneven` that nothing interrupted."""
    return in_sittings(tmp_path_factory.mktemp("whole") / "run", uneven)


def in_sittings(run, settings, *sittings, config=DIGITS):
    """Several sittings, each with a setting of its own, and then the rest."""
    for more in sittings:
        pretrain(config, [*settings, f"run={run}", more])
    return pretrain(config, [*settings, f"run={run}"])


def stop_at(step: int) -> str:
    return f"train.stop_after={step}"


def described(run) -> dict:
    return json.loads((run / "run.json").read_text("utf-8"))


def contents(run) -> dict[str, bytes]:
    """All but the log."""
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "log.txt"}


# --- stops ---


def test_ties_go_to_the_earliest_wherever_a_run_was_stopped(tied, tmp_path):
    """`best`, what is kept, the average, metrics and curves, byte for byte."""
    one = in_sittings(tmp_path / "whole", tied)
    found = [event["valid/accuracy"] for event in events(one) if "valid/accuracy" in event]
    assert len(found) == 8 and found.count(max(found)) > 1
    kept = {path.name for path in (one / "checkpoints").glob("step-*")}
    assert f"step-{found.index(max(found)) + 1:08d}" in kept
    for stops in ((4,), (2, 5)):
        parts = in_sittings(tmp_path / repr(stops), tied, *map(stop_at, stops))
        assert differences(one, parts) == []


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_where_a_run_was_stopped_leaves_no_trace(stop, uneven, whole, tmp_path):
    """The checkpoint for stopping goes, the line of the log is no event, and what the end of a sitting averaged is gone."""
    parts = in_sittings(tmp_path / "run", uneven, stop_at(stop))
    assert differences(whole, parts) == []
    assert list(described(whole)) == list(described(parts))
    assert described(whole)["ended"] == described(parts)["ended"] == {"step": 7, "average_best": 2}


def test_a_signal_leaves_no_trace(uneven, whole, tmp_path, monkeypatch):
    after = Session._after

    def signalled(self, stepped, until):
        after(self, stepped, until)
        if stepped.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_after", signalled)
        with pytest.raises(Interrupted, match="after step 5, state saved"):
            in_sittings(tmp_path / "run", uneven)
    assert (tmp_path / "run" / "checkpoints" / "step-00000005").is_dir()
    assert described(tmp_path / "run")["ended"] is None
    assert differences(whole, in_sittings(tmp_path / "run", uneven)) == []


def test_early_stopping_is_the_same_after_a_stop_and_may_be_called_off(tied, tmp_path):
    settings = [*tied, "train.patience=2"]
    one = in_sittings(tmp_path / "whole", settings)
    ended = described(one)["ended"]["step"]
    assert 2 < ended < 8 and "stopping early" in (one / "log.txt").read_text()
    parts = in_sittings(tmp_path / "parts", settings, stop_at(1))
    assert differences(one, parts) == []
    assert described(in_sittings(parts, tied))["ended"]["step"] == 8
    assert differences(in_sittings(tmp_path / "patient", tied), parts) == []


# --- kills ---


class Killed(BaseException):
    """As nothing catches SIGKILL, nothing catches this; what `finally` does a kill would leave undone, see tests/stress."""


@contextmanager
def killed_at(monkeypatch, place: tuple[object, str], call: int, *, after: bool):
    """The process ends before or after a call of a function: the first is 1."""
    owner, name = place
    real, calls = getattr(owner, name), itertools.count(1)

    def killed(*arguments, **options):
        number = next(calls)
        if number == call and not after:
            raise Killed
        out = real(*arguments, **options)
        if number == call:
            raise Killed
        return out

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, killed)
        yield


SAVING = [
    *(((RunDir, "event"), call) for call in (1, 2, 5)),
    *(((Checkpoints, "_put"), call) for call in (1, 3)),
    *(((Checkpoints, "mark"), call) for call in (1, 2, 6)),
    *(((Checkpoints, "prune"), call) for call in (1, 3)),
    ((checkpoint.shutil, "rmtree"), 5),
]
# What comes after the checkpoint of the last step.
ENDING = [
    ((Session, "_finish"), 1), ((Session, "_average_best"), 1), ((RunDir, "keep"), 2), ((plots, "_curve"), 2), ((RunDir, "end"), 1),
]  # fmt: skip
BEGINNING = [
    *(((run_dir, name), 1) for name in ("write_bytes", "write_text", "write_json")), ((RunDir, "keep"), 1), ((Trainer, "draw"), 1),
]  # fmt: skip


def named(value):
    return f"{value[0].__name__.rpartition('.')[2]}.{value[1]}" if isinstance(value, tuple) else None


KILLS = [(*at, False) for at in BEGINNING + SAVING + ENDING] + [(*at, True) for at in SAVING if at[0][0] is Checkpoints]


@pytest.mark.parametrize("place, call, after", KILLS, ids=named)
def test_a_kill_leaves_no_trace(place, call, after, uneven, whole, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with killed_at(monkeypatch, place, call, after=after):
        in_sittings(run, uneven)
    assert differences(whole, in_sittings(run, uneven)) == []
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize("place, call", ENDING[1:4:2], ids=named)
def test_a_gan_that_was_killed_at_its_end_comes_to_it(place, call, digits, tmp_path, monkeypatch):
    settings = [
        *digits,
        "train.steps=4",
        "train.keep_best=2",
        "train.average_best=2",
        "optim.phases={generator: {lr: 0.002}}",
    ]
    one, run = in_sittings(tmp_path / "whole", settings, config=GAN), tmp_path / "run"
    with killed_at(monkeypatch, place, call, after=False):
        in_sittings(run, settings, config=GAN)
    assert differences(one, in_sittings(run, settings, config=GAN)) == []


def test_a_killed_run_that_had_stopped_early_comes_to_its_end(tied, tmp_path, monkeypatch):
    settings = [*tied, "train.patience=2"]
    one = in_sittings(tmp_path / "whole", settings)
    with killed_at(monkeypatch, (Session, "_finish"), 1, after=False):
        in_sittings(tmp_path / "run", settings)
    assert differences(one, in_sittings(tmp_path / "run", settings)) == []


def test_a_run_at_its_end_says_so_and_does_nothing(uneven, whole, tmp_path, monkeypatch):
    run = shutil.copytree(whole, tmp_path / "run")
    in_sittings(run, uneven)
    before = contents(run)
    for place in ((Trainer, "validate"), (Checkpoints, "save"), (Checkpoints, "prune"), (ending, "end")):
        monkeypatch.setattr(*place, None)
    monkeypatch.setattr(train, "end", None)
    in_sittings(run, uneven)
    assert contents(run) == before
    assert "nothing left to do: 7 of 7 steps are done" in (run / "log.txt").read_text().splitlines()[-1]


def test_another_setting_of_the_end_is_another_end(uneven, whole, tmp_path):
    run = in_sittings(shutil.copytree(whole, tmp_path / "run"), [*uneven, "train.average_best=0"])
    assert not (run / "checkpoints" / "averaged").exists()
    assert (run / "checkpoints" / "best").read_text().startswith("step-")
    assert differences(whole, in_sittings(run, uneven)) == []


def test_too_few_checkpoints_to_average_are_said(classifier, tmp_path):
    run = in_sittings(tmp_path / "run", [*classifier, "train.steps=2", "train.keep_best=2", "train.average_best=2"])
    assert "no average: of the 2 best checkpoints there are 1" in (run / "log.txt").read_text()


def test_kill_9_of_a_training_with_loader_workers_leaves_its_run_free_at_once(uneven, whole, tmp_path):
    run = tmp_path / "run"
    endless = [*uneven, f"run={run}", "train.workers=2", "train.steps=1000000", "train.validate_every=1000000"]
    training = multiprocessing.get_context("fork").Process(target=pretrain, args=(DIGITS, endless))
    training.start()
    while not (run / "checkpoints" / "last").exists():
        training.join(0.01)
        assert training.exitcode is None
    workers = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    with pytest.raises(ResourceError, match="in use"), RunDir(run).lock():
        pass
    training.kill()
    training.join()
    alive = [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    with RunDir(run).lock():
        pass
    assert len(alive) == 2


# --- checkpoints that are damaged ---


def half_deleted(path):
    (path / "model.safetensors").unlink()


def torn(path):
    (path / "state.pt").write_bytes((path / "state.pt").read_bytes()[:-1])


def emptied(path):
    shutil.rmtree(path)
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [half_deleted, torn, emptied, lambda path: (path / "manifest.json").write_text("[]")]
)
def test_an_old_checkpoint_that_is_damaged_never_stops_a_restart(damage, uneven, tmp_path):
    """Any of them: the ranked ones leave the ranking; each is said once."""
    stopped = in_sittings(tmp_path / "stopped", [*uneven, stop_at(6)])
    *old, newest = Checkpoints(stopped, print).names()
    assert newest == "step-00000006" and len(old) == 2
    for name in old:
        run = shutil.copytree(stopped, tmp_path / name)
        damage(run / "checkpoints" / name)
        log = (in_sittings(run, uneven) / "log.txt").read_text()
        assert f"resuming from {newest}" in log and log.count(f"checkpoint {name} is damaged and left out") == 1
        assert Checkpoints(run, print).best() != name and name not in os.listdir(run / "checkpoints")
        (run / "log.txt").unlink()
        assert "damaged" not in (in_sittings(run, uneven) / "log.txt").read_text()


def test_a_best_checkpoint_that_was_deleted_leaves_the_ranking(uneven, tmp_path):
    run = in_sittings(tmp_path / "run", [*uneven, stop_at(6)])
    shutil.rmtree(run / "checkpoints" / "step-00000003")
    log = (in_sittings(run, uneven) / "log.txt").read_text()
    assert log.count("checkpoint step-00000003 is damaged and left out: there is none") == 1


def test_the_newest_being_damaged_costs_its_steps_and_nothing_else(uneven, whole, tmp_path):
    run = in_sittings(tmp_path / "run", uneven, stop_at(6))
    half_deleted(run / "checkpoints" / "step-00000007")
    assert differences(whole, in_sittings(run, uneven)) == []
    assert "step-00000007 cannot be used: model.safetensors is missing; trying another" in (run / "log.txt").read_text()


def test_an_end_that_was_reached_before_is_not_taken_for_the_one_that_a_kill_cut_off(
    uneven, whole, tmp_path, monkeypatch
):
    """The newest is damaged after the end: its step is taken again, and the same end comes again."""
    run = shutil.copytree(whole, tmp_path / "run")
    half_deleted(run / "checkpoints" / "step-00000007")
    with killed_at(monkeypatch, (Session, "_finish"), 1, after=False):
        in_sittings(run, uneven)
    assert differences(whole, in_sittings(run, uneven)) == []


# --- facts ---


def test_a_run_keeps_the_facts_that_it_began_with_and_is_told_those_it_did_not_know(uneven, whole, tmp_path):
    run = RunDir(shutil.copytree(whole, tmp_path / "run"))
    config, before = run.config(), run.info()
    facts = {key: before[key] for key in ("data_hash", "parent", "prepared")}
    run.begin(config, facts | {"seed": 2, "new": "known since"}, dict)
    assert run.info() == before | {"new": "known since"}
    run.begin(config, facts | {"new": "other"}, dict)
    assert run.info()["new"] == "known since"
    with pytest.raises(ConfigError, match="data_hash"):
        run.begin(config, facts | {"data_hash": "other"}, dict)


@pytest.mark.parametrize("name, call", [("write_json", 1), ("write_text", 1), ("write_json", 2)])
def test_a_configuration_that_changes_is_known_all_the_while_and_alone_in_the_end(
    name, call, whole, tmp_path, monkeypatch
):
    """A kill anywhere leaves one that run.json knows; afterwards it knows no other, so that the old one would be damage."""
    run = RunDir(shutil.copytree(whole, tmp_path / "run"))
    old, facts = run.config(), {key: run.info()[key] for key in ("data_hash", "parent", "prepared")}
    new, text = old.model_copy(update={"run": str(run.path)}), (run.path / "config.yaml").read_text()
    with killed_at(monkeypatch, (run_dir, name), call, after=False):
        run.begin(new, facts, dict)
    assert run.config() in (old, new)
    run.begin(new, facts, dict)
    assert run.config() == new
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"not what run\.json says"):
        run.config()


# --- what selfcheck compares ---


def one_line_less(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    "part, change",
    [
        ("checkpoints/best", lambda path: path.write_text("step-00000003\n")), ("checkpoints/step-00000007/state.pt", torn),
        ("checkpoints/step-00000006/model.safetensors", None), ("checkpoints/averaged/manifest.json", None),
        ("metrics.jsonl", one_line_less), ("plots/accuracy.png", None), ("assets/labels.json", None),
    ],
)  # fmt: skip
def test_selfcheck_sees_whatever_differs(part, change, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    assert differences(whole, run) == []
    (change or os.unlink)(run / part) if change is not torn else torn((run / part).parent)
    assert differences(whole, run) == differences(run, whole) == [part]
