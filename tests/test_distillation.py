"""`train.teacher`: soft targets as in the paper, of whoever can teach, and refusals by name of who cannot."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import config_path, events, sets
from test_contract import assert_same_bytes, weights
from torch.nn import functional

from bmtool.commands.loading import restore
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.engine.task import Loss
from bmtool.errors import ConfigError, DataError
from bmtool.nn.distillation import soft_nats

CNN, MLP, TABLE = "image-classification", "image-classification-mlp", "tabular-classification"
CAUSAL, MASKED = "language-model", "language-model-masked"


# --- the loss ---


def test_soft_targets_are_those_of_the_paper():
    """The gradient is that of the cross-entropy with the teacher's softened probabilities, times T squared."""
    torch.manual_seed(0)
    ours, theirs = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7)
    for temperature in (1.0, 4.0):
        (found,) = torch.autograd.grad(soft_nats(ours, theirs, temperature).sum(), ours)
        soft = (theirs / temperature).softmax(1)
        entropy = -(soft * (ours / temperature).log_softmax(1)).sum() * temperature**2
        (wanted,) = torch.autograd.grad(entropy, ours)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(found, temperature * ((ours / temperature).softmax(1) - soft))
    assert soft_nats(ours, ours, 2.0).abs().max() < 1e-6 and (soft_nats(ours, theirs, 2.0) > 0).all()
    moved = ours.detach() + 3.0
    torch.testing.assert_close(soft_nats(moved, theirs, 2.0), soft_nats(ours.detach(), theirs, 2.0))


@pytest.mark.parametrize("case", [CNN, TABLE, CAUSAL, MASKED])
def test_a_task_that_teaches_itself_is_where_its_teacher_is(case, trained):
    """Its own loss, and no distance; from another one there is a distance, summed over the same targets."""
    _, task, _ = restore(trained(case), print, device="cpu")
    _, teacher, _ = restore(trained(case), print, device="cpu")
    task.teacher = teacher
    batch = task.batches("valid", None)[0]
    hard, soft = task.taught(batch, 2.0)
    own = task.loss("model", batch)
    assert isinstance(hard, Loss) and hard.count == own.count
    torch.testing.assert_close(hard.total, own.total)
    assert abs(soft.item()) < 1e-3 and not task.refuses(teacher)
    with torch.no_grad():
        for parameter in teacher.modules["backbone"].parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert task.taught(batch, 2.0)[1].item() > 1e-3


def test_many_scores_are_compared_in_parts_with_the_same_gradient(trained, monkeypatch):
    _, task, _ = restore(trained(CAUSAL), print, device="cpu")
    _, task.teacher, _ = restore(trained(CAUSAL), print, device="cpu")
    with torch.no_grad():
        task.teacher.modules["backbone"].norm.weight.mul_(3.0)
    batch, found = task.batches("valid", None)[0], []
    for scores in (1 << 26, 8_000):
        monkeypatch.setattr("bmtool.text.backbones.build.SCORES", scores)
        hard, soft = task.taught(batch, 2.0)
        parameter = task.modules["backbone"].norm.weight
        found.append((hard.total, soft, *torch.autograd.grad(hard.total + soft, parameter)))
    for one, two in zip(*found):
        torch.testing.assert_close(one, two)


# --- a run ---


@pytest.mark.parametrize("case", [CNN, TABLE, CAUSAL, pytest.param(MASKED, marks=pytest.mark.slow)])
def test_a_student_comes_nearer_to_its_teacher(case, trained, settings, tmp_path):
    more = ["train.teacher_weight=1", "seed=7", "train.steps=40", "train.validate_every=40"]
    run = pretrain(config_path(case), settings(case, tmp_path / "run", f"train.teacher={trained(case)}", *more))
    lost = [event["train/loss"] for event in events(run) if "train/loss" in event]
    assert lost[-1] < 0.8 * lost[0]
    assert not [name for name in weights(run, 40) if "teacher" in name]
    assert json.loads((run / "run.json").read_text())["teacher"]["path"] == str(trained(case))


def test_a_share_of_the_loss_is_the_teachers(trained, settings, tmp_path):
    def first(*more: str) -> float:
        values = settings(MLP, tmp_path / f"run{len(list(tmp_path.iterdir()))}", "train.steps=1", *more)
        return events(pretrain(config_path(MLP), values))[0]["train/loss"]

    teacher = f"train.teacher={trained(MLP)}"
    hard, soft = first(), first(teacher, "train.teacher_weight=1")
    assert first(teacher, "train.teacher_weight=0.25") == pytest.approx(0.75 * hard + 0.25 * soft, rel=1e-5)


def test_a_run_that_was_stopped_is_the_one_that_was_not(trained, settings, tmp_path):
    teacher = f"train.teacher={trained(CNN)}"
    whole = pretrain(config_path(CNN), settings(CNN, tmp_path / "whole", teacher))
    values = settings(CNN, tmp_path / "stopped", teacher)
    pretrain(config_path(CNN), [*values, "train.stop_after=5"])
    pretrain(config_path(CNN), values)
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "stopped", 8))


def test_adapters_learn_from_a_teacher_and_a_run_of_them_teaches(trained, settings, tmp_path):
    lora = ["finetune.lora={rank: 2}", f"train.teacher={trained(CNN)}"]
    adapted = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "adapted", *lora))
    pretrain(config_path(CNN), settings(CNN, tmp_path / "run", f"train.teacher={adapted}"))


