"""What every task promises, over the registry and every kind of model: see bmtool/engine/task.py."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import KINDS, ROOT, bmtool, config_path
from safetensors.torch import load_file
from torch.utils._pytree import tree_leaves

from bmtool import registry
from bmtool.chinese.syllables import SYLLABLES
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer, seed_everything
from bmtool.tasks.pinyin2hanzi.predict import translate
from bmtool.tasks.pinyin2hanzi.task import Task
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID

kinds = pytest.mark.parametrize("kind", list(KINDS))


def make_trainer(config) -> Trainer:
    seed_everything(config.seed)
    return Trainer(registry.find(config.task).load("task")(config), config, choose(config.train))


def weights(run, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


def assert_same_bytes(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("name", list(registry.TASKS))
def test_every_part_of_every_task_can_be_imported(name):
    entry = registry.TASKS[name]
    assert all(entry.load(part) for part in entry.PARTS)


def test_preparing_twice_gives_the_same_bytes_and_does_nothing(prepared, overrides, tmp_path):
    again = prepare_data(config_path("tagger"), overrides("tagger", "run", f"data.prepared={tmp_path / 'again'}"))
    first = json.loads((prepared / "manifest.json").read_text("utf-8"))
    assert again["data_hash"] == first["data_hash"]
    before = (prepared / "manifest.json").stat().st_mtime_ns
    prepare_data(config_path("tagger"), overrides("tagger"))
    assert (prepared / "manifest.json").stat().st_mtime_ns == before


@kinds
def test_loss_on_one_batch_falls_by_half(kind, prepared, overrides):
    trainer = make_trainer(
        load(
            config_path(kind),
            overrides(kind, "x", "optim.lr=0.005", "schedule.name=constant", "schedule.warmup_steps=0"),
        )
    )
    batch = trainer.task.batches("train", 1)[0]
    losses = [trainer._update("model", [batch], 1.0)[0] for _ in range(60)]
    assert losses[-1] < losses[0] / 2


@kinds
def test_accumulated_gradient_is_that_of_all_targets_together(kind, prepared, overrides):
    config = load(config_path(kind), overrides(kind))
    trainer = make_trainer(config)
    batches = [trainer.task.batches("train", 1)[position] for position in range(3)]
    losses = [trainer.task.loss("model", batch) for batch in batches]
    (sum(loss.total for loss in losses) / sum(loss.count for loss in losses)).backward()
    optimizers = trainer.optimizers["model"]
    optimizers.coalesce()
    optimizers.finish_gradients(1)
    optimizers.step()
    other = make_trainer(config)
    other._update("model", batches, 1.0)
    for name, value in trainer.tensors().items():
        torch.testing.assert_close(value, other.tensors()[name], atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind, stop", [*((kind, 3) for kind in KINDS), ("tagger", 4), ("tagger", 5)])
def test_a_resumed_run_is_the_same_run(kind, stop, prepared, overrides, tmp_path):
    more = ["model.dropout=0.2", "train.ema=0.9", "train.accumulate=2"]
    whole = pretrain(config_path(kind), overrides(kind, tmp_path / "whole", *more))
    parts = overrides(kind, tmp_path / "parts", *more)
    pretrain(config_path(kind), [*parts, f"train.stop_after={stop}"])
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    pretrain(config_path(kind), [*parts, "train.workers=2"])
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "parts", 8))
    states = [
        torch.load(run / "checkpoints" / "step-00000008" / "state.pt", weights_only=True)
        for run in (whole, tmp_path / "parts")
    ]
    leaves = [tree_leaves(state["trainer"]) for state in states]
    assert len(leaves[0]) == len(leaves[1]) > len(weights(whole, 8))
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(*leaves))
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_the_average_of_the_best_is_kept_only_if_it_is_better(prepared, overrides, tmp_path):
    more = ["train.steps=24", "train.keep_best=3", "train.average_best=3", "optim.lr=0.01"]
    run = pretrain(config_path("tagger"), overrides("tagger", tmp_path / "run", *more))
    best = (run / "checkpoints" / "best").read_text().strip()
    metrics = {
        p.name: json.loads((p / "manifest.json").read_text())["metrics"]
        for p in (run / "checkpoints").iterdir()
        if p.is_dir()
    }
    assert metrics[best]["accuracy"] == max(m["accuracy"] for m in metrics.values() if m)
    assert "average of 3 checkpoints" in (run / "log.txt").read_text()


def test_early_stopping_stops_and_stays_stopped(prepared, overrides, tmp_path):
    more = overrides("tagger", tmp_path / "run", "train.steps=400", "train.patience=2", "optim.lr=0.05")
    run = pretrain(config_path("tagger"), more)
    assert "stopping early" in (run / "log.txt").read_text()
    steps = sorted(p.name for p in (run / "checkpoints").glob("step-*"))
    pretrain(config_path("tagger"), more)
    assert sorted(p.name for p in (run / "checkpoints").glob("step-*")) == steps


def test_kill_9_and_start_again_is_the_same_run(prepared, overrides):
    settings = [part for value in overrides("tagger", "x", "model.dropout=0.2") for part in ("--set", value)]
    done = bmtool("selfcheck", "resume", config_path("tagger"), *settings)
    assert done.returncode == 0, done.stderr
    assert "resume is exact" in done.stderr


@pytest.mark.parametrize(
    "kind", ["tagger", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("rnn", "transformer"))]
)
def test_two_processes_are_one(kind, prepared, overrides, tmp_path):
    """Weights and validation figures; an odd number of validation batches for 2 processes, so that one runs dry."""
    more = ["train.batch_tokens=160", *(["model.show=0"] if kind == "tagger" else [])]  # hints are drawn at random
    valid = Task(load(config_path(kind), overrides(kind, "x", *more))).batches("valid", None)
    assert valid.per_epoch % 2 == 1
    one = pretrain(config_path(kind), overrides(kind, tmp_path / "one", "train.accumulate=2", *more))
    settings = [part for value in overrides(kind, tmp_path / "two", *more) for part in ("--set", value)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "bmtool", "pretrain", config_path(kind), *settings],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = weights(tmp_path / "two", 8)
    for name, value in weights(one, 8).items():
        torch.testing.assert_close(value, two[name], atol=1e-4, rtol=1e-3, msg=name)
    figures = [
        [
            event["valid/loss"]
            for event in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
            if "valid/loss" in event
        ]
        for run in (one, tmp_path / "two")
    ]
    np.testing.assert_allclose(*figures, rtol=1e-4)


SENTENCES = [
    "ni hao",
    "jin tian tian qi hen hao, wo men qu gong yuan ba!",
    "",
    "shi",
    "wo you 3 ge iPhone",
    "xi'an de xia tian",
    "2024",
]


@kinds
def test_predictions_do_not_depend_on_the_batch(kind, trained):
    predictor = load_model(trained(kind), print).predictor
    together = translate(predictor, SENTENCES, 3)
    for line, expected in zip(SENTENCES, together):
        alone = translate(predictor, [line], 3)[0]
        assert [text for text, _ in alone.n_best] == [text for text, _ in expected.n_best]
        np.testing.assert_allclose([p for _, p in alone.n_best], [p for _, p in expected.n_best], rtol=1e-3)


@kinds
def test_pytorch_and_onnx_and_the_command_line_agree(kind, trained, exported, invoke):
    ours, theirs = (
        translate(load_model(path, print).predictor, SENTENCES, 2) for path in (trained(kind), exported(kind))
    )
    assert [t.text for t in ours] == [t.text for t in theirs]
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose([p for _, p in a.n_best], [p for _, p in b.n_best], rtol=1e-3)
    result = invoke("translate", "--model", exported(kind), *SENTENCES)
    assert result.stdout.splitlines() == [t.text for t in ours]


@kinds
def test_pass_through_and_length(kind, trained):
    line = "wo3 you 3 ge iPhone, hello world! IBM 2024nian"
    text = translate(load_model(trained(kind), print).predictor, [line])[0].text
    for copied in ("3", "iPhone", ",", "hello world", "!", "IBM", "2024"):
        assert copied in text
    assert sum("一" <= c <= "鿿" for c in text) == 4


def test_no_syllable_is_ever_lost(trained):
    """Also not one that no hanzi of the vocabulary is read with: it comes back as it was typed."""
    predictor = load_model(trained("tagger"), print).predictor
    without = [s for s in SYLLABLES if not predictor.vocabulary.candidate_count(INPUT_ID[s])]
    assert without
    for syllable, result in zip(SYLLABLES, translate(predictor, list(SYLLABLES))):
        assert result.text == syllable if syllable in without else len(result.text) == 1, (syllable, result)
    text = translate(predictor, [f"ni {without[0]} hao"])[0].text
    assert text[1:-1] == without[0] and len(text) == 2 + len(without[0])


@pytest.mark.parametrize("kind", ["rnn", "transformer"])
def test_free_generation_ends_and_keeps_copies(kind, trained):
    predictor = load_model(trained(kind), print).predictor
    predictor.decode["constrained"] = False
    result = translate(predictor, ["ni hao, shi jie 42!"], 3)[0]
    assert all(piece in result.text for piece in (",", "42", "!"))
    assert sum(p for _, p in result.n_best) <= 1 + 1e-6


@pytest.mark.parametrize("seed", [1, 2])
def test_learns_what_can_be_learned(seed, tmp_path, overrides):
    """A language of eight words, each syllable with several hanzi in the table: context decides, and must be learned."""
    random.seed(seed)
    words = ["今天", "天气", "很好", "我们", "一起", "学习", "北京", "大学"]
    lines = {"".join(random.choices(words, k=random.randint(3, 6))) for _ in range(600)}
    path = tmp_path / "words.txt"
    path.write_text("\n".join(sorted(lines)), encoding="utf-8")
    settings = [
        *overrides("tagger", tmp_path / "run", f"seed={seed}"), f"data.sources=[{path}]", f"data.prepared={tmp_path / 'data'}",
        "train.steps=60", "train.validate_every=60", "optim.lr=0.01",
    ]  # fmt: skip
    prepare_data(config_path("tagger"), settings)
    run = pretrain(config_path("tagger"), settings)
    accuracy = [
        event["valid/accuracy"]
        for event in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        if "valid/accuracy" in event
    ][-1]
    assert accuracy > 0.99
