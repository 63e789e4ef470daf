"""Hyper-parameters by trials: what may vary, what is proposed, how a study ends, and that it goes on wherever it was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import pytest
from cases import find
from conftest import ROOT, config_path, sets
from test_cli import fails

from bmtool import registry
from bmtool.commands import train
from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import pretrain
from bmtool.commands.tune import Plan, tune
from bmtool.config import editing, resuming
from bmtool.config.load import load, written
from bmtool.engine.run_dir import RunDir
from bmtool.errors import ConfigError, DataError, Interrupted, Untrainable
from bmtool.runs import finding
from bmtool.runs.summary import summed_up
from bmtool.tuning import space as spaces
from bmtool.tuning.effect import require_effect
from bmtool.tuning.study import Study

TABLE, TREES = "tabular-classification", "tabular-classification-lightgbm"


@pytest.fixture
def tuned(prepared, settings, tmp_path):
    """`tuned(case, plan, more...)`: a study in a folder of its own; returns what it found."""

    def run(case: str, plan: Plan, *more: str) -> dict:
        prepared(case)
        return tune(config_path(case), plan, settings(case, tmp_path / "run", *more))

    return run


def space(*texts: str, case: str = TABLE) -> spaces.Space:
    return spaces.read(list(texts), lambda varied: load(config_path(case), [], varied))


# --- what varies ---


@pytest.mark.parametrize("text, said", [
    ("optim.lr=1e-4..1e-2", "0.0001..0.01, log scale"),
    ("optim.lr=0.001..0.009", "0.001..0.009, linear scale"),
    ("model.dropout=0..0.5", "0..0.5, linear scale"),
    ("train.batch_size=8..64", "8..64, integers, linear scale"),
    ("train.batch_size=8..128", "8..128, integers, log scale"),
    ("model.activation=relu,tanh", "relu, tanh"),
    ("model.batch_norm=true,false", "true, false"),
    ("model.widths=[8],[16, 8]", "[8], [16, 8]"),
])  # fmt: skip
def test_ranges_and_lists_are_read_by_the_type_of_the_key(text, said):
    (held,) = space(text).described().values()
    assert held == said


def test_the_phases_of_a_gan_vary_too():
    held = space("optim.phases.generator.lr=1e-4..1e-2", case="gan")
    assert held.described() == {"optim.phases.generator.lr": "0.0001..0.01, log scale"}


def test_proposals_have_the_type_of_the_key_and_few_digits():
    found = space("optim.lr=1e-4..1e-2", "train.batch_size=8..64", "model.batch_norm=true,false")
    raw = {"optim.lr": 0.00123456, "train.batch_size": 9, "model.batch_norm": "false"}
    assert found.settings(raw) == {"optim.lr": 0.001235, "train.batch_size": 9, "model.batch_norm": False}
    assert found.settings({**raw, "optim.lr": 0.01})["optim.lr"] == 0.01
    exact = spaces.Span(0.1, 1.0, integer=False, own=0.123456)
    assert exact.value(0.123456) == 0.123456 and exact.value(0.654321) == 0.6543


@pytest.mark.parametrize("texts, words", [
    ([], ["needs --vary", "optim.lr=1e-4..1e-2"]),
    (["optim.lr"], ["--vary 'optim.lr'", "KEY=LOW..HIGH"]),
    (["optim..lr=1,2"], ["KEY=LOW..HIGH"]),
    (["optim.lrr=1e-4..1e-2"], ["--vary", "optim.lrr", "unknown key", "did you mean 'lr'"]),
    (["optim.lr=1..1000"], ["--vary", "optim.lr", "less than or equal to 100"]),
    (["optim.lr=1e-2..1e-4"], ["lower end comes first"]),
    (["optim.lr=a..b"], ["a number at both ends"]),
    (["optim.lr=0.1"], ["two values or more", "--set"]),
    (["optim.lr=0.1,0.1"], ["two values or more"]),
    (["train.batch_size=0.5..8"], ["train.batch_size", "expected an integer"]),
    (["model.activation=relu,tanhh"], ["did you mean 'tanh'"]),
    (["model.batch_norm=1,2"], ["expected true or false"]),
    (["optim.lr=1e-4..1e-2", "optim.lr=1,2"], ["varied twice"]),
    (["optim={lr: 1.0},{lr: 2.0}", "optim.lr=1,2"], ["varied twice"]),
    (["data.valid_share=0.1..0.3"], ["data.valid_share", "same prepared data"]),
    (["data={},[]"], ["data"]),
    (["run=a,b"], ["directory of its own"]),
    (["train.best=loss,auc"], ["--figure"]),
    (["train.log_every=1,2"], ["train.log_every", "not what is learned"]),
    (["train.keep_best=1,2"], ["not what is learned"]),
    (["finetune.train=all,head"], ["is for finetune"]),
    (["optim.momentum=0.1..0.9"], ["no effect with optim.name adamw", "sgd", "--set optim.name=sgd"]),
    (["schedule.factor=0.1..0.9", "schedule.name=cosine,linear"], ["no effect with schedule.name cosine, linear"]),
    (["schedule.warmup_steps=1..8"], ["schedule.warmup_steps", "fewer than train.steps"]),
])  # fmt: skip
def test_what_cannot_vary_is_refused_before_any_work(texts, words, invoke, tmp_path):
    more = sets([f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}"])
    result = invoke("tune", config_path(TABLE), *more, *(part for text in texts for part in ("--vary", text)))
    fails(result, 2, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", sorted(resuming.REPORTING | resuming.SITTING))
def test_what_only_reports_cannot_vary(key):
    below = {"card": "card.licence=mit,x", "tracking": "tracking=[],[mlflow]", "run": "run=a,b"}
    text = below.get(key, f"{key}=1,2")
    decides = key in ("train.patience", "train.keep_best", "train.average_best")
    if not decides:
        with pytest.raises(ConfigError, match=f"--vary {text.partition('=')[0]}: "):
            require_effect(space(text), load(config_path(TABLE)), finetunes=False)
    elif key == "train.patience":
        require_effect(space(text), load(config_path(TABLE)), finetunes=False)


def test_a_key_that_another_varied_key_makes_use_of_may_vary(tuned):
    plan = Plan(["optim.name=adamw,sgd", "optim.momentum=0.1..0.9"], trials=1)
    assert len(tuned(TABLE, plan)["trials"]) == 1


def test_keys_about_gradient_steps_are_refused_for_a_fitted_model(invoke, tmp_path):
    for text in ("optim.lr=1e-4..1e-2", "train.steps=10,20"):
        result = invoke("tune", config_path(TREES), "--vary", text, *sets([f"run={tmp_path / 'run'}"]))
        fails(result, 2, text.partition("=")[0], "fitted")


@pytest.mark.parametrize("options, words", [
    (["--trials", "0"], ["--trials"]),
    (["--time", "soon"], ["--time", "1h30m"]),
    (["--time", "0s"], ["--time"]),
    (["--seed", "-1"], ["--seed"]),
])  # fmt: skip
def test_wrong_options_are_refused(options, words, invoke):
    fails(invoke("tune", config_path(TABLE), "--vary", "optim.lr=1e-4..1e-2", *options), 2, *words)


def test_a_figure_that_there_is_not_is_refused_with_those_there_are(tuned):
    for case, vary in ((TABLE, "optim.lr=1e-4..1e-2"), (TREES, "model.rate=0.01..0.5")):
        with pytest.raises(ConfigError, match=r"no figure 'acuracy'; did you mean 'accuracy'.*macro_f1"):
            tuned(case, Plan([vary], figure="acuracy"))


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch, invoke):
    monkeypatch.setitem(sys.modules, "optuna", None)
    fails(invoke("tune", config_path(TABLE), "--vary", "optim.lr=1e-4..1e-2"), 2, "pip install optuna")


# --- what is proposed ---


def proposals(path: Path, count: int, *, seed: int, reopened: bool = False) -> list[dict]:
    """What a study proposes whose figure is best for a rate of 1e-3."""
    held = space("optim.lr=1e-5..1e-1", "model.activation=relu,tanh", "train.batch_size=8..64")
    study = Study(path, held, "loss", minimises=True, seed=seed)
    for _ in range(count):
        if reopened:
            study = Study(path, held, "loss", minimises=True, seed=seed)
        row = study.propose(None, count)
        study.complete(abs(float(row.raw["optim.lr"]) - 1e-3) + row.raw["train.batch_size"] / 1000)
    return [row.raw for row in study.rows()]


def test_the_same_seed_proposes_the_same_wherever_a_study_was_stopped(tmp_path):
    whole = proposals(tmp_path / "a", 12, seed=1)
    assert whole == proposals(tmp_path / "b", 12, seed=1, reopened=True)
    assert whole != proposals(tmp_path / "c", 12, seed=2)
    assert len({row["optim.lr"] for row in whole}) == 12


def test_few_combinations_are_each_tried_once(tuned):
    plan = Plan(["model.activation=relu,tanh", "model.batch_norm=true,false"], trials=9)
    rows = tuned(TABLE, plan, "train.steps=1")["trials"]
    assert len(rows) == 4 and len({json.dumps(row["values"]) for row in rows}) == 4
    assert rows[0]["values"] == {"model.activation": "relu", "model.batch_norm": False}, "the configuration comes first"


def test_values_that_were_tried_are_not_trained_again(tmp_path):
    held = space("model.activation=relu,tanh", "optim.lr=1e-5..1e-1")
    study = Study(tmp_path / "journal", held, "loss", minimises=True, seed=1)
    first = study.propose(None, 9)
    study.is_hopeless(4, 0.5)
    first = study.complete(0.5)
    study.propose({}, 9)
    again = study.repeat(first)
    assert (again.state, again.value, again.seen) == ("complete", 0.5, {4: 0.5})
    assert again.reason == "the same values as trial 1" and study.best().number == 1


# --- what comes of it ---


BAD = ("optim.lr=1.0e-4", "train.steps=12", "train.validate_every=2")


def test_tuning_finds_what_is_better_than_the_configuration(prepared, settings, invoke, tmp_path):
    prepared(TABLE)
    given = sets(settings(TABLE, tmp_path / "run", *BAD))
    asked = ["tune", config_path(TABLE), *given, "--vary", "optim.lr=1e-4..1e-1", "--trials", "8"]
    result = invoke(*asked, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    own, best = found["trials"][0], found["best"]
    assert (found["figure"], found["direction"], len(found["trials"])) == ("loss", "min", 8)
    assert own["values"] == {"optim.lr": 1e-4} and best["value"] < 0.9 * own["value"]
    assert {row["state"] for row in found["trials"]} == {"complete", "pruned"}
    assert "(best so far)" in result.stderr and f"bmtool pretrain {found['config']}" in result.stderr
    assert (tmp_path / "run-tune" / "tune.png").read_bytes()[:4] == b"\x89PNG"

    again = invoke(*asked)
    assert again.exit_code == 0 and "trial 8 of 8" not in again.stderr, "what has ended is not done again"
    assert "best" in again.stdout and f"{best['value']:.4f}" in again.stdout

    text = Path(found["config"]).read_text("utf-8")
    assert text.startswith(f"# bmtool pretrain {found['config']}\n# The best of 8 trials of {config_path(TABLE)}")
    assert "# the column to be learned" in text or "# of each hidden layer" in text, "comments stay"
    run = pretrain(found["config"])
    name = (run / "checkpoints" / "best").read_text("utf-8").strip()
    ours, theirs = (folder / "checkpoints" / name / "model.safetensors" for folder in (run, Path(best["run"])))
    assert ours.read_bytes() == theirs.read_bytes(), "the best configuration trains the best trial again"


def test_trials_are_runs_like_any_other_and_a_pruned_one_has_its_checkpoint(tuned):
    found = tuned(
        "image-classification-mlp", Plan(["optim.lr=1e-4..1e-1"], trials=8, figure="accuracy"), "train.validate_every=2"
    )
    assert found["direction"] == "max"
    complete = [row["value"] for row in found["trials"] if row["state"] == "complete"]
    assert found["best"]["value"] == max(complete)
    pruned = next(row for row in found["trials"] if row["state"] == "pruned")
    assert "accuracy" in pruned["remark"]
    for row in (found["best"], pruned):
        evaluate([row["run"]], split="valid")
    # The folder of the study is no run, those of its trials are.
    assert {str(path) for path in finding.found([found["study"]])} == {row["run"] for row in found["trials"]}
    config = load(Path(pruned["run"]) / "config.yaml")
    assert config.run == pruned["run"] and config.train.best == "accuracy"


def test_all_trials_have_the_precision_that_the_first_has_raced_for(tuned):
    first, second = tuned(TABLE, Plan(["optim.lr=1e-3..1e-1"], trials=2), "train.precision=auto")["trials"]
    assert load(Path(first["run"]) / "config.yaml").train.precision == "auto"
    assert load(Path(second["run"]) / "config.yaml").train.precision == RunDir(first["run"]).info()["precision"]


# A head on features, which nothing but a finetuning trains.
HEAD = ("finetune.train=head", "augment.crop=0", "augment.rotation=0")


def test_trials_are_finetuned_from_a_run(trained, tuned, tmp_path):
    parent = trained("image-classification")
    found = tuned("image-classification", Plan(["optim.lr=1e-3..1e-1"], trials=2, parent=parent), *HEAD)
    assert [row["state"] for row in found["trials"]] == ["complete", "complete"]
    assert RunDir(found["best"]["run"]).info()["parent"] == str(parent)
    best = Path(found["config"])
    assert best.read_text("utf-8").startswith(f"# bmtool finetune {best} --from {parent}\n")
    RunDir(found["best"]["run"]).note(ended=None)
    assert f"bmtool finetune {found['best']['run']}/config.yaml --from {parent}" in summed_up(found["best"]["run"]).why
    with pytest.raises(ConfigError, match="parent: "):
        tuned("image-classification", Plan(["optim.lr=1e-3..1e-1"], trials=3, parent=trained("autoencoder")), *HEAD)


def test_what_finetunes_and_has_nothing_to_start_from_is_refused_before_any_trial(tuned, tmp_path):
    with pytest.raises(ConfigError, match="--from"):
        tuned("image-classification", Plan(["optim.lr=1e-3..1e-1"], trials=2), *HEAD)
    assert not (tmp_path / "run-tune").exists()


def test_a_network_that_comes_with_weights_is_finetuned_without_a_run(tuned, monkeypatch):
    monkeypatch.setattr(
        registry.find("image-classification").load("task"), "pretrained_from", lambda config: Path("weights")
    )
    found = tuned("image-classification", Plan(["optim.lr=1e-3..1e-1"], trials=1), *HEAD)
    assert [row["state"] for row in found["trials"]] == ["complete"]
    assert Path(found["config"]).read_text("utf-8").startswith(f"# bmtool finetune {found['config']}\n")


def test_how_to_finetune_varies_where_trials_are_finetuned(tuned, trained):
    plan = Plan(["finetune.train=all,head"], trials=2, parent=trained("image-classification"))
    assert {row["state"] for row in tuned("image-classification", plan)["trials"]} == {"complete"}


def test_fitted_models_are_tuned_alike(tuned):
    found = tuned(TREES, Plan(["model.rate=0.01..0.5", "model.leaves=3..15"], trials=7, figure="auc"))
    assert found["direction"] == "max" and len(found["trials"]) == 7
    assert found["best"]["value"] == max(row["value"] for row in found["trials"] if row["state"] == "complete")


def test_text_is_tuned_alike(tuned):
    found = tuned("tagger", Plan(["optim.lr=1e-3..1e-2"], trials=2))
    assert [row["state"] for row in found["trials"]] == ["complete", "complete"]


def test_what_does_not_work_counts_as_failed_and_the_others_go_on(tuned, monkeypatch):
    trained = train.train
    errors = {8: Untrainable("step 3: the loss is nan"), 16: MemoryError(), 32: RuntimeError("can't allocate memory")}

    def sometimes(config, parent, **options):
        if config.train.batch_size in errors:
            raise errors[config.train.batch_size]
        return trained(config, parent, **options)

    monkeypatch.setattr(train, "train", sometimes)
    found = tuned(TABLE, Plan(["train.batch_size=8,16,32,64"], trials=4))
    assert {row["values"]["train.batch_size"]: row["state"] for row in found["trials"]} == {
        8: "failed", 16: "failed", 32: "failed", 64: "complete",
    }  # fmt: skip
    assert {row["remark"] for row in found["trials"]} == {"step 3: the loss is nan", "out of memory", ""}


def test_a_loss_that_is_no_number_fails_a_trial_and_all_failing_is_exit_6(prepared, settings, invoke, tmp_path):
    case = "tabular-regression-regression"
    prepared(case)
    given = sets(settings(case, tmp_path / "run", "optim={name: sgd, lr: 50.0, clip_norm: 0.0}", "train.steps=60"))
    result = invoke("tune", config_path(case), *given, "--vary", "optim.lr=90,100", "--trials", "2")
    fails(result, 6, "all 2 trials failed", "the loss is")
    assert "failed" in result.stdout and not (tmp_path / "run-tune" / "best.yaml").exists()


def test_values_that_do_not_go_together_fail_a_trial_with_the_reason(tuned):
    plan = Plan(["train.steps=4,8", "schedule.warmup_steps=1,6"], trials=4)
    rows = tuned(TABLE, plan, "schedule.warmup_steps=1", "train.steps=8")["trials"]
    failed = [row for row in rows if row["state"] == "failed"]
    assert [row["values"] for row in failed] == [{"train.steps": 4, "schedule.warmup_steps": 6}]
    assert "fewer than train.steps" in failed[0]["remark"]


def test_no_trial_begins_when_the_time_is_up(tuned, monkeypatch):
    now = iter([0.0, *range(0, 10_000, 50)])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    found = tuned(TABLE, Plan(["optim.lr=1e-4..1e-1"], trials=20, seconds=120.0))
    assert len(found["trials"]) == 3


# --- stopped and killed ---


PLAN = Plan(["optim.lr=1e-4..1e-1"], trials=3)
DIES = """
import os, signal, sys
from bmtool import cli
from bmtool.engine import plots
from bmtool.engine.session import Session
plots.curves = lambda events, folder: []
after = Session._after
def dying(self, stepped, until):
    after(self, stepped, until)
    if self.run.path.name == "002" and stepped.step == 6:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
