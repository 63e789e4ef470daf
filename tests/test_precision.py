"""Which precision, how many threads and how they wait; a run keeps what it began with."""

import json
import os
import random
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from cases import TRAINED
from conftest import CONFIGS, ROOT, config_path, sets
from test_contract import assert_same_bytes, make_trainer, weights
from torch.overrides import TorchFunctionMode

from bmtool.base import cores
from bmtool.commands.loading import PRETRAINED
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.engine import precision
from bmtool.engine.device import choose
from bmtool.engine.trainer import Trainer
from bmtool.nn.attention import Attention, rotary_angles
from bmtool.nn.autocast import in_float32
from bmtool.predict.exported import open_model
from bmtool.registry import find

CASE = TRAINED[0]
AUTO = "train.precision=auto"
GAN = next(case for case in TRAINED if case.task == "gan")


def info(run) -> dict:
    return json.loads((run / "run.json").read_text("utf-8"))


def test_every_recipe_names_its_precision_so_that_a_seed_is_one_run():
    """Only of `auto` does the machine decide what is computed; fitted models have no steps to race."""
    paths = [*sorted(CONFIGS.rglob("*.yaml")), *(case.path for case in TRAINED)]
    configs = {path: load(path) for path in paths}
    trained = {path: c for path, c in configs.items() if not find(c.task).load("task").of(c).fitted}
    assert len(trained) > len(TRAINED)
    assert [str(path) for path, config in trained.items() if config.train.precision == "auto"] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler, about itself
def test_a_compiled_model_learns_what_it_learns_uncompiled(prepared, settings, tmp_path):
    """On the GPU where there is one, else on the CPU; tables with sparse rows included. The weights keep their names."""
    prepared(CASE)
    more = ["optim.name=sgd", "optim.lr=1.0", *CASE.deterministic]
    runs = [
        pretrain(config_path(CASE), settings(CASE, tmp_path / name, *more, f"train.compile={name}"))
        for name in ("false", "true")
    ]
    ours, theirs = (weights(run, 8) for run in runs)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-3, rtol=1e-2)


# --- the race ---


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.tensors().items()}


