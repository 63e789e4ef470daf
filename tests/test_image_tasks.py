"""What the image tasks promise: the contract of bmtool/engine/task.py, transfer between them, and what `evaluate` and `predict` say."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bmtool.measure.roc import areas
from conftest import CONFIGS, ROOT, bmtool
from PIL import Image
from test_cli import fails, imported_by
from test_contract import assert_same_bytes, make_trainer, weights

from bmtool import registry
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.stages import stages
from bmtool.images import pictures
from bmtool.images.batches import Order
from bmtool.images.prepare import Images
from bmtool.tasks.gan.distances import Moments, diversity, frechet, kernel_distance

MLP = "model={kind: mlp, widths: [32]}"
KINDS = {
    "cnn": ("image-classification", ["model.channels=[8, 16]"]),
    "mlp": ("image-classification", [MLP]),
    "autoencoder": ("autoencoder", ["model.channels=[8, 16]"]),
    "dense-autoencoder": ("autoencoder", [MLP]),
    "gan": ("gan", ["model.channels=[8, 16]", "noise=8"]),
    "dense-gan": ("gan", [MLP, "noise=8", "train.ema=0"]),
}
kinds = pytest.mark.parametrize("kind", list(KINDS))


def config_path(kind: str) -> str:
    return str(CONFIGS / KINDS[kind][0] / "digits.yaml")


@pytest.fixture(scope="session")
def settings(folder):
    """`settings(kind, run)`: a shipped config of the digits made small."""

    def make(kind: str, run: str | Path = "run", *more: str) -> list[str]:
        return [
            f"data.prepared={folder / 'digits'}", "data.per_class=20", f"run={folder / str(run)}", "train.steps=8",
            "train.batch_size=32", "train.validate_every=4", "train.save_every=4", "train.log_every=4", "train.threads=1",
            "train.keep_last=2", *KINDS[kind][1], *more,
        ]  # fmt: skip

    return make


@pytest.fixture(scope="session")
def digits(folder, settings) -> Path:
    prepare_data(config_path("cnn"), settings("cnn"))
    return folder / "digits"


@pytest.fixture(scope="session")
def run_of(digits, settings):
    """`run_of(kind)`: a run of a few steps, made once."""
    runs: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in runs:
            runs[kind] = pretrain(config_path(kind), settings(kind, f"images-{kind}"))
        return runs[kind]

    return make


@pytest.fixture(scope="session")
def file_of(run_of):
    files: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in files:
            files[kind] = export_onnx(run_of(kind))
        return files[kind]

    return make


@pytest.fixture
def picture(digits, tmp_path) -> Path:
    """One digit as a file."""
    pixels = Images(digits, "test").pixels(np.array([3]))[0]
    Image.fromarray(pixels[..., 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


# --- the contract ---


def test_preparing_twice_gives_the_same_bytes(digits, settings, tmp_path):
    again = prepare_data(config_path("cnn"), settings("cnn", "run", f"data.prepared={tmp_path / 'again'}"))
    assert again["data_hash"] == json.loads((digits / "manifest.json").read_text("utf-8"))["data_hash"]
    assert (tmp_path / "again" / "images.npy").read_bytes() == (digits / "images.npy").read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "gan" not in kind])
def test_loss_on_one_batch_falls_by_half(kind, digits, settings):
    more = ["optim.lr=0.01", "schedule.name=constant", "schedule.warmup_steps=0", "loss=mse", "noise=0"]
    trainer = make_trainer(load(config_path(kind), settings(kind, "x", *(more if "auto" in kind else more[:3]))))
    batch = trainer.task.batches("train", 1)[0]
    losses = [trainer._update("model", [batch], 1.0)[0] for _ in range(80)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("kind", ["mlp", "dense-autoencoder"])
def test_accumulated_gradient_is_that_of_all_images_together(kind, digits, settings):
    config = load(config_path(kind), settings(kind, "x", *(["noise=0"] if "auto" in kind else [])))
    whole, parts = make_trainer(config), make_trainer(config)
    batch = whole.task.batches("train", 1)[0]
    halves = [type(batch)(batch.images[a:b], batch.labels[a:b], b - a) for a, b in ((0, 20), (20, 32))]
    whole._update("model", [batch], 1.0)
    parts._update("model", halves, 1.0)
    for name, value in whole.tensors().items():
        torch.testing.assert_close(value, parts.tensors()[name], atol=2e-5, rtol=1e-4, msg=name)


@kinds
def test_a_resumed_run_is_the_same_run(kind, digits, settings, tmp_path):
    """With augmentation that draws at random, averaged weights and, in a GAN, two optimizers and spectral norms."""
    more = ["augment.flip=0.5", "augment.erase=0.5", "train.ema=0.9", "train.accumulate=2"]
    more += ["augment.mixup=0.4"] if kind == "cnn" else []
    whole = pretrain(config_path(kind), settings(kind, tmp_path / "whole", *more))
    parts = settings(kind, tmp_path / "parts", *more)
    pretrain(config_path(kind), [*parts, "train.stop_after=3"])
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    pretrain(config_path(kind), [*parts, "train.workers=2"])
    assert_same_bytes(weights(whole, 8), weights(tmp_path / "parts", 8))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "dense-autoencoder"])
def test_two_processes_are_one(kind, digits, settings, tmp_path):
    more = ["train.batch_size=16", "augment.crop=0", *(["noise=0"] if "auto" in kind else ["augment.rotation=0"])]
    one = pretrain(config_path(kind), settings(kind, tmp_path / "one", "train.accumulate=2", *more))
    values = [part for value in settings(kind, tmp_path / "two", *more) for part in ("--set", value)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "bmtool", "pretrain", config_path(kind), *values]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    two = weights(tmp_path / "two", 8)
    for name, value in weights(one, 8).items():
        torch.testing.assert_close(value, two[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.slow
def test_kill_9_and_start_again_is_the_same_run(digits, settings):
    values = [part for value in settings("gan", "x") for part in ("--set", value)]
    done = bmtool("selfcheck", "resume", config_path("gan"), *values)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_predictions_do_not_depend_on_the_batch(kind, run_of, digits):
    predictor = load_model(run_of(kind), print).predictor
    pixels = Images(digits, "test").pixels(np.arange(70))
    together = predictor.probabilities(pixels)
    alone = np.concatenate([predictor.probabilities(pixels[n : n + 1]) for n in range(70)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["cnn", "mlp", "autoencoder", "dense-autoencoder"])
def test_pytorch_and_onnx_and_the_command_line_agree(kind, run_of, file_of, picture, invoke):
    lines = []
    for model in (run_of(kind), file_of(kind)):
        result = invoke("predict", model, picture, "--json")
        assert result.exit_code == 0, result.stderr
        lines.append(json.loads(result.stdout))
    ours, theirs = lines
    if "classes" in ours:
        assert ours["label"] == theirs["label"] and len(ours["classes"]) == 5
        pairs = zip(ours["classes"], theirs["classes"])
        assert all(a["label"] == b["label"] and abs(a["probability"] - b["probability"]) < 1e-4 for a, b in pairs)
    else:
        assert abs(ours["mse"] - theirs["mse"]) < 1e-5
        np.testing.assert_allclose(ours["code"], theirs["code"], atol=1e-3)


@pytest.mark.parametrize("kind", ["gan", "dense-gan"])
def test_a_generator_and_its_export_make_the_same_images(kind, run_of, file_of, invoke, tmp_path):
    ours, theirs = (load_model(path, print).predictor for path in (run_of(kind), file_of(kind)))
    np.testing.assert_allclose(ours.make(range(9)), theirs.make(range(9)), atol=1e-4)
    np.testing.assert_allclose(ours.make([5])[0], ours.make(range(9))[5], atol=1e-5)
    result = invoke("predict", file_of(kind), 3, 4, "--output", tmp_path / "two.png")
    assert result.exit_code == 0 and result.stdout.startswith("3\tbrightness")
    assert Image.open(tmp_path / "two.png").size == (2 * 66, 66)
    fails(invoke("predict", file_of(kind), "x"), 4, "expected a number")


def test_an_exported_model_needs_no_torch(file_of, picture):
    for kind in ("cnn", "autoencoder"):
        assert not imported_by("predict", file_of(kind), picture) & {
            "torch",
            "onnx",
            "torchvision",
            "sklearn",
            "matplotlib",
        }


def test_an_autoencoder_is_exported_in_parts(file_of, invoke, picture):
    path = file_of("autoencoder")
    assert path.with_name("model.encoder.onnx").is_file()
    fails(invoke("predict", path.with_name("model.decoder.onnx"), picture), 4, "decoder alone")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cnn", "autoencoder", "gan"])
def test_int8(kind, digits, settings, folder, invoke):
    run = pretrain(config_path(kind), settings(kind, f"int8-{kind}", "train.steps=60", "train.validate_every=60"))
    result = invoke("export-onnx", run, "--int8")
    assert result.exit_code == 0, result.stderr
    assert (run / "export" / "model-int8.onnx").is_file()


@pytest.mark.parametrize("seed", [1, 2])
def test_learns_what_can_be_learned(seed, settings, tmp_path, digits):
    more = [f"seed={seed}", "train.steps=150", "train.validate_every=150", "optim.lr=0.01", "schedule.warmup_steps=5"]
    run = pretrain(config_path("cnn"), settings("cnn", tmp_path / "run", *more))
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert [e["valid/accuracy"] for e in events if "valid/accuracy" in e][-1] > 0.75


# --- transfer ---


@pytest.mark.parametrize("parent", ["autoencoder", "gan"])
def test_an_encoder_and_a_discriminator_become_a_classifier(parent, run_of, settings, tmp_path, invoke):
    values = [part for value in settings("cnn", tmp_path / "run") for part in ("--set", value)]
    if parent == "gan":
        values += ["--set", "model.batch_norm=false", "--set", "model.spectral_norm=true"]
    result = invoke("finetune", config_path("cnn"), "--from", run_of(parent), *values, "--set", "train.steps=1")
    assert result.exit_code == 0, result.stderr
    assert "head.weight" in result.stderr and "2 tensors new" in result.stderr


def test_other_classes_get_a_new_head_and_the_same_backbone(run_of, settings, tmp_path, invoke):
    """Two classes out of ten pixels away: what a class number meant is not carried over, whatever its shape."""
    root = tmp_path / "photos"
    for name in "abcdefghij":  # as many classes as digits
        (root / name).mkdir(parents=True)
        for number in range(6):
            noise = np.random.default_rng((ord(name), number)).integers(0, 255, (12, 12), np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    more = [f"data.source={root}", f"data.prepared={tmp_path / 'p'}", "data.valid_share=0.2"]
    values = [part for value in settings("cnn", tmp_path / "run", *more) for part in ("--set", value)]
    result = invoke("finetune", config_path("cnn"), "--from", run_of("cnn"), *values, "--set", "train.steps=1")
    assert result.exit_code == 0, result.stderr
    assert "60 images read, 60 kept" in result.stderr  # data that was not prepared is prepared now
    assert "new, was for others" in result.stderr and "2 tensors new" in result.stderr
    other = invoke(
        "pretrain", config_path("cnn"), *values, "--set", f"data.source={tmp_path}", "--set", f"run={tmp_path / 'r'}"
    )
    fails(other, 2, str(root), "prepare-data", "data.prepared")


def moved(parent: Path, run: Path, step: int = 8) -> set[str]:
    old, new = Checkpoints(parent, print), weights(run, step)
    before = old.weights(old.best())
    return {name for name in new if name in before and not torch.equal(before[name], new[name])}


@pytest.mark.parametrize("kind", ["cnn", pytest.param("resnet", marks=pytest.mark.slow)])
def test_frozen_batch_norms_keep_their_statistics(kind, run_of, settings, tmp_path, digits):
    model = ["model={kind: torchvision, name: resnet18, small_stem: true}"] if kind == "resnet" else []
    parent = (
        run_of("cnn") if kind == "cnn" else pretrain(config_path("cnn"), settings("cnn", tmp_path / "parent", *model))
    )
    more = [*model, "finetune.train=head", "finetune.last_blocks=1"]
    run = finetune(config_path("cnn"), parent, settings("cnn", tmp_path / "run", *more))
    prefix = "backbone.blocks.1." if kind == "cnn" else "backbone.network.layer4."
    assert {name for name in moved(parent, run) if name.startswith(prefix) and "running_mean" in name}
    assert all(name.startswith(("head.", prefix)) for name in moved(parent, run))


def test_only_the_head_learns_from_features_that_are_computed_once(run_of, settings, tmp_path, monkeypatch):
    parent, calls = run_of("cnn"), []
    from bmtool.nn import vision

    forward = vision.Cnn.forward
    monkeypatch.setattr(vision.Cnn, "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    more = ["finetune.train=head", "augment.crop=0", "augment.rotation=0", "train.validate_every=8", "train.steps=40"]
    run = finetune(config_path("cnn"), parent, settings("cnn", tmp_path / "run", *more))
    assert moved(parent, run, 40) == {"head.weight", "head.bias"}
    assert sum(calls) < 200 + 5 * 206 + 100  # the training images once, and five validations


def test_gradual_unfreezing_and_layer_decay(run_of, settings, tmp_path):
    more = ["finetune.unfreeze_every=4", "train.save_every=1", "train.keep_last=9", "augment.crop=0"]
    run = finetune(config_path("cnn"), run_of("cnn"), settings("cnn", tmp_path / "run", *more))
    assert all(name.startswith("head.") for name in moved(run_of("cnn"), run, 4))
    assert {name.split(".")[2] for name in moved(run_of("cnn"), run, 8) if name.startswith("backbone")} == {"1"}
    resumed = settings("cnn", tmp_path / "resumed", *more)
    finetune(config_path("cnn"), run_of("cnn"), [*resumed, "train.stop_after=6"])
    finetune(config_path("cnn"), run_of("cnn"), resumed)
    assert_same_bytes(weights(run, 8), weights(tmp_path / "resumed", 8))

    trainer = make_trainer(load(config_path("cnn"), settings("cnn", "x", "finetune.layer_decay=0.5")))
    rates = {
        id(p): group["base_lr"]
        for optimizer in trainer.optimizers["model"]._all
        for group in optimizer.param_groups
        for p in group["params"]
    }
    lr = trainer.config.optim.lr
    for depth, names in enumerate(stages(trainer.task.modules)):
        assert {rates[id(trainer.named[name])] for name in names} == {lr * 0.5**depth}


def test_weights_from_a_file(settings, tmp_path, digits, invoke):
    from bmtool.torchvision import torchvision

    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    kind = f"model={{kind: torchvision, name: resnet18, weights: {tmp_path / 'resnet18.pth'}}}"
    trainer = make_trainer(load(config_path("cnn"), settings("cnn", "x", kind)))
    ours = trainer.task.modules["backbone"].network.layer4[1].conv2.weight
    assert torch.equal(ours, model.layer4[1].conv2.weight)
    assert trainer.task.modules["backbone"].normalise.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    (tmp_path / "text.pth").write_text("no weights")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    for name, words in (
        ("text.pth", "not a file of weights"),
        ("other.pth", "missing or of another shape"),
        ("no.pth", "no such file"),
    ):
        bad = f"model={{kind: torchvision, name: resnet18, weights: {tmp_path / name}}}"
        fails(invoke("pretrain", config_path("cnn"), *sets(settings("cnn", tmp_path / "r", bad))), 4, words)
    bad = "model={kind: torchvision, name: resnet81}"
    fails(
        invoke("pretrain", config_path("cnn"), *sets(settings("cnn", tmp_path / "r", bad))), 2, "did you mean 'resnet"
    )


def sets(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


# --- imbalance ---


def test_balanced_orders():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    over = Order(labels, 100, 1, "over")
    counts = np.bincount(np.concatenate([labels[over[n]] for n in range(over.per_epoch)]), minlength=3)
    assert counts.sum() == 1000 and counts.min() > 250
    under = Order(labels, 10, 1, "under")
    epochs = [np.concatenate([under[e * under.per_epoch + n] for n in range(under.per_epoch)]) for e in (0, 1)]
    assert all(np.bincount(labels[epoch]).tolist() == [10, 10, 10] for epoch in epochs)
    assert set(epochs[0][labels[epochs[0]] == 0]) != set(epochs[1][labels[epochs[1]] == 0])
    assert np.array_equal(Order(labels, 100, 1, "over")[13], over[13])


@pytest.mark.parametrize("more", [
    ["balance=over"], ["balance=under"], ["loss.class_weights=true"], ["loss.focal=2"],
    ["loss.class_weights=true", "loss.focal=2"], ["augment.mixup=0.2", "augment.cutmix=1"],
    ["augment.trivial=true", "augment.resized_crop=0.5", "augment.colour=0.3"],
])  # fmt: skip
def test_every_remedy_trains(more, digits, settings, tmp_path):
    run = pretrain(config_path("cnn"), settings("cnn", tmp_path / "run", "train.steps=2", *more))
    assert (run / "plots" / "augmented.png").is_file()


def test_class_weights_are_inverse_to_frequency(digits, settings):
    trainer = make_trainer(load(config_path("cnn"), settings("cnn", "x", "loss.class_weights=true")))
    np.testing.assert_allclose(trainer.task._weights, np.ones(10), atol=1e-6)  # twenty of each


def test_smote_fills_classes_up(run_of, settings, tmp_path, invoke):
    pytest.importorskip("imblearn")
    plain = ["finetune.train=head", "augment.crop=0", "augment.rotation=0", "balance=smote"]
    run = finetune(config_path("cnn"), run_of("cnn"), settings("cnn", tmp_path / "run", *plain))
    assert moved(run_of("cnn"), run) == {"head.weight", "head.bias"}
    fails(
        invoke("pretrain", config_path("cnn"), *sets(settings("cnn", tmp_path / "x", "balance=smote"))),
        2,
        "finetune.train: head",
    )


# --- evaluate and predict ---


def test_evaluate_draws_and_averages(run_of, invoke, tmp_path):
    result = invoke("evaluate", run_of("cnn"), run_of("mlp"), "--output", tmp_path, "--require", "top5_accuracy>=0.3")
    assert result.exit_code == 0, result.stderr
    for picture in ("confusion", "roc", "mistakes"):
        assert Image.open(tmp_path / f"test-mean-of-2.{picture}.png").width > 100
    value = json.loads((tmp_path / "test-mean-of-2.json").read_text("utf-8"))
    assert set(value["metrics"]) >= {"accuracy", "top5_accuracy", "macro_f1", "auc", "ece", "loss"}
    assert len(value["slices"]["class"]) == 10
    ours, theirs = (load_model(run_of(kind), print).predictor for kind in ("cnn", "mlp"))
    pixels = np.random.default_rng(1).integers(0, 255, (3, 8, 8, 1), np.uint8)
    from bmtool.tasks.image_classification.predict import combine

    mean = combine([ours, theirs]).probabilities(pixels)
    np.testing.assert_allclose(mean, (ours.probabilities(pixels) + theirs.probabilities(pixels)) / 2, atol=1e-6)
    fails(invoke("evaluate", run_of("cnn"), run_of("gan")), 2, "averaged")


def test_evaluate_compares_classes_with_a_baseline(run_of, invoke, tmp_path):
    result = invoke("evaluate", run_of("cnn"), "--baseline", run_of("mlp"), "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "test.md").read_text("utf-8")
    rows = [line for line in page.split("## By class")[1].splitlines() if line.startswith("| 3 ")]
    assert rows and rows[0].count(", +") + rows[0].count(", -") == 3


def test_evaluate_on_folders_leaves_unknown_classes_out(file_of, picture, invoke, tmp_path):
    for name in ("3", "cat"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "x.png").write_bytes(picture.read_bytes())
    result = invoke("evaluate", file_of("cnn"), "--data", tmp_path / "set", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "1 examples" in result.stdout and "a class that the model does not know" in result.stderr
    for kind, metric in (("autoencoder", "psnr"), ("dense-gan", "diversity")):
        other = tmp_path / "set" / "3" / "y.png"
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 8), np.uint8)).save(other)
        result = invoke("evaluate", file_of(kind), "--data", tmp_path / "set", "--output", tmp_path)
        assert result.exit_code == 0 and metric in result.stdout, result.stderr


@pytest.mark.parametrize("views", ["flip", "shifts"])
def test_test_time_augmentation_is_the_mean_of_the_views(views, run_of):
    predictor = load_model(run_of("cnn"), print).predictor
    pixels = np.random.default_rng(1).integers(0, 255, (2, 8, 8, 1), np.uint8)
    if views == "flip":
        expected = (predictor.probabilities(pixels) + predictor.probabilities(pixels[:, :, ::-1])) / 2
    else:
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
        corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
        expected = np.mean([predictor.probabilities(padded[:, a : a + 8, b : b + 8]) for a, b in corners], axis=0)
    predictor.views = views
    np.testing.assert_allclose(predictor.probabilities(pixels), expected, atol=1e-6)


def test_predict_answers_what_it_can(run_of, file_of, picture, invoke, tmp_path):
    (tmp_path / "bad.png").write_text("text")
    result = invoke("predict", file_of("cnn"), tmp_path / "bad.png", picture, tmp_path / "none.png", "--top", 2)
    assert result.exit_code == 4
    assert result.stdout.count("\n") == 1 and result.stdout.startswith(str(picture)) and result.stdout.count("\t") == 2
    assert "bad.png: no image" in result.stderr and "none.png: no such file" in result.stderr
    assert "2 of the inputs" in result.stderr
    result = invoke("predict", run_of("cnn"), picture.parent, "--explain", tmp_path / "why.png")
    assert Image.open(tmp_path / "why.png").width == 2 * (128 + 2)
    fails(invoke("predict", file_of("cnn"), picture, "--explain", tmp_path / "why.png"), 2, "name the run")
    fails(invoke("predict", run_of("mlp"), picture, "--explain", tmp_path / "why.png"), 2, "convolutions, not mlp")
    fails(invoke("predict", run_of("cnn"), picture, "--output", tmp_path / "x.png"), 2, "--output")


def test_predict_answers_for_text_too(invoke):
    result = invoke("predict", "default", "ni hao", "--top", 2)
    assert result.exit_code == 0 and result.stdout.startswith("ni hao\t你好 "), result.stderr


# --- figures against independent ones ---


def test_area_under_the_curve_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random_ = np.random.default_rng(1)
    labels = random_.integers(0, 4, 300)
    scores = random_.random((300, 4)).round(1) + 0.3 * np.eye(4)[labels]  # with ties
    scores /= scores.sum(axis=1, keepdims=True)
    ours, curves = areas(labels, scores)
    assert ours[0] == pytest.approx(metrics.roc_auc_score(labels, scores, multi_class="ovr"), abs=1e-9)
    assert ours[1:].std() > 0 and len(curves) == 4
    false, true, _ = metrics.roc_curve(labels == 2, scores[:, 2], drop_intermediate=False)
    np.testing.assert_allclose(curves[2][0], false, atol=1e-9)
    np.testing.assert_allclose(curves[2][1], true, atol=1e-9)


def test_distances_between_sets_of_images():
    random_ = np.random.default_rng(1)
    a, b = random_.normal(0, 1, (4000, 3)), random_.normal(2, 2, (4000, 3))
    held = []
    for values in (a, b):
        held.append(Moments(3, 1))
        held[-1].add(values, np.ones((4000, 1)))
    assert frechet(*held)[0] == pytest.approx(
        3 * (2**2 + (2 - 1) ** 2), rel=0.1
    )  # (difference of means)^2 + (of deviations)^2, 3 times
    assert frechet(held[0], held[0])[0] == pytest.approx(0, abs=1e-6)
    assert abs(kernel_distance(a[:500], a[500:1000])) < 0.3 < kernel_distance(a[:500], b[:500])
    images = random_.random((50, 4, 4, 1))
    assert diversity(images, images) == pytest.approx(1)
    assert diversity(np.repeat(images[:1], 50, axis=0), images) == pytest.approx(0, abs=1e-6)


def test_the_heat_of_grad_cam_lies_where_the_evidence_is():
    from bmtool.nn.vision import grad_cam

    maps = torch.rand(1, 4, 6, 6, requires_grad=True)
    heat = grad_cam(maps, maps[:, 0].sum(dim=(1, 2)) - maps[:, 1].sum(dim=(1, 2)))[0]
    expected = (maps[0, 0] - maps[0, 1]).clamp_min(0).detach()
    torch.testing.assert_close(heat, expected / expected.max())


def test_every_image_task_is_covered():
    assert {task for task, _ in KINDS.values()} == set(registry.TASKS) - {"pinyin2hanzi"}
    assert pictures.SUFFIXES
