"""What a GPU must not change, and what only a GPU has. Skipped without one; two minutes with one."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from cases import TRAINED, each_of, find
from conftest import config_path, sets, torchrun
from test_contract import assert_close, assert_same_bytes, assert_same_state, make_trainer, weights

from bmtool.api import Model
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.engine import distributed, shards
from bmtool.engine.device import choose

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

TAGGER = find("pinyin2hanzi")
CUDA = "train.device=cuda"
PLAIN = ["optim.name=sgd", "optim.lr=1.0"]  # a step is the gradient


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch):
    """Convolutions as exact as the CPU's."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@each_of([case for case in TRAINED if case.task != "gan"])
def test_a_step_is_that_of_the_cpu(case, prepared, settings):
    """Accumulated over batches of different sizes. (What a gan makes images of is drawn where they are made.)"""
    prepared(case)
    found = []
    for device in ("cpu", "cuda"):
        trainer = make_trainer(
            load(case.path, settings(case, "x", f"train.device={device}", *PLAIN, *case.deterministic))
        )
        batches = [trainer.task.batches("train", 1)[position].to(trainer.device.device) for position in range(3)]
        losses = [trainer._update(phase, batches, 1.0) for phase in trainer.task.phases]
        found.append((losses, {name: value.cpu() for name, value in trainer.tensors().items()}))
    np.testing.assert_allclose(*(np.array(losses) for losses, _ in found), rtol=2e-3)
    assert_close(*(tensors for _, tensors in found), atol=2e-4, rtol=1e-3)


@each_of(TRAINED)
def test_bf16_learns_one_batch(case, prepared, settings):
    prepared(case)
    trainer = make_trainer(load(case.path, settings(case, "x", CUDA, "train.precision=bf16", *case.deterministic)))
    batch = trainer.task.batches("train", 1)[0].to(trainer.device.device)
    for phase in trainer.task.phases:
        losses = [trainer._update(phase, [batch], 1.0)[0] for _ in range(80)]
        assert losses[-1] < losses[0] / 2, phase


def test_auto_is_bf16_where_the_gpu_computes_in_it(settings):
    device = choose(load(TAGGER.path, settings(TAGGER, "x", "train.precision=auto")).train)
    assert device.device.type == "cuda"
    assert device.precision == ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32")
    assert torch.cuda.get_device_name() in device.reason
    with device.autocast():
        assert (torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")).dtype == device.dtype


@each_of(TRAINED)
def test_a_resumed_run_is_the_same_run(case, prepared, settings, tmp_path):
    prepared(case)
    more = [CUDA, "train.deterministic=true", "train.precision=auto", "train.ema=0.9", "train.accumulate=2"]
    whole = pretrain(config_path(case), settings(case, tmp_path / "whole", *more))
    parts = settings(case, tmp_path / "parts", *more)
    pretrain(config_path(case), [*parts, "train.stop_after=3"])
    pretrain(config_path(case), [*parts, "train.workers=2"])
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "parts", 8))
    assert_same_state(whole, tmp_path / "parts")


@each_of(TRAINED)
def test_a_run_of_the_gpu_exports_and_answers_alike(case, prepared, settings, tmp_path):
    prepared(case)
    run = pretrain(config_path(case), settings(case, tmp_path / "run", CUDA, "train.precision=auto"))
    ours, theirs = (Model(path).predict(case.asked) for path in (run, export_onnx(run)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.distance(b) < 1e-3


def test_torchrun_with_one_process_is_a_plain_run(prepared, settings, tmp_path):
    prepared(TAGGER)
    more = [CUDA, "train.deterministic=true"]
    alone = pretrain(config_path(TAGGER), settings(TAGGER, tmp_path / "alone", *more))
    command = ["pretrain", config_path(TAGGER), *sets(settings(TAGGER, tmp_path / "run", *more))]
    done = torchrun(1, "-m", "bmtool", *command)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(weights(alone, 8), weights(tmp_path / "run", 8))


def test_nccl_carries_what_the_trainer_sends(monkeypatch):
    """In a group of one: sums are what they were, and everything is on the right device."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", "1")
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert distributed.gather([np.arange(3)])[0][0].tolist() == [0, 1, 2]
        # As if there were others: of the functions that leave a single process alone.
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        assert distributed.sum_numbers([1.5, 2.5], torch.device("cuda")) == [1.5, 2.5]
        assert distributed.from_first({"precision": "bf16"}) == {"precision": "bf16"}
        parameter = torch.nn.Parameter(torch.ones(3, device="cuda"))
        parameter.grad = torch.full((3,), 2.0, device="cuda")
        distributed.sum_gradients([parameter])
        assert parameter.grad.tolist() == [2.0, 2.0, 2.0]
        distributed.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_sharded_step_is_that_of_the_whole_model(precision, prepared, settings, monkeypatch):
    """In a group of one: blocks are gathered in the precision of their products, and what they make is the same."""
    case = find("language-model")
    prepared(case)
    monkeypatch.setattr(shards, "is_on", lambda train: train.sharding == "full")
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        found = []
        for how in ("none", "full"):
            more = [
                CUDA,
                f"train.precision={precision}",
                f"train.sharding={how}",
                "model.checkpointing=true",
                *case.deterministic,
            ]
            trainer = make_trainer(load(case.path, settings(case, "x", *more)))
            trainer.rehearse()
            found.append([one.losses["model"] for one in trainer.run(4)])
            found[-1].append(trainer.validate()["bits_per_character"])
        assert all(shards.is_shard(p) and p.device.type == "cuda" for p in trainer.named.values())
    finally:
        dist.destroy_process_group()
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("name", ["language-model", "image-classification"])
def test_adapters_learned_on_a_gpu_answer_alike(name, prepared, settings, tmp_path):
    """LoRA, merged at export."""
    case = find(name)
    prepared(case)
    base = pretrain(config_path(case), settings(case, tmp_path / "base", CUDA))
    run = finetune(config_path(case), base, settings(case, tmp_path / "run", CUDA, "finetune.lora={rank: 2, alpha: 8}"))
    ours, theirs = (Model(path).predict(case.asked) for path in (run, export_onnx(run)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.distance(b) < 1e-3


def test_float16_is_scaled_and_learns_one_batch(prepared, settings):
    case = find("language-model")
    prepared(case)
    trainer = make_trainer(load(case.path, settings(case, "x", CUDA, "train.precision=fp16", *case.deterministic)))
    batch = trainer.task.batches("train", 1)[0].to(trainer.device.device)
    losses = [trainer._update("model", [batch], 1.0)[0] for _ in range(80)]
    assert trainer.is_scaled
    assert losses[-1] < losses[0] / 2


def test_a_gpu_that_is_too_small_ends_with_6(prepared, settings, invoke, tmp_path):
    prepared(TAGGER)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        values = settings(TAGGER, tmp_path / "run", CUDA, "model.width=2048", "model.heads=8")
        result = invoke("pretrain", config_path(TAGGER), *sets(values))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.exit_code == 6
    assert "out of memory: make the model or its batches smaller" in result.stderr
