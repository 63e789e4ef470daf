"""What image tasks do beyond the contract (tests/test_contract.py): transfer, imbalance, and what `evaluate` and `predict` say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import config_path, sets
from PIL import Image
from test_cli import fails
from test_contract import assert_same_bytes, make_trainer, weights

from bmtool import Model
from bmtool.commands.loading import load_model
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.data.batching import Order
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.stages import stages
from bmtool.errors import BadInput, ConfigError
from bmtool.images.pictures import Frame
from bmtool.images.prepare import Images
from bmtool.measure.bootstrap import RESAMPLES
from bmtool.measure.ranking import areas, mean
from bmtool.predict.labels import Ensemble
from bmtool.tasks.gan.distances import Features, Moments, diversity, frechet, kernel_distance

CNN, MLP = "image-classification", "image-classification-mlp"


@pytest.fixture
def digits(prepared) -> Path:
    return prepared(CNN)


@pytest.fixture
def picture(digits, tmp_path) -> Path:
    """One digit as a file."""
    pixels = Images(digits, "test").pixels(np.array([3]))[0]
    Image.fromarray(pixels[..., 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


# --- what only some can do ---


def size_of(picture):
    """(width, height) of an image file."""
    with Image.open(picture) as image:
        return image.size


@pytest.mark.parametrize("kind", ["gan", "gan-mlp"])
def test_a_generator_and_its_export_make_the_same_images(kind, trained, exported, invoke, tmp_path):
    ours, theirs = (load_model(path, print).predictor for path in (trained(kind), exported(kind)))
    np.testing.assert_allclose(ours.make(range(9)), theirs.make(range(9)), atol=1e-4)
    np.testing.assert_allclose(ours.make([5])[0], ours.make(range(9))[5], atol=1e-5)
    result = invoke("predict", exported(kind), 3, 4, "--output", tmp_path / "two.png")
    assert result.exit_code == 0 and result.stdout.startswith("3\tbrightness")
    assert size_of(tmp_path / "two.png") == (2 * 66, 66)
    fails(invoke("predict", exported(kind), "x"), 4, "expected a number")


def test_generated_images_are_compared_by_what_an_exported_classifier_sees(exported):
    size = load_model(exported(CNN), print).predictor.size
    found = Features(str(exported(CNN)))(np.random.default_rng(0).random((3, size, size, 1), dtype=np.float32))
    assert len(found) == 3 and np.isfinite(found).all() and found.std() > 0
    with pytest.raises(ConfigError, match="not an image classifier"):
        Features(str(exported("autoencoder")))


def test_an_autoencoder_is_exported_in_parts(exported, invoke, picture):
    path = exported("autoencoder")
    assert path.with_name("model.encoder.onnx").is_file()
    fails(invoke("predict", path.with_name("model.decoder.onnx"), picture), 4, "decoder alone")


@pytest.mark.parametrize("seed", [1, 2])
def test_learns_what_can_be_learned(seed, settings, tmp_path, digits):
    more = [f"seed={seed}", "train.steps=150", "train.validate_every=150", "optim.lr=0.01", "schedule.warmup_steps=5"]
    run = pretrain(config_path(CNN), settings(CNN, tmp_path / "run", *more))
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert [e["valid/accuracy"] for e in events if "valid/accuracy" in e][-1] > 0.75


# --- transfer ---


@pytest.mark.parametrize("parent", ["autoencoder", "gan"])
def test_an_encoder_and_a_discriminator_become_a_classifier(parent, trained, settings, tmp_path, invoke):
    values = [part for value in settings(CNN, tmp_path / "run") for part in ("--set", value)]
    if parent == "gan":
        values += ["--set", "model.batch_norm=false", "--set", "model.spectral_norm=true"]
    result = invoke("finetune", config_path(CNN), "--from", trained(parent), *values, "--set", "train.steps=1")
    assert result.exit_code == 0, result.stderr
    assert "head.weight" in result.stderr and "2 tensors new" in result.stderr


def test_other_classes_get_a_new_head_and_the_same_backbone(trained, settings, tmp_path, invoke):
    """Two classes out of ten pixels away: what a class number meant is not carried over, whatever its shape."""
    root = tmp_path / "photos"
    for name in "abcdefghij":  # as many classes as digits
        (root / name).mkdir(parents=True)
        for number in range(6):
            noise = np.random.default_rng((ord(name), number)).integers(0, 255, (12, 12), np.uint8)
            Image.fromarray(noise).save(root / name / f"{number}.png")
    more = [f"data.source={root}", f"data.prepared={tmp_path / 'p'}", "data.valid_share=0.2"]
    values = [part for value in settings(CNN, tmp_path / "run", *more) for part in ("--set", value)]
    result = invoke("finetune", config_path(CNN), "--from", trained(CNN), *values, "--set", "train.steps=1")
    assert result.exit_code == 0, result.stderr
    assert "60 images read, 60 kept" in result.stderr  # data that was not prepared is prepared now
    assert "new, was for others" in result.stderr and "2 tensors new" in result.stderr
    other = invoke(
        "pretrain", config_path(CNN), *values, "--set", f"data.source={tmp_path}", "--set", f"run={tmp_path / 'r'}"
    )
    assert other.exit_code == 0, other.stderr
    assert f"data.source: {root} -> {tmp_path}: preparing again" in other.stderr


def moved(parent: Path, run: Path, step: int = 8) -> set[str]:
    old, new = Checkpoints(parent, print), weights(run, step)
    before = old.weights(old.best())
    return {name for name in new if name in before and not torch.equal(before[name], new[name])}


@pytest.mark.parametrize("kind", ["cnn", pytest.param("resnet", marks=pytest.mark.slow)])
def test_frozen_batch_norms_keep_their_statistics(kind, trained, settings, tmp_path, digits):
    model = ["model={kind: torchvision, name: resnet18, small_stem: true}"] if kind == "resnet" else []
    parent = trained(CNN) if kind == "cnn" else pretrain(config_path(CNN), settings(CNN, tmp_path / "parent", *model))
    more = [*model, "finetune.train=head", "finetune.last_blocks=1"]
    run = finetune(config_path(CNN), parent, settings(CNN, tmp_path / "run", *more))
    prefix = "backbone.blocks.1." if kind == "cnn" else "backbone.network.layer4."
    assert {name for name in moved(parent, run) if name.startswith(prefix) and "running_mean" in name}
    assert all(name.startswith(("head.", prefix)) for name in moved(parent, run))


def test_only_the_head_learns_from_features_that_are_computed_once(trained, settings, tmp_path, monkeypatch):
    parent, calls = trained(CNN), []
    from bmtool.nn import vision

    forward = vision.Cnn.forward
    monkeypatch.setattr(vision.Cnn, "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    more = ["finetune.train=head", "augment.crop=0", "augment.rotation=0", "train.validate_every=8", "train.steps=40"]
    run = finetune(config_path(CNN), parent, settings(CNN, tmp_path / "run", *more))
    assert "only the head learns, on features" in (run / "log.txt").read_text("utf-8")
    assert moved(parent, run, 40) == {"head.weight", "head.bias"}
    assert sum(calls) < 200 + 5 * 206 + 100  # the training images once, and five validations


def test_gradual_unfreezing_and_layer_decay(trained, settings, tmp_path):
    more = ["finetune.unfreeze_every=4", "train.save_every=1", "train.keep_last=9", "augment.crop=0"]
    run = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "run", *more))
    assert all(name.startswith("head.") for name in moved(trained(CNN), run, 4))
    assert {name.split(".")[2] for name in moved(trained(CNN), run, 8) if name.startswith("backbone")} == {"1"}
    resumed = settings(CNN, tmp_path / "resumed", *more)
    finetune(config_path(CNN), trained(CNN), [*resumed, "train.stop_after=6"])
    finetune(config_path(CNN), trained(CNN), resumed)
    assert_same_bytes(weights(run, 8), weights(tmp_path / "resumed", 8))

    trainer = make_trainer(load(config_path(CNN), settings(CNN, "x", "finetune.layer_decay=0.5")))
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
    trainer = make_trainer(load(config_path(CNN), settings(CNN, "x", kind)))
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
        fails(invoke("pretrain", config_path(CNN), *sets(settings(CNN, tmp_path / "r", bad))), 4, words)
    bad = "model={kind: torchvision, name: resnet81}"
    fails(invoke("pretrain", config_path(CNN), *sets(settings(CNN, tmp_path / "r", bad))), 2, "did you mean 'resnet")


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
    run = pretrain(config_path(CNN), settings(CNN, tmp_path / "run", "train.steps=2", *more))
    assert (run / "plots" / "augmented.png").is_file()


def test_class_weights_are_inverse_to_frequency(digits, settings):
    trainer = make_trainer(load(config_path(CNN), settings(CNN, "x", "loss.class_weights=true")))
    np.testing.assert_allclose(trainer.task._weights, np.ones(10), atol=1e-6)  # twenty of each


def test_smote_fills_classes_up(trained, settings, tmp_path, invoke):
    pytest.importorskip("imblearn")
    plain = ["finetune.train=head", "augment.crop=0", "augment.rotation=0", "balance=smote"]
    run = finetune(config_path(CNN), trained(CNN), settings(CNN, tmp_path / "run", *plain))
    assert moved(trained(CNN), run) == {"head.weight", "head.bias"}
    fails(
        invoke("pretrain", config_path(CNN), *sets(settings(CNN, tmp_path / "x", "balance=smote"))),
        2,
        "finetune.train: head",
    )


# --- evaluate and predict ---


def test_evaluate_draws_and_averages(trained, invoke, tmp_path):
    result = invoke("evaluate", trained(CNN), trained(MLP), "--output", tmp_path, "--require", "top5_accuracy>=0.3")
    assert result.exit_code == 0, result.stderr
    for picture in ("confusion", "roc", "mistakes"):
        assert size_of(tmp_path / f"test-mean-of-2.{picture}.png") > (100, 0)
    value = json.loads((tmp_path / "test-mean-of-2.json").read_text("utf-8"))
    assert set(value["metrics"]) >= {"accuracy", "top5_accuracy", "macro_f1", "auc", "ece", "loss"}
    assert len(value["slices"]["class"]) == 10
    ours, theirs = (load_model(trained(case), print).predictor for case in (CNN, MLP))
    pixels = np.random.default_rng(1).integers(0, 255, (3, 8, 8, 1), np.uint8)
    both = Ensemble([ours, theirs], [1.0, 1.0])
    mean = both.probabilities([both.read(image) for image in pixels])
    np.testing.assert_allclose(mean, (ours.probabilities(pixels) + theirs.probabilities(pixels)) / 2, atol=1e-6)
    fails(invoke("evaluate", trained(CNN), trained("gan")), 2, "averaged")


def test_evaluate_compares_classes_with_a_baseline(trained, invoke, tmp_path):
    result = invoke("evaluate", trained(CNN), "--baseline", trained(MLP), "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "test.md").read_text("utf-8")
    rows = [line for line in page.split("## By class")[1].splitlines() if line.startswith("| 3 ")]
    assert rows and rows[0].count(", +") + rows[0].count(", -") == 3


def test_evaluate_on_folders_leaves_unknown_classes_out(exported, picture, invoke, tmp_path):
    for name in ("3", "cat"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "x.png").write_bytes(picture.read_bytes())
    result = invoke("evaluate", exported(CNN), "--data", tmp_path / "set", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "1 examples" in result.stdout and "a class that the model does not know" in result.stderr
    for kind, metric in (("autoencoder", "psnr"), ("gan-mlp", "diversity")):
        other = tmp_path / "set" / "3" / "y.png"
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 8), np.uint8)).save(other)
        result = invoke("evaluate", exported(kind), "--data", tmp_path / "set", "--output", tmp_path)
        assert result.exit_code == 0 and metric in result.stdout, result.stderr


@pytest.mark.parametrize("views", ["flip", "shifts"])
def test_test_time_augmentation_is_the_mean_of_the_views(views, trained):
    predictor = load_model(trained(CNN), print).predictor
    pixels = np.random.default_rng(1).integers(0, 255, (2, 8, 8, 1), np.uint8)
    if views == "flip":
        expected = (predictor.probabilities(pixels) + predictor.probabilities(pixels[:, :, ::-1])) / 2
    else:
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
        corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
        expected = np.mean([predictor.probabilities(padded[:, a : a + 8, b : b + 8]) for a, b in corners], axis=0)
    predictor.views = views
    np.testing.assert_allclose(predictor.probabilities(pixels), expected, atol=1e-6)


def test_predict_answers_what_it_can(trained, exported, picture, invoke, tmp_path):
    (tmp_path / "bad.png").write_text("text")
    result = invoke("predict", exported(CNN), tmp_path / "bad.png", picture, tmp_path / "none.png", "--top", 2)
    assert result.exit_code == 4
    assert result.stdout.count("\n") == 1 and result.stdout.startswith(str(picture)) and result.stdout.count("\t") == 2
    assert "bad.png: no image" in result.stderr and "none.png: no such file" in result.stderr
    assert "2 of the inputs" in result.stderr
    result = invoke("predict", trained(CNN), picture.parent, "--explain", tmp_path / "why.png")
    assert size_of(tmp_path / "why.png")[0] == 2 * (128 + 2)
    fails(invoke("predict", exported(CNN), picture, "--explain", tmp_path / "why.png"), 2, "name the run")
    fails(invoke("predict", trained(MLP), picture, "--explain", tmp_path / "why.png"), 2, "convolutions, not mlp")
    fails(invoke("predict", trained(CNN), picture, "--output", tmp_path / "x.png"), 2, "--output")


def test_images_from_python(exported, picture):
    model, file = Model(exported(CNN)), Image.open(picture)
    expected = model.predict(picture)
    pixels = np.asarray(file.convert("L"))
    for image in (str(picture), picture.read_bytes(), file, pixels, pixels[..., None], np.stack([pixels] * 3, axis=2)):
        assert model.predict(image).distance(expected) < 1e-6
        assert model.predict([image])[0] == model.predict(image)
    assert file.getpixel((0, 0)) == pixels[0, 0]  # it is still open
    assert "file" in model.records(picture) and "file" not in model.records(pixels)
    assert len(model.predict([np.zeros((30, 40, 3), np.uint8)])) == 1
    for wrong in (np.zeros((30, 40, 3)), np.zeros((2, 8, 8, 1), np.uint8), np.zeros((8, 8, 1)), {"a": 1}):
        with pytest.raises(BadInput, match=r"got (float64|uint8|dict)"):
            model.predict(wrong)


def test_predict_answers_for_text_too(invoke):
    assert Model().predict("ni hao").text == "你好"
    result = invoke("predict", "default", "ni hao", "--top", 2)
    assert result.exit_code == 0 and result.stdout.startswith("ni hao\t你好 "), result.stderr


# --- figures against independent ones ---


def test_area_under_the_curve_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random_ = np.random.default_rng(1)
    labels = random_.integers(0, 4, 300)
    scores = random_.random((300, 4)).round(1) + 0.3 * np.eye(4)[labels]  # with ties
    scores /= scores.sum(axis=1, keepdims=True)
    found = areas(labels, scores)
    ours = mean(list(found.auc.values()), 1 + RESAMPLES)
    assert ours[0] == pytest.approx(metrics.roc_auc_score(labels, scores, multi_class="ovr"), abs=1e-9)
    assert ours[1:].std() > 0 and len(found.curves) == 4
    for number, each in found.average_precision.items():
        assert each[0] == pytest.approx(metrics.average_precision_score(labels == number, scores[:, number]), abs=1e-9)
    false, true, _ = metrics.roc_curve(labels == 2, scores[:, 2], drop_intermediate=False)
    np.testing.assert_allclose(found.curves[2].false, false, atol=1e-9)
    np.testing.assert_allclose(found.curves[2].true, true, atol=1e-9)


def test_distances_between_sets_of_images():
    random_ = np.random.default_rng(1)
    a, b = random_.normal(0, 1, (4000, 3)), random_.normal(2, 2, (4000, 3))
    held = []
    for values in (a, b):
        held.append(Moments(3, 1))
        held[-1].add(values, np.ones((4000, 1)))
    # (difference of means)^2 + (of deviations)^2, 3 times
    assert frechet(*held)[0] == pytest.approx(3 * (2**2 + (2 - 1) ** 2), rel=0.1)
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


# --- files that are no images, and values of more than 8 bits ---


def test_predict_tells_what_it_passes_over_and_that_there_was_nothing(exported, picture, invoke):
    for name in ("notes.txt", ".hidden.png", "photo.HEIC"):
        (picture.parent / name).write_text("x")
    result = invoke("predict", exported(CNN), picture.parent)
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1
    assert "ignored 3: 1 x .heic (convert it to .png or .jpg first)" in result.stderr
    picture.unlink()
    fails(invoke("predict", exported(CNN), picture.parent), 4, "nothing to predict: no image in", "1 x .txt")
    fails(invoke("predict", exported(CNN), picture.parent / "*.png"), 4, "no such file")
    fails(invoke("predict", exported("gan-mlp"), "-", stdin=""), 4, "nothing to predict: no number in -")


def test_evaluate_tells_what_it_passes_over(exported, digits, invoke, tmp_path):
    images = Images(digits, "test")
    for number in range(20):
        place = tmp_path / "set" / images.manifest["labels"][images.labels[number]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels(np.array([number]))[0, ..., 0]).save(place / f"{number}.png")
    (tmp_path / "set" / "list.txt").write_text("x")
    result = invoke("evaluate", exported(CNN), "--data", tmp_path / "set", "--output", tmp_path / "out")
    assert result.exit_code == 0 and f"ignored 1: 1 x .txt ({tmp_path / 'set' / 'list.txt'})" in result.stderr


def test_evaluate_takes_a_folder_by_its_very_name(exported, picture, invoke, tmp_path, monkeypatch):
    """What is measured on is no setting: `$` and `~` in the name of a folder that is there stand for themselves."""
    monkeypatch.chdir(tmp_path)
    for name in ("$photos", "~me"):
        (tmp_path / name / "3").mkdir(parents=True)
        (tmp_path / name / "3" / "x.png").write_bytes(picture.read_bytes())
        result = invoke("evaluate", exported(CNN), "--data", name, "--output", "out")
        assert result.exit_code == 0 and "1 examples" in result.stdout, result.stderr


def test_a_run_and_its_export_read_values_as_their_data_were_read(settings, invoke, tmp_path):
    """12 bits in 16: the same scene in 8 bits is the same input, for the run, its export, Python and a copy of both."""
    scenes = np.random.default_rng(1).random((40, 8, 8))
    for number, scene in enumerate(scenes):
        place = tmp_path / "set" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((scene * 4095).round().astype(np.uint16)).save(place / f"{number}.png")
    values = [
        f"data.source={tmp_path / 'set'}",
        f"data.prepared={tmp_path / 'p'}",
        f"run={tmp_path / 'run'}",
        "data.range=12bit",
    ]
    run = pretrain(
        config_path(MLP), [*settings(MLP)[2:], *values, "train.steps=1", "train.batch_size=8", "data.test_share=0.3"]
    )
    assert invoke("export-onnx", run).exit_code == 0
    eight = (scenes[0] * 255).round().astype(np.uint8)
    for model in (run, run / "export" / "model.onnx"):
        predictor = load_model(model, print).predictor
        read = predictor.read(tmp_path / "set" / "a" / "0.png")
        assert np.abs(read[..., 0].astype(int) - eight).max() <= 1
        with pytest.raises(BadInput, match="outside 0 to 4,095"):
            predictor.read(Image.fromarray(np.full((8, 8), 5000, np.uint16)))
    before = Frame.of({"size": 8})
    assert before == Frame(8, "square", "auto")  # a model of an earlier version


def test_images_of_a_list_that_are_not_there_are_left_out_and_counted(trained, tmp_path, invoke):
    """In a folder with a name in which a shell would see a variable."""
    folder = tmp_path / "$of ours"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "there.png")
    (folder / "list.csv").write_text("file,label\ngone.png,3\nthere.png,4\n", encoding="utf-8")
    run = trained("image-classification-mlp")
    result = invoke("evaluate", str(run), "--data", str(folder / "list.csv"), "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert "left out 1 x" in result.stderr and "gone.png" in result.stderr