def test_a_head_alone_is_taught_with_images_and_not_with_features(trained, settings, tmp_path):
    """What a fixed backbone makes of them means nothing to another network."""
    more = [
        "finetune.train=head",
        "augment.crop=0",
        "augment.flip=0",
        "augment.erase=0",
        f"train.teacher={trained(CNN)}",
    ]
    finetune(config_path(MLP), trained(MLP), settings(MLP, tmp_path / "run", *more))
    with pytest.raises(ConfigError, match=r"balance: smote .* no teacher"):
        load(config_path(MLP), [*more, "balance=smote"])


def test_the_banner_and_the_card_name_the_teacher(trained, settings, tmp_path, invoke):
    values = settings(MLP, tmp_path / "run", f"train.teacher={trained(CNN)}", "train.teacher_temperature=4")
    result = invoke("pretrain", config_path(MLP), *sets(values))
    assert f"teacher: {trained(CNN)} (step-" in result.stderr
    assert "its answers are 0.5 of the loss, at temperature 4" in result.stderr
    assert invoke("evaluate", tmp_path / "run").exit_code == 0
    assert f"taught by: {trained(CNN).name} (0.5 of the loss, temperature 4)" in (
        tmp_path / "run" / "card.md"
    ).read_text("utf-8")


# --- who cannot teach ---


@pytest.mark.parametrize("case, other, message", [
    (CNN, "autoencoder", "is a run of autoencoder, and image-classification is to be learned"),
    (TABLE, "tabular-classification-lightgbm", "was fitted"),
    (CAUSAL, MASKED, "its objective is masked, and here it is causal"),
    ("tabular-regression-regression", "tabular-regression-regression", "it gives numbers"),
    ("autoencoder", "autoencoder", "autoencoder has no answers that another model could learn from"),
])  # fmt: skip
def test_who_cannot_teach_is_refused_and_leaves_no_run(case, other, message, trained, settings, tmp_path):
    with pytest.raises((ConfigError, DataError), match=message):
        pretrain(config_path(case), settings(case, tmp_path / "run", f"train.teacher={trained(other)}"))
    assert not (tmp_path / "run" / "run.json").exists()


def test_other_sizes_classes_and_tokens_are_refused_by_name(trained, settings, tmp_path):
    larger = ["data.size=12", f"data.prepared={tmp_path / 'larger'}"]
    fewer = [f"data.source={tmp_path / 'photos'}", f"data.prepared={tmp_path / 'fewer'}", "data.valid_share=0.2"]
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            _picture(tmp_path / "photos" / name / f"{number}.png", (ord(name), number))
    tokens = ["data.vocabulary_size=600", f"data.prepared={tmp_path / 'tokens'}"]
    for case, more, message in (
        (CNN, larger, "its data.size is 8, and here it is 12"),
        (CNN, fewer, "its classes are 0, 1, .* and here they are a, b"),
        (CAUSAL, tokens, r"its tokens are others \(800 of them, and 600 here\): .*data.tokenizer="),
        (CAUSAL, ["model.context=128"], "it reads 64 tokens, and model.context is 128"),
    ):
        with pytest.raises(DataError, match=message):
            pretrain(config_path(case), settings(case, tmp_path / "run", f"train.teacher={trained(case)}", *more))


def _picture(path, seed):
    from PIL import Image

    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 12), np.uint8)).save(path)


def test_a_teacher_that_has_changed_or_gone_is_said(trained, settings, tmp_path, invoke):
    teacher = shutil.copytree(trained(MLP), tmp_path / "teacher")
    values = settings(MLP, tmp_path / "run", f"train.teacher={teacher}")
    pretrain(config_path(MLP), [*values, "train.stop_after=4"])
    for path in (teacher / "checkpoints").glob("*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    result = invoke("pretrain", config_path(MLP), *sets(values))
    assert result.exit_code == 4 and "the teacher of" in result.stderr and "has changed" in result.stderr
    shutil.rmtree(teacher)
    result = invoke("pretrain", config_path(MLP), *sets(values))
    assert result.exit_code == 4 and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("setting", ["train.teacher_temperature=3", "train.teacher_weight=0.1"])
def test_settings_without_a_teacher_are_refused(setting):
    with pytest.raises(ConfigError, match="of no effect without teacher"):
        load(config_path(MLP), [setting])


def test_label_smoothing_and_class_weights_are_of_the_right_answers_alone(trained, settings, tmp_path):
    config = load(config_path(CNN), settings(CNN, "x", "loss={label_smoothing: 0.1, class_weights: true}"))
    _, task, _ = restore(trained(CNN), print, device="cpu")
    batch = task.batches("valid", None)[0]
    task.config = config
    task._weights = torch.linspace(0.5, 1.5, 10)
    _, task.teacher, _ = restore(trained(CNN), print, device="cpu")
    hard, soft = task.taught(batch, 2.0)
    wanted = functional.cross_entropy(
        task.scores(batch), batch.labels, weight=task._weights, label_smoothing=0.1, reduction="sum"
    )
    torch.testing.assert_close(hard.total, wanted)
    assert abs(soft.item()) < 1e-3
