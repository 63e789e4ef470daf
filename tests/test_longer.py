"""A run that is trained for longer is the one that was planned so from its start, or it is refused."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator

import pytest
import torch
from cases import CASES
from conftest import DIGITS, events
from pydantic import BaseModel
from test_interrupted import killed_at

from bmtool.commands.evaluate import evaluate
from bmtool.commands.selfcheck import differences
from bmtool.commands.train import finetune, pretrain
from bmtool.config import resuming
from bmtool.config.schema import BaseConfig, Schedule
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.optim import rate_factor, settled_steps
from bmtool.engine.run_dir import RunDir
from bmtool.engine.session import Session
from bmtool.errors import ConfigError
from bmtool.runs.summary import summed_up

NAMES = ["constant", "linear", "cosine", "exponential", "step", "inverse_sqrt", "plateau", "wsd"]


@pytest.fixture(scope="module")
def settings(classifier):
    return [
        *classifier, "schedule.name=constant", "train.validate_every=2", "train.save_every=2", "train.log_every=2", "train.keep_best=2",
        "train.average_best=2", "train.ema=0.5",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def wsd(settings):
    return [*settings, "schedule={name: wsd, decay_steps: 3, final: 0.0}", "train.keep_last=1"]


def trained(run, settings, *steps: int):
    """A run that is planned for one number of steps after another."""
    for count in steps:
        pretrain(DIGITS, [*settings, f"run={run}", f"train.steps={count}"])
    return run


def described(run) -> dict:
    return json.loads((run / "run.json").read_text("utf-8"))


def log(run) -> str:
    return (run / "log.txt").read_text("utf-8")


# --- what the schedules allow ---


@pytest.mark.parametrize("name", NAMES)
def test_settled_steps_are_those_whose_rate_is_the_same_in_a_longer_training(name):
    for warmup, steps, more in itertools.product((0, 3), (8, 12), (1, 5)):
        schedule = Schedule(name=name, warmup_steps=warmup, decay_steps=4, step_every=3)
        settled = settled_steps(steps, schedule)
        same = [rate_factor(s, steps, schedule) == rate_factor(s, steps + more, schedule) for s in range(steps)]
        assert all(same[:settled])
        assert settled == steps or not settled or not same[settled]


def test_a_run_goes_on_as_the_one_that_was_planned_so(settings, tmp_path):
    """Weights, optimizers, what is best, metrics and curves; run.json says what was changed."""
    whole, longer = trained(tmp_path / "whole", settings, 12), trained(tmp_path / "longer", settings, 6, 10, 12)
    assert differences(whole, longer) == []
    assert described(longer)["changes"] == [
        {"step": 6, "changed": ["train.steps: 6 -> 10"]}, {"step": 10, "changed": ["train.steps: 10 -> 12"]},
    ]  # fmt: skip
    assert described(longer)["ended"] == described(whole)["ended"] == {"step": 12, "average_best": 2}
    said = (
        "train.steps: 6 -> 10\n",
        "going on from step-00000006 to 10 steps, as a run that was planned so from its start\n",
    )
    assert all(line in log(longer) for line in said)
    assert evaluate([longer]).examples > 0


@pytest.mark.parametrize("first", [7, 9])
def test_what_only_an_end_has_is_taken_back(first, settings, tmp_path):
    """The last step of a training is logged and validated though its turn has not come, which may decide what is best."""
    uneven = [
        *settings,
        "train.validate_every=4",
        "train.save_every=2",
        "train.log_every=3",
        "train.keep_best=1",
        "train.average_best=0",
    ]
    whole, longer = trained(tmp_path / "whole", uneven, 12), trained(tmp_path / "longer", uneven, first, 12)
    assert differences(whole, longer) == []
    assert f"going on from step-0000000{first - 1} to 12 steps" in log(longer)
    assert "; the 1 steps after it are taken anew" in log(longer)


def test_an_end_that_cannot_be_taken_back_is_said(settings, tmp_path):
    """The weights are those of the longer training, its first validation is not."""
    rare = [*settings, "train.validate_every=100", "train.save_every=100", "train.average_best=0"]
    whole, longer = trained(tmp_path / "whole", rare, 8), trained(tmp_path / "longer", rare, 5, 8)
    assert "that its last step was logged and validated as the last counts" in log(longer)
    ours, theirs = (Checkpoints(run, print).weights("step-00000008") for run in (whole, longer))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert [e["step"] for e in events(longer) if "valid/accuracy" in e] == [5, 8]


def test_wsd_goes_on_from_before_the_rate_fell(wsd, tmp_path):
    whole, longer = trained(tmp_path / "whole", wsd, 14), trained(tmp_path / "longer", wsd, 10)
    assert {"step-00000008", "step-00000010"} <= set(Checkpoints(longer, print).names())
    trained(longer, wsd, 14)
    assert differences(whole, longer) == []
    assert "going on from step-00000008 to 14 steps, as a run that was planned so from its start; the 2 steps" in log(
        longer
    )
    assert described(longer)["resume_from"] is None


def test_wsd_may_come_to_its_decay_sooner(wsd, tmp_path):
    whole, shorter = trained(tmp_path / "whole", wsd, 9), tmp_path / "shorter"
    pretrain(DIGITS, [*wsd, f"run={shorter}", "train.steps=100", "train.stop_after=6"])
    assert differences(whole, trained(shorter, wsd, 9)) == []


PLACES = [
    (RunDir, "change"),
    (RunDir, "begin"),
    (Session, "resume"),
    (RunDir, "forget_after"),
    (Session, "_tidy"),
    (Checkpoints, "prune"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
def test_a_kill_while_it_goes_back_leaves_no_trace(place, after, wsd, tmp_path, monkeypatch):
    run = trained(tmp_path / "run", wsd, 10)
    with killed_at(monkeypatch, place, 1, after=after):
        trained(run, wsd, 14)
    has_begun = place != PLACES[0] or after
    assert summed_up(run).state == ("interrupted" if has_begun else "finished")
    whole = trained(tmp_path / "whole", wsd, 14)
    assert differences(whole, trained(run, wsd, 14)) == []
    assert len(described(run)["changes"]) == 1


@pytest.mark.parametrize("stop, goes_on", [
    (["train.stop_after=6"], ["train.stop_after=null"]), (["train.patience=1", "optim.lr=1e-9"], ["train.patience=0", "optim.lr=1e-9"]),
])  # fmt: skip
def test_a_run_that_was_at_its_end_is_interrupted_once_more_steps_are_asked_for(
    stop, goes_on, settings, tmp_path, monkeypatch
):
    run, asked = tmp_path / "run", [*settings, f"run={tmp_path / 'run'}", "train.steps=20"]
    pretrain(DIGITS, [*asked, *stop])
    assert summed_up(run).state == "finished"
    with killed_at(monkeypatch, (Session, "resume"), 1, after=False):
        pretrain(DIGITS, [*asked, *goes_on])
    assert summed_up(run).state == "interrupted" and "goes on" in summed_up(run).why


def test_wsd_without_a_checkpoint_of_before_is_refused(wsd, tmp_path):
    run = trained(tmp_path / "run", wsd, 10)
    for name in Checkpoints(run, print).names()[:-1]:
        shutil.rmtree(run / "checkpoints" / name)
    with pytest.raises(
        ConfigError,
        match=rf"10 -> 14: no checkpoint .* 3 steps before the end; .*bmtool finetune {run}/config.yaml --from {run} --set",
    ):
        trained(run, wsd, 14)


@pytest.mark.parametrize("name", ["linear", "cosine", "exponential"])
def test_a_rate_that_falls_over_all_steps_is_refused_with_the_way_out(name, settings, tmp_path, invoke):
    falling = [*settings, f"schedule.name={name}"]
    run = trained(tmp_path / "run", falling, 4)
    before = (run / "run.json").read_bytes()
    with pytest.raises(ConfigError, match=rf"schedule.name {name} falls over all steps") as refused:
        trained(run, falling, 8)
    assert (run / "run.json").read_bytes() == before
    done = invoke(*re.search("`bmtool (.*)`", str(refused.value))[1].split())
    assert done.exit_code == 0, done.stderr
    assert described(tmp_path / "run-8")["ended"]["step"] == 4


def test_fewer_steps_than_are_done_are_refused(settings, tmp_path):
    run = trained(tmp_path / "run", settings, 6)
    with pytest.raises(ConfigError, match="has 6 steps behind it, 4 are fewer"):
        trained(run, settings, 4)


def test_early_stopping_stays_right(settings, tmp_path):
    """It waits as long as in one training; with more patience it goes on."""
    still = [*settings, "optim.lr=1e-9", "train.ema=0", "train.average_best=0", "train.patience=3"]
    whole, longer = trained(tmp_path / "whole", still, 40), trained(tmp_path / "longer", still, 4, 40)
    assert differences(whole, longer) == []
    ended = described(longer)["ended"]["step"]
    assert ended == described(whole)["ended"]["step"] == 8
    pretrain(DIGITS, [*still, f"run={longer}", "train.steps=40", "train.patience=5"])
    assert described(longer)["ended"]["step"] == 12
    assert described(longer)["changes"][-1] == {"step": 8, "changed": ["train.patience: 3 -> 5"]}


def test_a_finetuning_goes_on_too(settings, tmp_path):
    parent = trained(tmp_path / "parent", settings, 4)
    for run, counts in ((tmp_path / "whole", [8]), (tmp_path / "longer", [4, 8])):
        for steps in counts:
            finetune(DIGITS, parent, [*settings, f"run={run}", f"train.steps={steps}"])
    assert differences(tmp_path / "whole", tmp_path / "longer") == []


# --- what else may change ---


def test_what_concerns_reporting_may_change_and_is_said(settings, tmp_path):
    run = trained(tmp_path / "run", settings, 4)
    other = [
        "train.validate_every=4",
        "train.log_every=3",
        "train.save_every=3",
        "train.keep_best=3",
        "train.keep_last=3",
    ]
    trained(run, [*settings, *other], 8)
    (change,) = described(run)["changes"]
    assert change["step"] == 4 and len(change["changed"]) == 6
    assert all(f" {line}\n" in log(run) for line in change["changed"])
    assert [e["step"] for e in events(run) if "valid/accuracy" in e] == [2, 4, 8]
    weights = Checkpoints(trained(tmp_path / "whole", settings, 8), print).weights("step-00000008")
    assert all(
        torch.equal(value, weights[key]) for key, value in Checkpoints(run, print).weights("step-00000008").items()
    )


def test_validations_that_decide_the_rate_may_not_change(settings, tmp_path):
    follows = [*settings, "schedule.name=plateau"]
    run = trained(tmp_path / "run", follows, 4)
    with pytest.raises(ConfigError, match=r"train.validate_every: 2 -> 4 \(the rate of schedule.name plateau follows"):
        trained(run, [*follows, "train.validate_every=4"], 4)


def test_what_is_computed_is_refused_by_name(settings, tmp_path):
    run = trained(tmp_path / "run", settings, 4)
    with pytest.raises(ConfigError, match=r"(?s)optim.lr: .* -> 0.5\n.*train.batch_size: 64 -> 32\n"):
        trained(run, [*settings, "optim.lr=0.5", "train.batch_size=32", "train.log_every=1"], 8)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration; sections that are one of several kinds count as one."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if (
            isinstance(inner, type)
            and issubclass(inner, BaseModel)
            and prefix + name not in set().union(*resuming.GROUPS)
        ):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


CONFIGS: list[type[BaseConfig]] = list(dict.fromkeys(type(case.config) for case in CASES))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__module__)
def test_every_key_says_whether_it_may_change(config):
    """A new key belongs into one of the groups of config/resuming.py."""
    assert [key for key in _keys(config) if resuming.group_of(key) is None] == []


def test_the_groups_name_keys_that_there_are_each_once():
    named = sorted(itertools.chain(*resuming.GROUPS))
    assert len(set(named)) == len(named)
    assert set(named) <= {key for config in CONFIGS for key in _keys(config)}
