"""Models are compared and averaged by the names of their classes, each at its own image size; what cannot be compared is refused."""

import json
import shutil

import numpy as np
import pytest
from conftest import config_path
from PIL import Image
from test_cli import fails

from bmtool.api import Model
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.images.prepare import Images
from bmtool.predict.labels import Ensemble

MLP = "image-classification-mlp"
EACH = 30  # images of a class


def draw(folder, shade: int, seed: int) -> None:
    """Noisy images 12 x 12 around a shade of grey."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(EACH):
        pixels = (shade + random.normal(0, 40, (12, 12))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Folders of images: `abc`, one with a class more, one with a class less, one with a class of another name."""
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate("abcd"):
        draw(root / "abcd" / name, 40 + 50 * number, number)
    shutil.copytree(root / "abcd", root / "abc", ignore=shutil.ignore_patterns("d"))
    shutil.copytree(root / "abc", root / "ab", ignore=shutil.ignore_patterns("c"))
    shutil.copytree(root / "abc", root / "abz")
    (root / "abz" / "c").rename(root / "abz" / "z")
    return root


@pytest.fixture(scope="module")
def learned(photos):
    """`learned(folder, name, more...)`: a run on a folder of images, made once."""

    def make(folder: str, name: str, *more: str):
        run = photos / "runs" / name
        if not run.exists():
            values = [
                f"data.source={photos / folder}", f"data.prepared={photos / 'prepared' / name}", f"run={run}", "data.per_class=null",
                "data.valid_share=0.2", "data.test_share=0.3", "train.steps=30", "train.validate_every=30", *more,
            ]  # fmt: skip
            pretrain(config_path(MLP), values)
        return run

    return make


@pytest.fixture
def abc(learned):
    return learned("abc", "abc")


@pytest.fixture
def backwards(learned, photos):
    """A run that knows the same classes in another order."""
    (photos / "order").mkdir(exist_ok=True)
    (photos / "order" / "labels.json").write_text('["c", "b", "a"]')
    return learned("abc", "backwards", f"data.labels={photos / 'order'}", "seed=2")


def figures(folder, name: str = "test") -> dict:
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def assert_measured_alike(model, baseline, tmp_path, data=None):
    """The differences from a baseline are those of two evaluations on the same examples."""
    compared = evaluate([model], baseline=baseline, data=data, output=str(tmp_path / "both"))
    alone = evaluate([baseline], data=data, output=str(tmp_path / "alone"))
    value = figures(tmp_path / "both", "test" if data is None else "abc")
    assert compared.examples == alone.examples == value["examples"]
    for name, difference in value["baseline"]["differences"].items():
        expected = compared.figures[name].value - alone.figures[name].value
        assert difference["value"] == pytest.approx(expected, abs=1e-6), name


def test_another_order_of_the_classes_changes_no_figure(abc, backwards, tmp_path):
    assert load_model(backwards, print).predictor.labels == ["c", "b", "a"]
    assert evaluate([backwards], output=str(tmp_path)).figures["accuracy"].value > 0.5
    assert_measured_alike(abc, backwards, tmp_path)


def test_a_class_more_is_measured_on_the_same_examples(abc, learned, photos, tmp_path):
    """Its own split holds images of the fourth class, so the three are given as folders."""
    more = learned("abcd", "abcd")
    assert_measured_alike(abc, more, tmp_path, data=str(photos / "abc"))
    evaluate([abc], baseline=more, output=str(tmp_path))
    assert figures(tmp_path)["examples"] == evaluate([abc], output=str(tmp_path / "alone")).examples


@pytest.mark.parametrize("folder", ["ab", "abz"], ids=["a class less", "a renamed class"])
def test_a_baseline_that_lacks_a_class_of_the_data_is_refused(folder, abc, learned, invoke, tmp_path):
    other = learned(folder, folder)
    result = invoke("evaluate", abc, "--baseline", other, "--output", tmp_path)
    fails(result, 4, str(other), "'c'", "a class that the model does not know")
    assert not (tmp_path / "test.json").exists()


