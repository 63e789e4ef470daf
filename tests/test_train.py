"""What decides, what is kept and what is written, whatever the task: small runs of small networks on digits."""

import json

import pytest
import torch
from conftest import DIGITS, GAN, events
from torch import nn

from bmtool import registry
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.ranking import Ranking, shown
from bmtool.engine.task import Best
from bmtool.engine.trainer import Stepped, Trainer
from bmtool.engine.window import Window
from bmtool.errors import ConfigError

# --- the figure that decides ---


@pytest.mark.parametrize("figure, choose_best", [("macro_f1", max), ("ece", min)])
def test_any_figure_may_decide(figure, choose_best, classifier, tmp_path):
    run = pretrain(DIGITS, [*classifier, f"run={tmp_path / 'run'}", f"train.best={figure}", "train.keep_best=4"])
    seen = {event["step"]: event[f"valid/{figure}"] for event in events(run) if f"valid/{figure}" in event}
    best = int((run / "checkpoints" / "best").read_text().strip().removeprefix("step-"))
    assert seen[best] == choose_best(seen.values())
    kind = {"macro_f1": "max", "ece": "min"}[figure]
    assert json.loads((run / "run.json").read_text())["best"] == {"metric": figure, "mode": kind}
    assert f"valid  {figure} " in (run / "log.txt").read_text()


def test_a_figure_that_there_is_not_is_refused_with_those_there_are(classifier, tmp_path):
    with pytest.raises(ConfigError, match=r"no figure 'macro_f'; did you mean 'macro_f1'.*accuracy, top5_accuracy"):
        pretrain(DIGITS, [*classifier, f"run={tmp_path / 'run'}", "train.best=macro_f"])


def test_the_line_shows_what_decides_the_first_figure_and_three_errors_at_most():
    metrics = {"accuracy": 0.5, "rmse": 4.0, "loss": 1.0, "auc": 0.75, "mae": 3.0, "mse": 2.0}
    assert shown(metrics, Best("auc", "max")) == "auc 0.7500  accuracy 0.5000  rmse 4.0000  loss 1.0000  mae 3.0000"
    assert shown(metrics, Best("loss", "min")).startswith("loss 1.0000  accuracy 0.5000  rmse 4.0000  mae")


def test_a_ranking_keeps_the_best_and_never_nan():
    ranking = Ranking(Best("loss", "min"), keep=2)
    assert [ranking.see(value) for value in (float("nan"), 3.0, 4.0, 3.0, float("nan"), 2.0)] == [0, 1, 0, 0, 0, 1]
    assert (ranking.value, ranking.waited) == (2.0, 0)
    assert not ranking.see(3.0) and not ranking.see(float("nan")) and ranking.waited == 1
    for name, value in (("a", 3.0), ("b", float("nan")), ("c", 1.0), ("d", 3.0), ("e", 2.0)):
        ranking.enter([(value, name)])
    assert ranking.names == ["c", "e"]
    assert ranking.is_better_than_all(0.5) and not ranking.is_better_than_all(1.0)


# --- phases and helpers ---


def make_trainer(path, settings) -> Trainer:
    config = load(path, settings)
    return Trainer(registry.find(config.task).load("task").fresh(config), config, choose(config.train))


def test_a_phase_has_its_own_optimizer_settings(digits, tmp_path):
    settings = [
        *digits,
        f"run={tmp_path / 'run'}",
        "optim={lr: 0.01, phases: {generator: {lr: 0.002, betas: [0.5, 0.9]}}}",
    ]
    pretrain(GAN, [*settings, "train.steps=1"])
    trainer = make_trainer(GAN, settings)
    groups = {phase: made._all[0].param_groups[0] for phase, made in trainer.optimizers.items()}
    assert {phase: (group["base_lr"], group["betas"]) for phase, group in groups.items()} == {
        "discriminator": (0.01, (0.9, 0.98)), "generator": (0.002, (0.5, 0.9)),
    }  # fmt: skip


def test_a_phase_that_there_is_not_is_refused_with_those_there_are(digits, tmp_path):
    with pytest.raises(ConfigError, match=r"optim.phases.generatr.*did you mean 'generator'.*discriminator, generator"):
        pretrain(GAN, [*digits, f"run={tmp_path / 'run'}", "optim={phases: {generatr: {lr: 0.1}}}"])
    assert not (tmp_path / "run").exists()


def test_helpers_are_fixed_and_never_saved(classifier, tmp_path):
    pretrain(DIGITS, [*classifier, f"run={tmp_path / 'run'}", "train.steps=1"])
    config = load(DIGITS, [*classifier, f"run={tmp_path / 'run'}"])
    task = registry.find(config.task).load("task").fresh(config)
    helper = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    task.helpers = {"teacher": helper}
    trainer = Trainer(task, config, choose(config.train))
    before = helper[0].weight.clone()
    list(trainer.run(2))
    trainer.validate()
    assert not any(p.requires_grad for p in helper.parameters()) and not helper[1].training
    assert torch.equal(helper[0].weight, before)
    assert not any("teacher" in name for name in [*trainer.named, *trainer.tensors(), *trainer.weights()])


# --- what is logged ---


def test_examples_a_second_are_logged_where_the_unit_is_another():
    window = Window()
    window.add(Stepped(1, {"model": 2.0}, {"model": 1.0}, 0.5, tokens=40, examples=4, elapsed_s=2.0))
    window.add(Stepped(2, {"model": 1.0}, {"model": 0.0}, 0.5, tokens=20, examples=2, elapsed_s=1.0))
    assert window.figures(0.5, "tokens") == {
        "train/loss": 1.5, "train/grad_norm": 0.5, "train/rate_factor": 0.5, "train/tokens_per_s": 20.0, "train/examples_per_s": 2.0,
    }  # fmt: skip
    assert window.line(2, 4, "tokens").startswith("step 2/4  loss 1.5000  20 tokens/s  left ")
    same = Window(steps=1, tokens=3, examples=3, elapsed_s=1.0)
    assert "train/examples_per_s" not in same.figures(1.0, "images")
