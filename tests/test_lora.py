"""LoRA: what is adapted computes what the merged model computes, a run holds what it learned and knows where the rest lies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import find
from conftest import config_path, sets
from safetensors.torch import load_file
from test_contract import assert_same_bytes, weights
from torch import nn
from torch.nn import functional

from bmtool.commands import bases
from bmtool.commands.export_hf import export_hf
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model, restore
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.run_dir import RunDir
from bmtool.engine.trainer import Trainer
from bmtool.errors import ConfigError, DataError
from bmtool.nn import lora, vision

CNN, MLP, CAUSAL, MASKED = "image-classification", "image-classification-mlp", "language-model", "language-model-masked"
LORA = "finetune.lora={rank: 2, alpha: 8}"


def slow(case: str):
    return pytest.param(case, marks=pytest.mark.slow)


ADAPTED = [CNN, MLP, CAUSAL, *map(slow, ("tagger", MASKED, "transformer", "tabular-classification", "autoencoder"))]


@pytest.fixture(scope="module")
def adapted(trained, settings):
    """`adapted(case)`: a run with adapters on the trained one of a case, made once."""
    made: dict[str, Path] = {}

    def make(case: str) -> Path:
        if case not in made:
            values = settings(case, f"adapted-{find(case).name}", LORA)
            made[case] = finetune(config_path(case), trained(case), values)
        return made[case]

    return make


def test_what_needs_whole_weights_does_not_go_with_sharding(trained, settings, tmp_path):
    for more, key in ((LORA, "finetune.lora"), ("finetune.prune=0.5", "finetune.prune")):
        values = settings(CAUSAL, tmp_path / "run", more, "train.sharding=full")
        with pytest.raises(ConfigError, match=rf"{key} does not go with train\.sharding: full"):
            finetune(config_path(CAUSAL), trained(CAUSAL), values)


def names(run: Path) -> set[str]:
    return set(weights(run, 8))


# --- a layer ---


class _Padded(nn.Conv2d):
    """As others derive it: it computes with its weight by itself."""

    def forward(self, x):
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


@pytest.mark.parametrize("layer, shape", [
    (lambda: nn.Linear(6, 4), (3, 5, 6)), (lambda: nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 5)),
    (lambda: nn.Conv2d(4, 8, 3, groups=4, stride=2, bias=False), (2, 4, 7, 7)), (lambda: _Padded(4, 6, 3), (2, 4, 5, 5)),
    (lambda: vision.SpectralLinear(6, 4), (3, 6)),
])  # fmt: skip
def test_an_adapted_layer_is_the_merged_one_and_at_first_the_old_one(layer, shape):
    torch.manual_seed(0)
    old, new = layer().eval(), layer().eval()
    new.load_state_dict(old.state_dict())
    model = nn.Sequential(new)
    lora.adapt(lora.adaptable(model)["0"], rank=3, scale=0.5)
    x = torch.randn(shape)
    torch.testing.assert_close(model(x), old(x))
    nn.init.normal_(new.lora_b)
    model(x).square().sum().backward()
    assert new.lora_a.grad.abs().sum() > 0 and new.lora_b.grad.abs().sum() > 0
    found = {name.removeprefix("0."): tensor for name, tensor in lora.merged(model.state_dict(), 0.5).items()}
    by_hand = old.weight + 0.5 * (new.lora_b @ new.lora_a).view_as(old.weight)
    torch.testing.assert_close(found["weight"], by_hand)
    old.load_state_dict(found)
    assert not torch.equal(new.weight, found["weight"])
    torch.testing.assert_close(model(x), old(x))


def test_weights_that_another_module_computes_with_are_not_adapted():
    attention = nn.MultiheadAttention(8, 2)
    assert not lora.adaptable(attention)


# --- a run ---


@pytest.mark.parametrize("case", ADAPTED)
def test_a_run_holds_what_it_learned_and_its_base_the_rest(case, adapted, trained):
    run, parent = adapted(case), trained(case)
    base = RunDir(parent).checkpoints(print)
    before, own = base.weights(base.best()), weights(run, 8)
    learned = {name for name in own if lora.is_of_adapter(name)}
    buffers = {name for name in own if name not in learned}
    assert learned and all(name.startswith("backbone.") for name in learned)
    assert all(torch.equal(own[name], before[name]) for name in buffers) and not any(
        name.endswith(("weight", "bias")) for name in buffers
    )
    whole = bases.weights(RunDir(run), RunDir(run).checkpoints(print).best(), print)
    assert set(whole) == set(before)
    best = load_file(run / "checkpoints" / RunDir(run).checkpoints(print).best() / "model.safetensors")
    for name, tensor in whole.items():
        layer = name.removesuffix(".weight")
        a, b = best.get(f"{layer}.lora_a"), best.get(f"{layer}.lora_b")
        added = 0 if a is None else (b @ a).view_as(tensor) * 4
        torch.testing.assert_close(tensor, before[name] + added)
    assert any(not torch.equal(whole[name], before[name]) for name in whole)


@pytest.mark.parametrize("case", [CNN, CAUSAL, *map(slow, ("tagger", MASKED))])
def test_the_merged_model_says_what_was_said_in_training(case, adapted, trained):
    """Figures of the validation with adapters beside the weights, and with the weights merged."""
    run = adapted(case)
    _, task, name = restore(run, print, device="cpu")
    figures = Trainer(task, task.config, choose(task.config.train)).validate()
    kept, parent = (RunDir(path).checkpoints(print) for path in (run, trained(case)))
    assert figures == pytest.approx(kept.manifest(name)["metrics"], rel=1e-4, abs=1e-5)
    loss = next(name for name in ("loss", "bits_per_character") if name in figures)
    assert figures[loss] != pytest.approx(parent.manifest(parent.best())["metrics"][loss], rel=1e-5)


@pytest.mark.parametrize("case", [CNN, slow(CAUSAL)])
def test_a_run_that_was_stopped_is_the_one_that_was_not(case, adapted, trained, settings, tmp_path):
    values = settings(case, tmp_path / "stopped", LORA)
    finetune(config_path(case), trained(case), [*values, "train.stop_after=5"])
    finetune(config_path(case), trained(case), values)
    assert_same_bytes(weights(adapted(case), 8), weights(tmp_path / "stopped", 8))


def test_averages_of_weights_and_of_checkpoints_hold_adapters_alone(trained, settings, tmp_path):
    more = ["train.ema=0.5", "train.average_best=2", "train.keep_best=2", "train.validate_every=2"]
    run = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "run", LORA, *more))
    for path in (run / "checkpoints").glob("*/model.safetensors"):
        assert not [name for name in load_file(path) if name.endswith(("0.weight", "head.bias"))]
    assert load_model(run, print).predictor.probes(1)


@pytest.mark.parametrize("case", [MLP, *map(slow, (CNN, "tagger", CAUSAL))])
def test_an_export_says_what_the_run_says(case, adapted, tmp_path):
    path = export_onnx(adapted(case), output=str(tmp_path / "model.onnx"))
    ours, theirs = load_model(adapted(case), print).predictor, load_model(path, print).predictor
    probes = ours.probes(4)
    assert max(a.distance(b) for a, b in zip(ours.predict(probes), theirs.predict(probes))) < 1e-4


def test_export_hf_writes_merged_weights_and_they_can_be_adapted_again(adapted, settings, tmp_path, invoke):
    folder = export_hf(adapted(CAUSAL), tmp_path / "hf")
    written = load_file(folder / "model.safetensors")
    whole = bases.weights(RunDir(adapted(CAUSAL)), RunDir(adapted(CAUSAL)).checkpoints(print).best(), print)
    name = "layers.0.self_attn.q_proj.weight"
    assert torch.equal(written[f"model.{name}"], whole[f"backbone.{name}"])
    assert not [name for name in written if "lora" in name]

    more = [f"data.prepared={tmp_path / 'data'}", f"data.tokenizer={folder}", f"model.weights={folder}"]
    run = finetune(config_path(CAUSAL), None, settings(CAUSAL, tmp_path / "again", *more, LORA))
    assert all(lora.is_of_adapter(name) for name in names(run))
    assert json.loads((run / "run.json").read_text())["base"]["checkpoint"] is None
    found = bases.weights(RunDir(run), RunDir(run).checkpoints(print).best(), print)
    assert torch.equal(found["backbone.embed_tokens.weight"], whole["backbone.embed_tokens.weight"])
    assert not torch.equal(found[f"backbone.{name}"], whole[f"backbone.{name}"])
    shutil.move(folder, tmp_path / "elsewhere")
    result = invoke("generate", run, "今天")
    assert result.exit_code == 4 and "the base of" in result.stderr and len(result.stderr.splitlines()) == 1


def test_finetune_takes_a_run_with_adapters_as_what_it_is_merged(adapted, settings, tmp_path):
    """In full, and with adapters of its own."""
    whole = bases.weights(RunDir(adapted(CNN)), RunDir(adapted(CNN)).checkpoints(print).best(), print)
    full = finetune(config_path(CNN), adapted(CNN), settings(CNN, tmp_path / "full", "optim.lr=1e-30"))
    parameters = {name for name in whole if name.endswith(("weight", "head.bias")) and "num" not in name}
    assert parameters
    for name in parameters:
        torch.testing.assert_close(weights(full, 8)[name], whole[name])
    again = finetune(config_path(CNN), adapted(CNN), settings(CNN, tmp_path / "again", LORA, "optim.lr=1e-30"))
    assert not parameters & names(again)
    found = bases.weights(RunDir(again), "step-00000008", print)
    for name in parameters:
        torch.testing.assert_close(found[name], whole[name])


def test_other_classes_have_a_new_head_which_learns(settings, trained, tmp_path):
    from PIL import Image

    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            noise = np.random.default_rng((ord(name), number)).integers(0, 255, (12, 12), np.uint8)
            Image.fromarray(noise).save(tmp_path / "photos" / name / f"{number}.png")
    more = [f"data.source={tmp_path / 'photos'}", f"data.prepared={tmp_path / 'p'}", "data.valid_share=0.2"]
    run = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "run", LORA, *more))
    learned = {name for name in names(run) if lora.is_of_adapter(name)}
    assert {"head.weight", "head.bias"} <= names(run) and "backbone.blocks.0.0.weight" not in names(run) and learned
    assert load_model(run, print).predictor.facts()


def test_a_head_learns_too_where_that_is_asked_for(settings, trained, tmp_path):
    more = ["finetune.train=head", "augment.crop=0", "augment.flip=0", "augment.erase=0"]
    run = finetune(config_path(MLP), trained(MLP), settings(MLP, tmp_path / "run", LORA, *more))
    assert {"head.weight", "head.bias"} <= names(run)
    assert weights(run, 8)["backbone.blocks.0.0.lora_b"].abs().sum() > 0


def test_weights_of_a_file_are_a_base(settings, tmp_path):
    from bmtool.torchvision import torchvision

    torch.manual_seed(0)
    model = torchvision.models.shufflenet_v2_x0_5()
    torch.save(model.state_dict(), tmp_path / "net.pth")
    kind = f"model={{kind: torchvision, name: shufflenet_v2_x0_5, weights: {tmp_path / 'net.pth'}}}"
    more = [kind, "train.steps=2", "data.prepared=" + str(tmp_path / "data"), "data.size=32"]
    run = finetune(config_path(CNN), None, settings(CNN, tmp_path / "run", *more, LORA))
    own = weights(run, 2)
    assert {"head.weight", "head.bias"} <= set(own) and "backbone.network.conv1.0.weight" not in own
    found = bases.weights(RunDir(run), RunDir(run).checkpoints(print).best(), print)
    assert found["backbone.network.conv1.0.weight"].shape == model.conv1[0].weight.shape
    (tmp_path / "net.pth").write_bytes(b"other")
    with pytest.raises(DataError, match="has changed"):
        load_model(run, print)


# --- where the base lies ---


def test_a_run_and_its_base_are_moved_together(adapted, trained, tmp_path, invoke):
    shutil.copytree(adapted(MLP), tmp_path / "there" / adapted(MLP).name)
    shutil.copytree(trained(MLP), tmp_path / "there" / trained(MLP).name)
    run = tmp_path / "there" / adapted(MLP).name
    info = json.loads((run / "run.json").read_text())
    moved = RunDir(run)
    moved.note(base=info["base"] | {"path": "/nowhere/at/all"})
    assert load_model(run, print).predictor.probes(1)
    shutil.rmtree(tmp_path / "there" / trained(MLP).name)
    result = invoke("predict", run, "data/images/digits/3.png")
    assert result.exit_code == 4 and len(result.stderr.splitlines()) == 1
    assert "the base of" in result.stderr and "is gone: no /nowhere/at/all/checkpoints/step-" in result.stderr


def test_a_base_that_has_changed_is_not_used(settings, trained, tmp_path, invoke):
    parent = shutil.copytree(trained(MLP), tmp_path / "parent")
    run = finetune(config_path(MLP), parent, settings(MLP, tmp_path / "run", LORA))
    for path in (parent / "checkpoints").glob("*/model.safetensors"):
        path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    result = invoke("predict", run, "data/images/digits/3.png")
    assert result.exit_code == 4 and "has changed" in result.stderr and len(result.stderr.splitlines()) == 1
    result = invoke("finetune", config_path(MLP), "--from", parent, *sets(settings(MLP, tmp_path / "run", LORA)))
    assert result.exit_code == 4


def test_a_base_is_the_checkpoint_that_it_was_when_the_run_began(settings, trained, tmp_path):
    """Another checkpoint of the parent may be its best by now."""
    parent = shutil.copytree(trained(MLP), tmp_path / "parent")
    values = settings(MLP, tmp_path / "run", LORA)
    finetune(config_path(MLP), parent, [*values, "train.stop_after=4"])
    best = (parent / "checkpoints" / "best").read_text().strip()
    (other,) = {path.name for path in (parent / "checkpoints").glob("step-*")} - {best}
    (parent / "checkpoints" / "best").write_text(other + "\n")
    finetune(config_path(MLP), parent, values)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["base"]["checkpoint"] == best
    found = bases.weights(RunDir(tmp_path / "run"), "step-00000008", print)
    kept = load_file(parent / "checkpoints" / best / "model.safetensors")
    assert torch.equal(found["head.weight"], kept["head.weight"])


# --- what is said, and refused ---


def test_the_banner_and_the_card_say_what_learns(adapted, trained, settings, tmp_path, invoke):
    values = sets(settings(CAUSAL, tmp_path / "run", "finetune.lora.targets=[q_proj, layers.1.*.v_proj]"))
    result = invoke("finetune", config_path(CAUSAL), "--from", trained(CAUSAL), *values)
    # 8 x (32 + 32) twice, 8 x (32 + 16) once
    assert "45.6 K parameters, 1.4 K of them trained" in result.stderr
    assert "adapters: rank 8 on 3 of 14 layers of the backbone, 1.4 K parameters" in result.stderr
    layers = {name.removeprefix("backbone.").rpartition(".")[0] for name in names(tmp_path / "run")}
    assert layers == {"layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj"}
    assert invoke("evaluate", tmp_path / "run").exit_code == 0
    card = (tmp_path / "run" / "card.md").read_text("utf-8")
    base = json.loads((tmp_path / "run" / "run.json").read_text())["base"]
    assert f"adapters: LoRA of rank 8, alpha 16; sha256 of its base `{base['sha256']}`" in card


@pytest.mark.parametrize("case, setting, message", [
    (CAUSAL, "finetune.lora.targets=[q_prj]", r"no layer .* 'q_prj' \(there are layers.\*.self_attn.q_proj, layers"),
    ("pinyin2hanzi-rnn", "finetune.lora.rank=2", "no linear layers or convolutions"),
    ("gan", "finetune.lora.rank=2", r"phase generator has nothing to learn: name some of generator in finetune.train"),
])  # fmt: skip
def test_what_cannot_be_adapted_is_refused_and_leaves_no_run(case, setting, message, trained, settings, tmp_path):
    values = settings(case, tmp_path / "run", setting, *(["model.spectral_norm=true"] if case == "gan" else []))
    with pytest.raises(ConfigError, match=message):
        finetune(config_path(case), trained(case), values)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("more, message", [
    ([LORA, "finetune.unfreeze_every=2"], "unfreeze_every goes without lora"),
    ([LORA, "finetune.prune=0.5"], "prune goes without lora"),
    (["finetune.lora={rank: 0}"], "finetune.lora.rank"),
    (["finetune.lora={targets: []}"], "finetune.lora.targets"),
])  # fmt: skip
def test_settings_that_do_not_go_together(more, message):
    with pytest.raises(ConfigError, match=message):
        load(config_path(MLP), more)


def test_a_model_from_scratch_has_nothing_to_adapt(settings, tmp_path):
    with pytest.raises(
        ConfigError, match=r"finetune.lora is for weights that have been learned: use `bmtool finetune`"
    ):
        pretrain(config_path(MLP), settings(MLP, tmp_path / "run", LORA))


def test_weights_that_are_new_have_to_learn(settings, trained, tmp_path):
    values = settings(MLP, tmp_path / "run", LORA, "model.widths=[32, 8]")
    with pytest.raises(ConfigError, match=r"backbone.blocks.1.0.bias, .*: new, and would stay as drawn"):
        finetune(config_path(MLP), trained(MLP), values)
    run = finetune(config_path(MLP), trained(MLP), [*values, "finetune.train=[backbone.blocks.1, head]"])
    assert {"backbone.blocks.1.0.weight", "head.weight"} <= names(run) and "backbone.blocks.0.0.weight" not in names(
        run
    )


def test_a_layer_that_is_never_asked_is_said(settings, trained, tmp_path, monkeypatch):
    def forward(self, pixels):
        x = self.normalise(pixels).flatten(1)
        for block in self.blocks:
            x = functional.relu(functional.linear(x, block[0].weight, block[0].bias))
        return x

    monkeypatch.setattr(vision.Mlp, "forward", forward)
    with pytest.raises(ConfigError, match=r"finetune.lora.targets: backbone.blocks.0.0 cannot be adapted"):
        finetune(config_path(MLP), trained(MLP), settings(MLP, tmp_path / "run", LORA, "finetune.train=head"))