def test_each_model_reads_the_images_at_its_own_size(abc, learned, photos, tmp_path):
    small = learned("abc", "small", "data.size=4")
    sizes = [load_model(run, print).predictor.size for run in (abc, small)]
    assert sizes == [8, 4]
    assert_measured_alike(abc, small, tmp_path, data=str(photos / "abc"))
    evaluate([abc], baseline=small, output=str(tmp_path))  # on a split, from the images as they came
    together = evaluate([abc, small], output=str(tmp_path / "mean"))
    assert together.examples == evaluate([abc], output=str(tmp_path / "one")).examples


def test_what_a_baseline_has_seen_is_counted(abc, learned, photos, invoke, tmp_path):
    """Images of other sizes are dealt to other splits."""
    small = learned("abc", "small", "data.size=4")
    mine, theirs = (photos / "prepared" / name for name in ("abc", "small"))
    seen = set(Images(mine, "test").names()) & set(Images(theirs, "train").names())
    said = f"{small} was trained on other splits: {len(seen)} of these {len(Images(mine, 'test'))} examples"
    assert seen
    assert said in invoke("evaluate", abc, "--baseline", small, "--output", tmp_path).stderr
    assert said in invoke("evaluate", abc, small, "--output", tmp_path).stderr
    assert "was trained on" not in invoke("evaluate", abc, "--baseline", abc, "--output", tmp_path).stderr


def test_when_the_images_have_gone_models_of_other_sizes_are_refused(learned, photos, invoke, tmp_path):
    big, small = learned("abc", "abc"), learned("abc", "small", "data.size=4")
    source = photos / "abc"
    source.rename(photos / "hidden")
    try:
        fails(invoke("evaluate", big, "--baseline", small, "--output", tmp_path), 4, str(source))
    finally:
        (photos / "hidden").rename(source)


def test_several_models_are_averaged_by_name_and_weight(abc, backwards, photos, invoke, tmp_path):
    files = sorted((photos / "abc").glob("*/1.png"))
    first, second = ([dict(value.classes) for value in Model(run)(files, top=3)] for run in (abc, backwards))
    mean = Ensemble([load_model(run, print).predictor for run in (abc, backwards)], [3, 1])
    for row, a, b in zip(mean.probabilities([mean.read(file) for file in files]), first, second):
        assert dict(zip(mean.labels, row)) == pytest.approx(
            {name: 0.75 * a[name] + 0.25 * b[name] for name in a}, abs=1e-5
        )
    measured = {}
    for weight in ([], [3, 1], [1, 0]):
        flags = [part for number in weight for part in ("--weight", number)]
        result = invoke("evaluate", abc, backwards, *flags, "--output", tmp_path)
        assert result.exit_code == 0, result.stderr
        measured[tuple(weight)] = figures(tmp_path, "test-mean-of-2")["metrics"]["loss"]["value"]
    alone = evaluate([abc], output=str(tmp_path)).figures["loss"].value
    assert measured[1, 0] == pytest.approx(alone, rel=1e-5)
    assert len(set(measured.values())) == 3
    fails(invoke("evaluate", abc, backwards, "--weight", 1), 2, "--weight", "one for each model")


def test_models_that_know_other_classes_are_not_averaged(abc, learned, invoke):
    fails(invoke("evaluate", abc, learned("abz", "abz")), 4, "c, z", "cannot be averaged")


def test_what_gives_codes_cannot_be_averaged(trained, invoke):
    fails(invoke("evaluate", trained("autoencoder"), trained("autoencoder-mlp")), 2, "averaged", "autoencoder")


def test_a_model_of_another_task_is_no_baseline(abc, trained, invoke):
    fails(invoke("evaluate", abc, "--baseline", trained("autoencoder")), 4, "autoencoder")


def test_a_model_no_better_than_chance_is_said_to_be_so(abc, learned, invoke, tmp_path):
    blind = learned("abc", "blind", "optim.lr=1e-9")
    result = invoke("evaluate", blind, "--output", tmp_path)
    assert result.exit_code == 0 and "no better than chance" in result.stderr, result.stderr
    assert "no better than chance" not in invoke("evaluate", abc, "--output", tmp_path).stderr