@pytest.mark.parametrize("case", [CASE, GAN], ids=lambda case: case.name)
def test_a_race_changes_neither_weights_nor_what_is_drawn(case, prepared, settings):
    """Batch-norms, several phases and random numbers of all three kinds included."""
    prepared(case)
    trainer = make_trainer(load(case.path, settings(case, "x", AUTO)))
    before, drawn = state(trainer), (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    optimizers = deepcopy({phase: made.state_dict() for phase, made in trainer.optimizers.items()})
    assert precision.settle(trainer, None, resumes=False) in ("fp32", "bf16")
    assert_same_bytes(before, state(trainer))
    assert drawn[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(drawn[2], torch.get_rng_state())
    assert optimizers == {phase: made.state_dict() for phase, made in trainer.optimizers.items()}


@pytest.mark.parametrize("seconds, faster", [({"fp32": 1, "bf16": 2}, "fp32"), ({"fp32": 2, "bf16": 1}, "bf16")])
def test_the_faster_wins_and_both_are_said(seconds, faster, prepared, settings, monkeypatch):
    prepared(CASE)
    trainer, clock = make_trainer(load(CASE.path, settings(CASE, "x", AUTO))), [0.0]
    batch = trainer._train_batches[0]

    def rehearse(self, ahead):
        clock[0] += seconds[self.device.precision] * batch.tokens
        return batch

    monkeypatch.setattr(Trainer, "rehearse", rehearse)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    assert precision.settle(trainer, None, resumes=False) == faster == trainer.device.precision
    said = ", ".join(f"{name} {1 / taken:,.0f} tokens/s" for name, taken in seconds.items())
    assert trainer.device.why == f"{faster}, the faster of the two here ({said})"


def test_a_run_keeps_what_came_of_its_race(prepared, settings, tmp_path, monkeypatch):
    """Also when another race would end otherwise; and is then the run that names it."""
    prepared(CASE)
    parts = settings(CASE, tmp_path / "parts", AUTO)
    monkeypatch.setattr(precision, "_race", lambda trainer, device: ("bf16", "bf16, the faster of the two here"))
    pretrain(config_path(CASE), [*parts, "train.stop_after=3"])
    assert info(tmp_path / "parts")["precision"] == "bf16"
    monkeypatch.setattr(precision, "_race", lambda trainer, device: pytest.fail("raced again"))
    pretrain(config_path(CASE), parts)
    log = (tmp_path / "parts" / "log.txt").read_text("utf-8")
    assert "bf16, the faster of the two here" in log and "bf16, as this run began" in log
    named = pretrain(config_path(CASE), settings(CASE, tmp_path / "named", "train.precision=bf16"))
    assert_same_bytes(weights(named, 8), weights(tmp_path / "parts", 8))


def test_a_run_that_says_nothing_goes_on_as_it_was(prepared, settings, tmp_path, monkeypatch):
    """`auto` was float32 on a CPU while run.json did not keep it."""
    prepared(CASE)
    monkeypatch.setattr(precision, "_race", lambda trainer, device: ("fp32", "fp32"))
    run = pretrain(config_path(CASE), settings(CASE, tmp_path / "run", AUTO, "train.stop_after=3"))
    (run / "run.json").write_text(json.dumps({k: v for k, v in info(run).items() if k != "precision"}))
    monkeypatch.setattr(precision, "_race", lambda trainer, device: pytest.fail("raced"))
    pretrain(config_path(CASE), settings(CASE, tmp_path / "run", AUTO))
    assert info(run)["precision"] == "fp32"


@pytest.mark.slow
def test_processes_use_the_race_of_the_first(prepared, settings, tmp_path):
    """One precision on all, and said once."""
    prepared(CASE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bmtool"]
    command = [*torchrun, "pretrain", config_path(CASE), *sets(settings(CASE, tmp_path / "run", AUTO))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "the faster of the two here" in done.stderr and info(tmp_path / "run")["precision"] in ("fp32", "bf16")


# --- threads ---


@pytest.mark.parametrize("given, expected", [
    ({}, 8), ({"OMP_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "3,2"}, 3), ({"OMP_NUM_THREADS": "99"}, 8),
    ({"OMP_NUM_THREADS": "x"}, 8), ({"OMP_NUM_THREADS": "0"}, 8), ({"LOCAL_WORLD_SIZE": "2"}, 4),
    ({"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}, 4), ({"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "2"}, 2),
])  # fmt: skip
def test_threads_are_the_share_of_the_cores_or_what_the_environment_says(given, expected, monkeypatch):
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cores, "cores", lambda: 8)
    assert cores.threads() == expected


def test_fewer_threads_than_cores_are_said(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("bmtool.engine.device.cores", lambda: 8)
    monkeypatch.setattr(cores, "cores", lambda: 8)
    train = load(CASE.path).train.model_copy(update={"threads": 0, "device": "cpu"})
    assert choose(train).where.startswith("CPU, 1 threads of 8 cores (OMP_NUM_THREADS)")
    assert (
        choose(train.model_copy(update={"threads": 1})).where.startswith("CPU, 1 threads")
        and torch.get_num_threads() == 1
    )


SAYS = """
import bmtool, json, os, sys
from bmtool.base.cores import WAITING
assert not {"torch", "lightgbm"} & sys.modules.keys()
print(json.dumps({name: os.environ[name] for name in WAITING if name in os.environ}))
"""


@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "9"}, {"KMP_BLOCKTIME": "1"}])
def test_waiting_threads_spin_briefly_unless_the_user_says_otherwise(given):
    """Said before torch is imported: its OpenMP reads it when it is loaded."""
    bare = {name: value for name, value in os.environ.items() if name not in cores.WAITING}
    done = subprocess.run([sys.executable, "-c", SAYS], env=bare | given, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == (given or cores.BRIEFLY)


def test_attention_and_small_products_stay_in_float32_where_bf16_loses_time():
    x = torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        kept, numbers = in_float32(lambda a, b: (a @ a, b), x.bfloat16(), torch.arange(3))
    assert kept.dtype == torch.float32 and numbers.dtype == torch.int64
    torch.testing.assert_close(kept, x.bfloat16().float() @ x.bfloat16().float())
    assert torch.equal(in_float32(torch.matmul, x, x), x @ x)


def test_no_kernel_of_attention_runs_in_bf16_on_a_cpu():
    """Seen from outside: what scaled_dot_product_attention is given, with rotary positions and without."""
    attention, given = Attention(8, 2), []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.nn.functional.scaled_dot_product_attention:
                given.extend(tensor.dtype for tensor in args)
            return function(*args, **(kwargs or {}))

    x = torch.randn(2, 3, 8)
    for angles in (None, rotary_angles(3, 4, x.device)):
        with torch.autocast("cpu", dtype=torch.bfloat16), Watch():
            attention.attend(x, attention.keys_values(x, angles), None, angles).sum().backward()
    assert given == [torch.float32] * 6


def test_waiting_threads_of_an_exported_model_sleep():
    session = open_model(PRETRAINED / "pinyin2hanzi" / "model.onnx").backend.session
    assert session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") == "0"
