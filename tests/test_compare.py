"""Models are compared and averaged by the names of their classes, each at its own image size; what cannot be compared is refused."""

import json
import resource
import shutil
import signal

import numpy as np
import pytest
from conftest import config_path
from PIL import Image
from test_cli import fails

from bmtool.api import Model
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.errors import ResourceError
from bmtool.images.prepare import Images
from bmtool.predict.exported import open_model
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
    """Of a report; the name of one on other data than the run's goes on with their hash."""
    (path,) = folder.glob(f"{name}.json")
    return json.loads(path.read_text("utf-8"))


def assert_measured_alike(model, baseline, tmp_path, data=None):
    """The differences from a baseline are those of two evaluations on the same examples."""
    compared = evaluate([model], baseline=baseline, data=data, output=str(tmp_path / "both"))
    alone = evaluate([baseline], data=data, output=str(tmp_path / "alone"))
    value = figures(tmp_path / "both", "test" if data is None else "abc-*")
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


def test_what_a_model_has_seen_of_files_is_counted_and_stays_in_the_report(abc, photos, invoke, tmp_path):
    learned_from = len(Images(photos / "prepared" / "abc", "train"))
    result = invoke("evaluate", abc, "--data", photos / "abc", "--output", tmp_path)
    said = f"{abc} was trained on {learned_from} of these examples, so that the figures are too good"
    assert f"warning: {said}" in result.stderr and f"note: {said}" not in result.stderr
    (path,) = (path for path in tmp_path.glob("*.json"))
    assert any(said in remark for remark in json.loads(path.read_text("utf-8"))["remarks"])
    assert said in path.with_suffix(".md").read_text("utf-8")
    assert "was trained on" not in invoke("evaluate", abc, "--output", tmp_path).stderr


def test_files_are_measured_when_the_prepared_data_have_gone(abc, photos, invoke, tmp_path):
    """Only whether the run has seen them cannot be told then."""
    prepared, away = photos / "prepared" / "abc", tmp_path / "away"
    before = invoke("evaluate", abc, "--data", photos / "abc", "--output", tmp_path / "one", "--json")
    prepared.rename(away)
    try:
        result = invoke("evaluate", abc, "--data", photos / "abc", "--output", tmp_path / "two", "--json")
    finally:
        away.rename(prepared)
    assert result.exit_code == 0, result.stderr
    assert f"whether {abc} was trained on some of these examples cannot be told: the prepared data" in result.stderr
    assert json.loads(result.stdout)["metrics"] == json.loads(before.stdout)["metrics"]


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
    first, second = ([dict(value.classes) for value in Model(run).predict(files, top=3)] for run in (abc, backwards))
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


# --- under which name a report is kept, and which figures an export carries ---


def test_reports_on_other_data_take_the_place_of_none(abc, photos, invoke, tmp_path):
    """Of two folders of the same name, of a part of one, of a copy of it, and of another split."""
    run = shutil.copytree(abc, tmp_path / "run")
    evaluate([run])
    own = {path.name: path.read_bytes() for path in (run / "eval").iterdir()}
    for number, folder in enumerate(("abc", "ab", "abz")):  # the third holds a class that the model does not know
        shutil.copytree(photos / folder, tmp_path / str(number) / "test")
        assert invoke("evaluate", run, "--data", tmp_path / str(number) / "test").exit_code == 0
    evaluate([run], split="valid")
    assert {name: (run / "eval" / name).read_bytes() for name in own} == own
    others = sorted(path.name for path in (run / "eval").glob("*.json") if path.name not in own)
    assert len(others) == 4 and "valid.json" in others
    shutil.copytree(photos / "abc", tmp_path / "copy" / "test")
    assert invoke("evaluate", run, "--data", tmp_path / "copy" / "test").exit_code == 0
    assert len(list((run / "eval").glob("*.json"))) == 5  # the same examples, wherever they lie
    assert not list((run / "eval").glob(".*"))


def carried(run, folder) -> dict:
    return open_model(export_onnx(run, output=str(folder / "model.onnx"))).about["metrics"]


def test_an_export_carries_figures_of_its_own_data_and_weights_alone(abc, photos, invoke, tmp_path, capsys):
    run = shutil.copytree(abc, tmp_path / "run")
    assert carried(run, tmp_path) == {} and "there is no" in capsys.readouterr().err
    evaluate([run], data=str(photos / "abc"))
    assert carried(run, tmp_path) == {}
    evaluate([run], baseline=run)
    report = figures(run / "eval")
    assert carried(run, tmp_path) == report["metrics"] and "it carries the figures of" in capsys.readouterr().err
    for change, said in (
        ({"data_hash": "0" * 64}, "other data"), ({"split": "valid"}, "other data"),
        ({"models": [report["models"][0] | {"weights": "0" * 64}]}, "another checkpoint"),
        ({"models": report["models"] * 2}, "another checkpoint"), ({"models": None}, "is damaged"),
    ):  # fmt: skip
        (run / "eval" / "test.json").write_text(json.dumps(report | change))
        assert carried(run, tmp_path) == {} and said in capsys.readouterr().err, change
    old = {name: value for name, value in report.items() if name != "models"}
    (run / "eval" / "test.json").write_text(json.dumps(old))
    assert carried(run, tmp_path) == {} and "earlier versions" in capsys.readouterr().err


def test_a_report_says_of_what_it_is(abc, backwards, tmp_path):
    evaluate([abc, backwards], weight=[3, 1], baseline=abc, output=str(tmp_path))
    report, page = figures(tmp_path, "test-mean-of-2"), (tmp_path / "test-mean-of-2.md").read_text("utf-8")
    assert report["weight"] == [3, 1] and report["split"] == "test" and report["baseline"]["model"] == str(abc)
    assert [one["model"] for one in report["models"]] == [str(abc), str(backwards)]
    for said in (
        str(backwards),
        "weights 3, 1",
        report["data_hash"][:12],
        report["models"][0]["weights"][:12],
        "Compared with",
    ):
        assert said in page, said


def test_data_that_have_changed_are_no_longer_the_runs_own(abc, photos, tmp_path, capsys):
    run = shutil.copytree(abc, tmp_path / "run")
    info = json.loads((run / "run.json").read_text("utf-8"))
    (run / "run.json").write_text(json.dumps(info | {"data_hash": "0" * 64}))
    evaluate([run])
    assert not (run / "eval" / "test.json").exists() and len(list((run / "eval").glob("test-*.json"))) == 1
    assert carried(run, tmp_path) == {}


@pytest.mark.parametrize("room", [0, 2_000])
def test_a_report_that_cannot_be_written_leaves_the_one_before(room, abc, tmp_path):
    """A full disk, as the limit on the size of a file shows it: at once, and in the middle of the predictions."""
    run = shutil.copytree(abc, tmp_path / "run")
    evaluate([run])
    before = {path.name: path.read_bytes() for path in (run / "eval").iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limit[1]))
    try:
        with pytest.raises(ResourceError, match=r"cannot write the report to .*eval: File too large"):
            evaluate([run])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {path.name: path.read_bytes() for path in (run / "eval").iterdir()} == before
