"""`train.sharding: full`: two processes (gloo) that share a model out are one process that has it, in memory and on disk."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from cases import TRAINED, each_of, find
from conftest import config_path, events, torchrun
from test_contract import assert_close, assert_same_bytes, assert_same_state, make_trainer, weights
from torch.utils._pytree import tree_leaves

from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.config.resuming import changed
from bmtool.engine import shards
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.scaling import LEAST, PATIENCE, LossScale
from bmtool.errors import ConfigError, Untrainable

# Two processes and torchrun start, on a machine that may have other work.
pytestmark = pytest.mark.timeout(600)

CASE = find("language-model")
# What is drawn at random is drawn by each process for itself.
ALIKE = ["model.dropout=0", "train.ema=0.9", "optim.clip_norm=0.1", "model.checkpointing=true"]
SHARDS = [f"shards/shard-0000{rank}-model-00001-of-00001.safetensors" for rank in (1, 2)]


@pytest.fixture(scope="module")
def runs(prepared, settings, tmp_path_factory) -> Path:
    """Of one process (`one`), and of two that share weights out: in one go, in two sittings, in bf16 (see `sharded.py`)."""
    folder, data = tmp_path_factory.mktemp("sharded"), [settings(CASE)[0], *ALIKE]
    prepared(CASE)
    two_batches = [*data, "train.accumulate=2"]
    pretrain(config_path(CASE), [*two_batches, f"run={folder / 'one'}"])
    half = [f"run={folder / 'one-half'}", "train.precision=bf16", "train.ema=0", "train.stop_after=4"]
    pretrain(config_path(CASE), [*two_batches, *half])
    done = torchrun(2, Path(__file__).with_name("sharded.py"), config_path(CASE), folder, *data)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stderr)
    return folder


def losses(run: Path) -> list[float]:
    return [value for event in events(run) for key, value in event.items() if not key.endswith(("elapsed_s", "_per_s"))]


# --- two processes ---


def test_two_processes_learn_what_one_does(runs):
    """Losses, norms of gradients over all shards, figures; weights, and averages that are shared out too."""
    for ours, theirs in (("whole", "one"), ("half", "one-half")):
        assert losses(runs / ours) == pytest.approx(losses(runs / theirs), rel=1e-3)
    assert_close(weights(runs / "whole", 8), weights(runs / "one", 8), atol=1e-5, rtol=1e-4)
    assert "2 processes, each with a part of the weights (train.sharding: full)" in (runs / "said.txt").read_text()


def test_a_sharded_run_in_two_sittings_is_the_one_in_one(runs):
    assert_same_bytes(weights(runs / "whole", 8), weights(runs / "parts", 8))
    assert losses(runs / "whole") == losses(runs / "parts")
    kept = [Checkpoints(runs / name, print) for name in ("whole", "parts")]
    leaves = [tree_leaves(one.state("step-00000008")["trainer"]) for one in kept]
    assert len(leaves[0]) == len(leaves[1]) > 3 * len(weights(runs / "whole", 8))
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(*leaves))
    assert set(SHARDS) < kept[0].manifest("step-00000008")["sha256"].keys()


# --- one process with what two wrote ---


def test_what_two_wrote_is_used_by_one(runs, tmp_path):
    """Evaluated, exported and finetuned without torchrun."""
    run = runs / "whole"
    figures = evaluate([str(run)], split="valid")
    best = Checkpoints(run, print)
    assert json.loads((run / "run.json").read_text())["ended"]
    assert export_onnx(run).is_file()
    child = [f"data.prepared={load(run / 'config.yaml').data.prepared}", f"run={tmp_path / 'child'}", "train.steps=2"]
    finetune(config_path(CASE), run, child)
    assert figures and best.best()


def test_one_process_goes_on_with_what_two_share(runs, settings, tmp_path, capsys):
    """Its state is whole again, and that the steps are others from there on is said."""
    one, two = (Checkpoints(runs / name, print) for name in ("one", "whole"))
    states = [kept.state("step-00000004")["trainer"] for kept in (one, two)]
    moments = [[held["exp_avg"] for held in state["optimizers"]["model"][0]["state"].values()] for state in states]
    for ours, theirs in zip(*moments, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)
    parts = runs / "half"
    again = [settings(CASE)[0], *ALIKE, "train.precision=bf16", "train.ema=0", f"run={parts}", "train.sharding=none"]
    pretrain(config_path(CASE), again)
    said = capsys.readouterr().err
    assert "train.sharding: 'full' -> 'none'" in said
    assert "2 processes until here, 1 from here on: a step reads 1 batches, it read 2" in said
    assert Checkpoints(parts, print).newest() == "step-00000008"


@pytest.mark.parametrize("damage", ["missing", "differs from its sha256"])
def test_a_damaged_shard_is_named_and_the_one_before_is_used(runs, damage):
    warned = []
    kept = Checkpoints(runs / "parts", warned.append)
    path = kept.directory / "step-00000008" / SHARDS[1]
    contents = path.read_bytes()
    path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    if damage == "missing":
        path.unlink()
    assert damage in kept.problem("step-00000008") and SHARDS[1] in kept.problem("step-00000008")
    assert kept.newest() == "step-00000004"
    assert SHARDS[1] in warned[0]
    path.write_bytes(contents)
    assert kept.problem("step-00000008") is None


def test_one_process_that_is_to_share_has_all(prepared, settings, tmp_path, trained, capsys):
    prepared(CASE)
    run = pretrain(config_path(CASE), settings(CASE, tmp_path / "run", "train.sharding=full"))
    assert (
        "train.sharding: full: this is one process, which holds everything; torchrun starts more"
        in capsys.readouterr().err
    )
    assert_same_bytes(weights(run, 8), weights(trained(CASE), 8))


def test_sharding_may_change_when_a_run_goes_on():
    old, new = (load(CASE.path, [f"train.sharding={value}"]) for value in ("none", "full"))
    assert changed(old, new).refused == [] and "train.sharding" in changed(old, new).told[0]


def test_an_older_torch_is_refused(prepared, settings, monkeypatch):
    from torch.distributed.fsdp import FSDPModule

    prepared(CASE)
    monkeypatch.delattr(FSDPModule, "set_reduce_scatter_unused_params")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"^train\.sharding: full takes torch 2\.13, and .* is here: `pip install"):
        make_trainer(load(CASE.path, settings(CASE, "x", "train.sharding=full")))


# --- one process that shares with nobody: the same code, within a test ---


@pytest.fixture
def alone(monkeypatch):
    """A group of one, in which weights are shards."""
    monkeypatch.setattr(shards, "is_on", lambda train: train.sharding == "full")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def stepped(case, settings, *more: str) -> tuple:
    """What two steps of every phase and a validation give, and all weights."""
    trainer = make_trainer(load(case.path, settings(case, "x", *more, *case.deterministic)))
    trainer.rehearse()
    batches = [trainer.task.batches("train", 1)[position].to(trainer.device.device) for position in range(2)]
    done = [n for batch in batches for phase in trainer.task.phases for n in trainer._update(phase, [batch], 1.0)]
    trainer.average.update(1)
    return done, trainer.validate(), shards.whole(trainer.weights()), trainer


@each_of(TRAINED)
def test_a_task_learns_the_same_from_shards(case, prepared, settings, alone):
    """Tables with sparse rows, several phases, statistics of batch-norms; figures with the averaged weights."""
    prepared(case)
    whole, shared = (stepped(case, settings, "train.ema=0.9", f"train.sharding={how}") for how in ("none", "full"))
    assert any(map(shards.is_shard, shared[3].named.values()))
    assert shared[0] == pytest.approx(whole[0], rel=1e-5)
    assert shared[1] == pytest.approx(whole[1], rel=1e-5)
    assert_close(shared[2], whole[2], atol=1e-6, rtol=1e-5)


WAYS = [
    ["train.precision=bf16", "model.checkpointing=true"], ["train.precision=fp16"], ["optim.name=muon", "optim.l1=0.001"],
    ["optim.name=sgd", "optim.momentum=0.9", "model.tied=false"], ["optim.name=adagrad"], ["optim.name=rmsprop"],
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_a_language_model_learns_the_same_from_shards(way, prepared, settings, alone):
    """Blocks in the precision of their products, and the optimizers: Muon takes matrices as a whole."""
    prepared(CASE)
    whole, shared = (
        stepped(CASE, settings, "train.ema=0.9", f"train.sharding={how}", *way) for how in ("none", "full")
    )
    assert shared[0] == pytest.approx(whole[0], rel=1e-4)
    assert shared[1]["bits_per_character"] == pytest.approx(whole[1]["bits_per_character"], rel=1e-4)


def test_frozen_parts_and_those_that_begin_later_are_shared_out(prepared, settings, alone):
    """Gradual unfreezing: a block that learns from the third step on has gradients then, in float32 as all have."""
    prepared(CASE)
    more = ["train.precision=bf16", "finetune.unfreeze_every=2", "model.dropout=0"]
    found = []
    for how in ("none", "full"):
        trainer = make_trainer(load(CASE.path, settings(CASE, "x", f"train.sharding={how}", *more)))
        trainer.rehearse()
        before = {name: tensor.clone() for name, tensor in shards.whole(trainer.tensors()).items()}
        found.append([one.losses["model"] for one in trainer.run(4)])
        after = shards.whole(trainer.tensors())
        late, never = "backbone.layers.0.mlp.up_proj.weight", "backbone.embed_tokens.weight"
        assert not torch.equal(before[late], after[late]) and torch.equal(before[never], after[never])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler, about itself
def test_compiled_blocks_learn_the_same_from_shards(prepared, settings, alone):
    prepared(CASE)
    plain, compiled = (
        stepped(CASE, settings, "train.ema=0.9", "train.sharding=full", f"train.compile={value}")
        for value in ("false", "true")
    )
    assert compiled[0] == pytest.approx(plain[0], rel=1e-3)


# --- float16 ---


def test_a_scale_halves_at_an_overflow_and_doubles_after_long():
    scale = LossScale()
    began = scale.value
    assert scale.halve() and scale.value == began / 2
    for _ in range(PATIENCE):
        scale.passed()
    assert scale.value == began and scale.waited == 0
    while scale.halve():
        pass
    assert scale.value == LEAST / 2


def test_a_step_that_overflows_in_float16_is_computed_again(prepared, settings):
    """With the same batch; nothing is passed over, and what cannot be scaled is said."""
    prepared(CASE)
    trainer = make_trainer(load(CASE.path, settings(CASE, "x", "train.precision=fp16", "model.dropout=0")))
    batch = trainer.task.batches("train", 1)[0]
    plain = make_trainer(load(CASE.path, settings(CASE, "x", "model.dropout=0")))
    trainer.scale.value = 2.0**24
    assert trainer._update("model", [batch], 1.0) == pytest.approx(plain._update("model", [batch], 1.0), rel=2e-2)
    assert LEAST < trainer.scale.value < 2.0**24
    with torch.no_grad():
        trainer.named["backbone.norm.weight"].fill_(float("nan"))
    with pytest.raises(Untrainable):
        trainer._update("model", [batch], 1.0)


def test_a_run_in_float16_resumes_as_it_was(prepared, settings, tmp_path):
    prepared(CASE)
    more = ["train.precision=fp16"]
    whole = pretrain(config_path(CASE), settings(CASE, tmp_path / "whole", *more))
    parts = settings(CASE, tmp_path / "parts", *more)
    pretrain(config_path(CASE), [*parts, "train.stop_after=3"])
    pretrain(config_path(CASE), parts)
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "parts", 8))
    assert_same_state(whole, tmp_path / "parts")