Session._after = dying
cli.app(sys.argv[2:])
"""


def weights(folder: Path) -> dict[str, bytes]:
    """The weights of all trials, and their figures."""
    files = [*folder.glob("trials/*/checkpoints/*/model.safetensors"), *folder.glob("trials/*/checkpoints/best")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def values(found: dict) -> list:
    return [(row["state"], row["value"], row["values"], row["remark"]) for row in found["trials"]]


@pytest.mark.parametrize("name, code, ended", [("SIGKILL", -9, 1), ("SIGINT", 130, 1)])
def test_a_study_that_was_ended_in_the_middle_of_a_trial_goes_on(name, code, ended, tuned, settings, tmp_path):
    whole = tuned(TABLE, PLAN)
    shutil.move(tmp_path / "run-tune", tmp_path / "whole")
    more = ["--vary", PLAN.vary[0], "--trials", str(PLAN.trials), *sets(settings(TABLE, tmp_path / "run"))]
    done = subprocess.run(
        [sys.executable, "-c", DIES, name, "tune", config_path(TABLE), *more],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    if name == "SIGINT":
        assert f"stopped by a signal: {ended} of 3 trials have ended; the same command goes on" in done.stderr
        assert "best" in done.stdout and (tmp_path / "run-tune" / "best.yaml").is_file(), "what was found is shown"
    assert values(tuned(TABLE, PLAN)) == values(whole)
    assert weights(tmp_path / "run-tune") == weights(tmp_path / "whole")
    log = (tmp_path / "run-tune" / "trials" / "002" / "log.txt").read_text("utf-8")
    assert "resuming from step-0000000" in log, "a half trial is gone on with"


def test_a_half_fit_is_done_again(tuned, tmp_path, monkeypatch):
    plan, trained = Plan(["model.rate=0.01..0.5"], trials=3), train.train
    whole = tuned(TREES, plan)
    shutil.move(tmp_path / "run-tune", tmp_path / "whole")

    def stopped(config, parent, *, observer, **how):
        def hear(step, figures):
            observer(step, figures)
            if config.run.endswith("002"):
                raise Interrupted("stopped by a signal")

        return trained(config, parent, observer=hear, **how)

    monkeypatch.setattr(train, "train", stopped)
    with pytest.raises(Interrupted, match="1 of 3 trials have ended"):
        tuned(TREES, plan)
    monkeypatch.setattr(train, "train", trained)
    assert values(tuned(TREES, plan)) == values(whole)
    assert weights(tmp_path / "run-tune") == weights(tmp_path / "whole")


def test_a_trial_that_is_killed_again_and_again_fails(tuned, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(train, "train", interrupted)
    for _ in range(4):  # being stopped on purpose does not count
        with pytest.raises(Interrupted):
            tuned(TABLE, PLAN)
    monkeypatch.undo()
    held = space(*PLAN.vary)
    study = Study(tmp_path / "run-tune" / "journal.jsonl", held, "loss", minimises=True, seed=1)
    assert study.half().starts == 0
    study.start(3)
    first, *others = tuned(TABLE, PLAN)["trials"]
    assert (first["state"], first["remark"]) == ("failed", "killed 3 times (out of memory?)")
    assert {row["state"] for row in others} == {"complete"}


def test_more_trials_may_be_asked_for_later_and_another_study_is_refused(tuned):
    assert len(tuned(TABLE, Plan(PLAN.vary, trials=1))["trials"]) == 1
    assert len(tuned(TABLE, Plan(PLAN.vary, trials=2))["trials"]) == 2
    with pytest.raises(ConfigError, match=r"study of something else:\n  vary.optim.lr: .*\n.*--set run=DIR"):
        tuned(TABLE, Plan(["optim.lr=1e-4..1"], trials=2))
    with pytest.raises(ConfigError, match=r"model\.dropout: 0\.0 -> 0\.5"):
        tuned(TABLE, Plan(PLAN.vary, trials=2), "model.dropout=0.5")
    with pytest.raises(ConfigError, match="seed: 1 -> 2"):
        tuned(TABLE, Plan(PLAN.vary, trials=2, seed=2))


def test_a_torn_last_line_is_mended_and_a_damaged_journal_refused(tuned, tmp_path):
    plan = Plan(PLAN.vary, trials=1)
    whole = values(tuned(TABLE, plan))
    journal = tmp_path / "run-tune" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"wor')
    assert values(tuned(TABLE, plan)) == whole
    held = journal.read_bytes()
    for damage in (b"{}\n", b"[]\n", b"null\n", b'{"op_code": 99, "worker_id": "x"}\n', b"\xff\n", b"garbage\n"):
        for damaged in (damage + held, held + damage):
            journal.write_bytes(damaged)
            with pytest.raises(DataError, match=r"journal.jsonl is damaged: delete .*run-tune"):
                tuned(TABLE, plan)
    journal.write_bytes(held)
    for text in (None, "task: [\n", "task: none\n"):
        path = tmp_path / "run-tune" / "config.yaml"
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(DataError, match=r"config.yaml is damaged .*: delete .*run-tune to begin anew"):
            tuned(TABLE, plan)


def test_a_study_whose_trials_were_deleted_says_so(tuned, tmp_path, capsys):
    plan = Plan(["optim.lr=1e-3,1e-2,5e-2"], trials=3)
    best = tuned(TABLE, plan)["best"]
    shutil.rmtree(tmp_path / "run-tune" / "trials")
    capsys.readouterr()
    found = tuned(TABLE, plan)
    said = capsys.readouterr().err
    assert found["best"] == best | {"run": None} and "its run is gone" in said
    assert f"bmtool pretrain {tmp_path}/run-tune/best.yaml" in said and "evaluate" not in said and "None" not in said


# --- YAML with a key set ---


@pytest.mark.parametrize("text, path, value, wanted", [
    ("a: 1   # one\nb: 2\n", "a", 0.5, "a: 0.5 # one\nb: 2\n"),
    ("s:\n  a: 10  # ten\nt: 1\n", "s.a", 7, "s:\n  a: 7   # ten\nt: 1\n"),
    ("s:\n  a: 1  # one\nt: 1\n", "s.b", "x: y", "s:\n  a: 1  # one\n  b: 'x: y'\nt: 1\n"),
    ("s: {a: 1}  # both\n", "s.b", True, "s: {a: 1, b: true}  # both\n"),
    ("s: {a: 1}", "t.b.c", [1], "s: {a: 1}\nt: {b: {c: [1]}}\n"),
    ("s: [1, 2]  # list\n", "s", [3], "s: [3]     # list\n"),
])  # fmt: skip
def test_one_place_is_changed_and_comments_stay(text, path, value, wanted):
    assert editing.with_value(text, tuple(path.split(".")), value) == wanted


@pytest.mark.parametrize("text", ["s: |\n  a\n  b\n", "s:\n- a\n- b\n", "s:\n", "t: 1\ns: &x [1]\nu: *x\n"])
def test_what_takes_more_is_refused_or_seen(text):
    try:
        changed = editing.with_value(text, ("s", "t") if text == "s:\n" else ("s",), 1)
    except ConfigError:
        return
    assert "&x" in text and "&x" not in changed, "the alias is lost, which reading it shows"


def test_a_best_configuration_of_one_whose_values_stand_for_others_is_written(tmp_path):
    text = Path(config_path(TABLE)).read_text("utf-8")
    path, again = tmp_path / "anchored.yaml", tmp_path / "again.yaml"
    path.write_text("x-w: &w [8]\n" + text.replace("  widths: [16]", "  widths: *w"), "utf-8")
    assert "*w" in path.read_text("utf-8")
    keys = {"train.steps": 9, "model.widths": [4], "optim.lr": 0.5}
    for order in permutations(keys):
        again.write_text(written(path, ["seed=3"], {key: keys[key] for key in order}), "utf-8")
        assert load(again) == load(path, ["seed=3"], keys)


def test_a_configuration_that_cannot_be_edited_is_written_whole(tmp_path):
    text = Path(config_path(TABLE)).read_text("utf-8")
    path = tmp_path / "odd.yaml"
    path.write_text(
        text.replace("  widths: [16]", "  widths: &w [16]").replace("  steps: 8", "  steps: 8\nx-w: *w"), "utf-8"
    )
    path.write_text(text.replace("  lr: 1.0e-2", "  lr: &r 1.0e-2\n  sparse_lr: *r"), "utf-8")
    whole = written(path, ["train.steps=9"], {"optim.lr": 0.5})
    (tmp_path / "whole.yaml").write_text(whole, "utf-8")
    assert load(tmp_path / "whole.yaml") == load(path, ["train.steps=9"], {"optim.lr": 0.5})
    assert find(TABLE).config.optim.lr == 0.01
