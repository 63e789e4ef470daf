"""Magnitude pruning: which weights go, that they stay 0 in any training, and that this is said."""

import numpy as np
import pytest
import torch
from conftest import config_path, sets
from safetensors.torch import load_file
from test_contract import assert_same_bytes, weights
from torch import nn

from bmtool.commands.loading import restore
from bmtool.commands.train import finetune, pretrain
from bmtool.engine.pruning import Pruned, prunable, zeros
from bmtool.errors import ConfigError

CNN, MLP, CAUSAL = "image-classification", "image-classification-mlp", "language-model"
HALF = "finetune.prune=0.5"


def test_the_smallest_weights_of_each_layer_become_zero():
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"a": nn.Linear(7, 5), "b": nn.Conv2d(3, 4, 3), "norm": nn.LayerNorm(5), "e": nn.Embedding(9, 5)}
    )
    nn.init.normal_(model["b"].weight, std=100.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    pruned = Pruned({"backbone": model}, 0.3)
    assert set(prunable({"backbone": model})) == {"backbone.a.weight", "backbone.b.weight"}
    for name, weight in model.named_parameters():
        gone, old = weight == 0, before[name].abs()
        assert torch.equal(weight[~gone], before[name][~gone])
        if f"backbone.{name}" in pruned.weights:
            assert int(gone.sum()) == round(0.3 * weight.numel()) and old[gone].max() <= old[~gone].min()
    assert zeros({"backbone": model}) == (round(0.3 * 35) + round(0.3 * 108), 143)


def test_equal_weights_go_in_their_order_and_masks_come_back_from_bits():
    model = nn.Linear(5, 3)
    nn.init.ones_(model.weight)
    pruned = Pruned({"head": model}, 0.4)
    assert model.weight.flatten().tolist() == [0.0] * 6 + [1.0] * 9
    state = pruned.state_dict()
    assert state["head.weight"].numel() == 2
    other = Pruned({"head": nn.Linear(5, 3)}, 0.4)
    other.load_state_dict(state)
    assert torch.equal(other.kept["head.weight"], pruned.kept["head.weight"])


@pytest.mark.parametrize("optim", [
    "optim={name: adamw, lr: 0.01, weight_decay: 0.1, l1: 0.001}", "optim={name: sgd, lr: 0.1, momentum: 0.9}",
    "optim={name: muon, lr: 0.01}",
])  # fmt: skip
def test_zeros_stay_zero_and_the_rest_learns(optim, trained, settings, tmp_path):
    more = [optim, "train.ema=0.5", "train.accumulate=2"]
    run = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "run", HALF, *more))
    before, after = weights(run, 4), weights(run, 8)
    for name in prunable(restore(run, print, device="cpu")[1].modules):
        assert int((after[name] == 0).sum()) == round(0.5 * after[name].numel())
        assert torch.equal(before[name] == 0, after[name] == 0) and not torch.equal(before[name], after[name])


@pytest.mark.parametrize("case", [CNN, pytest.param(CAUSAL, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_is_the_one_that_was_not(case, trained, settings, tmp_path):
    whole = finetune(config_path(case), trained(case), settings(case, tmp_path / "whole", HALF))
    values = settings(case, tmp_path / "stopped", HALF)
    finetune(config_path(case), trained(case), [*values, "train.stop_after=5"])
    finetune(config_path(case), trained(case), values)
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "stopped", 8))
    states = (torch.load(path / "checkpoints" / "step-00000008" / "state.pt") for path in (whole, tmp_path / "stopped"))
    ours, theirs = (state["trainer"]["pruned"] for state in states)
    assert_same_bytes(ours, theirs)


def test_the_banner_the_card_and_the_export_say_how_many(trained, settings, tmp_path, invoke):
    run = tmp_path / "run"
    result = invoke("finetune", config_path(MLP), "--from", trained(MLP), *sets(settings(MLP, run, HALF)))
    said = "1,184 of the 2,368 weights of linear layers and convolutions are 0 (50.0%)"
    assert f"pruned: {said}" in result.stderr
    assert invoke("evaluate", run).exit_code == 0
    assert f"- pruned: {said}" in (run / "card.md").read_text("utf-8")
    assert said in invoke("export-onnx", run, "--output", tmp_path / "model.onnx").stderr
    onnx = pytest.importorskip("onnx")
    held = onnx.load(tmp_path / "model.onnx").graph.initializer
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in held]
    assert sum(int((array == 0).sum()) for array in arrays if array.ndim == 2 and array.size > 10) == 1184
    assert np.isfinite(arrays[0]).all()


def test_an_average_of_checkpoints_has_the_same_zeros(trained, settings, tmp_path):
    more = ["train.average_best=2", "train.keep_best=2", "train.validate_every=2"]
    run = finetune(config_path(MLP), trained(MLP), settings(MLP, tmp_path / "run", HALF, *more))
    for path in (run / "checkpoints").glob("*/model.safetensors"):
        assert int((load_file(path)["head.weight"] == 0).sum()) == 160


def test_a_model_from_scratch_is_not_pruned(settings, tmp_path):
    with pytest.raises(ConfigError, match=r"finetune.prune is for weights that have been learned"):
        pretrain(config_path(MLP), settings(MLP, tmp_path / "run", HALF))
