"""Figures by group: what they are, how far groups are apart, what is refused."""

import json
from collections import Counter

import numpy as np
import planted
import pytest
from PIL import Image
from test_cli import fails

from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import pretrain
from bmtool.errors import ConfigError
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, weights
from bmtool.measure.groups import BINS, LEAST, MOST, NONE, WIDTH, Groups, gap, groupings, largest
from bmtool.measure.labels import LabelMeter
from bmtool.measure.numbers import NumberMeter
from bmtool.measure.report import COUNT
from bmtool.measure.several import SeveralMeter


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return planted.tables(tmp_path_factory.mktemp("groups"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return planted.texts(tmp_path_factory.mktemp("groups-of-texts"))


# --- groups ---


def test_values_are_groups_in_order_and_none_is_one_too():
    fields = [{"stars": value, "channel": "web"} for value in ("10", "2", "", None, "2", True)]
    stars, channel = groupings(["stars", "channel"], fields)
    assert stars.groups == ("2", "10", "true", NONE) and channel.groups == ("web",)
    assert [stars.group(one) for one in ("2", 2, True, " ", None)] == ["2", "2", "true", NONE, NONE]


def test_many_numbers_are_binned_by_quantiles_and_said():
    ages = [{"age": str(age)} for age in range(18, 82)] + [{"age": ""}]
    (one,) = groupings(["age"], ages)
    counts = Counter(one.group(held["age"]) for held in ages)
    assert len(one.edges) == BINS - 1 and one.values == 64 and counts.pop(NONE) == 1
    assert one.groups == ("< 34", "34 ... < 50", "50 ... < 66", ">= 66", NONE)
    assert set(counts.values()) == {16}


def test_a_column_of_mostly_one_number_has_the_others_as_its_other_group():
    (one,) = groupings(["n"], [{"n": 0}] * 500 + [{"n": n} for n in range(1, 40)])
    assert one.groups == ("< 1", ">= 1") and one.group(0) == "< 1" and one.group(7) == ">= 1"


@pytest.mark.parametrize("column, values, words", [
    ("name", [f"u{n}" for n in range(MOST + 1)], f"{MOST + 1} different values .*{MOST} groups at most"),
    ("regoin", ["a"], "no column 'regoin'; did you mean 'region'.*columns are region"),
    ("region", ["", ""], "no example has a value there.*--data FILE"),
])  # fmt: skip
def test_columns_that_are_no_groups_are_refused(column, values, words):
    name = "region" if column == "regoin" else column
    with pytest.raises(ConfigError, match=words):
        groupings([column], [{name: value} for value in values])


# --- one pass measures every group ---


METERS = {
    "labels": lambda columns: LabelMeter(["a", "b", "c"], columns),
    "several": lambda columns: SeveralMeter(["a", "b", "c"], columns),
    "numbers": NumberMeter,
}


def examples(kind: str, count: int = 600):
    random = np.random.default_rng(0)
    if kind == "numbers":
        truth = random.normal(size=count)
        return truth + random.normal(size=count) / 2, truth
    if kind == "several":
        truth = (random.random((count, 3)) < 0.3).astype(float)
        return (0.6 * truth + 0.4 * random.random((count, 3))), truth
    truth, said = random.integers(0, 3, count), random.dirichlet((1, 1, 1), count)
    said[np.arange(count), truth] += 0.5
    return said / said.sum(axis=1, keepdims=True), truth


def fed(meter, said, truth, drawn):
    for start in range(0, len(said), BLOCK):
        rows = slice(start, start + BLOCK)
        meter.add(said[rows], truth[rows], drawn[rows])
    return meter


@pytest.mark.parametrize("kind", METERS)
def test_a_group_has_the_figures_of_its_examples_alone(kind):
    """And its intervals, with the same weights as in the whole."""
    said, truth = examples(kind)
    stream = weights()
    drawn = np.concatenate([next(stream) for _ in range(0, len(said), BLOCK)])[: len(said)]
    fields = [{"side": "left" if number % 3 else "right"} for number in range(len(said))]
    groups = Groups(groupings(["side"], fields))
    counts = Counter(("side", held["side"]) for held in fields)
    together = groups.split(
        fed(METERS[kind](groups.columns), said, truth, groups.weights(fields, drawn)).measured(), counts
    )
    whole = fed(METERS[kind](WIDTH), said, truth, drawn).measured()
    for name, values in whole.resamples.items():
        np.testing.assert_allclose(together.resamples[name], values, rtol=1e-5)
    right = np.array([held["side"] == "right" for held in fields])
    alone = fed(METERS[kind](WIDTH), said[right], truth[right], drawn[right])
    for name, values in alone.figures().items():
        found = together.slices["side"]["right"][name]
        assert found.shape == (1 + RESAMPLES,)
        assert found[0] == pytest.approx(values[0], rel=1e-5)
        # An area draws its weights by the places of examples among all.
        if name not in ("auc", "average_precision"):
            np.testing.assert_allclose(found, values, rtol=1e-4)
    assert together.slices["side"]["right"][COUNT][0] == right.sum()


def test_an_area_of_a_group_has_an_interval_like_that_of_its_examples_alone():
    said, truth = examples("labels")
    fields = [{"side": "left" if number < 300 else "right"} for number in range(len(said))]
    groups = Groups(groupings(["side"], fields))
    stream = weights()
    drawn = np.concatenate([next(stream) for _ in range(0, len(said), BLOCK)])[: len(said)]
    made = fed(METERS["labels"](groups.columns), said, truth, groups.weights(fields, drawn)).measured()
    split = groups.split(made, Counter({("side", "left"): 300, ("side", "right"): 300})).slices["side"]
    alone = fed(METERS["labels"](WIDTH), said[:300], truth[:300], drawn[:300]).figures()["auc"]
    # The first examples of all are the first of the group: their weights are the same.
    np.testing.assert_allclose(split["left"]["auc"], alone, rtol=1e-9)
    assert split["right"]["auc"][1:].std() == pytest.approx(split["left"]["auc"][1:].std(), rel=0.5)
    assert abs(np.corrcoef(split["right"]["auc"][1:], split["left"]["auc"][1:])[0, 1]) < 0.2


# --- the gap ---


def part(values: np.ndarray, count: int) -> dict[str, np.ndarray]:
    return {COUNT: np.array([float(count)]), "accuracy": values}


def test_the_gap_is_between_the_best_and_the_worst_of_groups_that_are_large_enough():
    random = np.random.default_rng(0)
    parts = {
        name: part(np.append(value, random.normal(value, 0.02, RESAMPLES)), count)
        for name, value, count in (("a", 0.9, 200), ("b", 0.8, LEAST), ("c", 0.1, LEAST - 1))
    }
    found = gap("kind", parts, "accuracy")
    assert (found.lowest, found.highest, found.left_out) == ("b", "a", ("c",))
    shown = found.as_dict()
    assert shown["value"] == pytest.approx(0.1) and 0.02 < shown["low"] < 0.1 < shown["high"] < 0.18
    none = gap("kind", {"a": parts["a"], "c": parts["c"]}, "accuracy")
    assert np.isnan(none.values).all() and none.as_dict()["value"] is None
    assert largest([none, found])[0] == pytest.approx(0.1) and np.isnan(largest([none])).all()


def test_groups_that_do_not_differ_have_a_gap_whose_interval_reaches_nearly_to_zero():
    random, below = np.random.default_rng(0), 0
    for _ in range(40):
        right = random.random((3, 100)) < 0.8
        drawn = random.poisson(1.0, (3, 100, RESAMPLES))
        values = np.concatenate([right.mean(1)[:, None], (right[:, :, None] * drawn).sum(1) / drawn.sum(1)], axis=1)
        found = gap("kind", {str(n): part(one, 100) for n, one in enumerate(values)}, "accuracy").as_dict()
        below += found["low"] < 0.02
    assert below >= 36


# --- evaluate --by ---


def test_evaluate_shows_groups_and_their_gap_with_intervals(learned, invoke, tmp_path):
    run = learned("one")
    result = invoke("evaluate", run, "--by", "region", "--by", "age", "--json", "--output", tmp_path)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    south, north = (found["slices"]["region"][name] for name in ("south", "north"))
    assert south["accuracy"]["high"] < north["accuracy"]["low"]
    assert found["metrics"]["gap"]["value"] == pytest.approx(
        max(one["accuracy"]["value"] for one in found["slices"]["region"].values()) - south["accuracy"]["value"]
    )
    assert found["metrics"]["gap"]["low"] > 0.05
    by = found["by"]
    assert by["figure"] == "accuracy" and by["least"] == LEAST and by["columns"]["region"]["lowest"] == "south"
    assert sum(int(one["examples"]["value"]) for one in found["slices"]["age"].values()) == found["examples"]
    assert "different numbers, in 4 groups of about as many examples" in result.stderr
    assert "accuracy from" in result.stderr and f"of groups of {LEAST} examples or more" in result.stderr
    page = (tmp_path / "test.md").read_text("utf-8")
    assert "## By region" in page and f"| south | {int(south['examples']['value'])} |" in page
    table = invoke("evaluate", run, "--by", "region", "--output", tmp_path).stdout
    assert "By region" in table and "south" in table and " gap " in table


def test_without_groups_every_figure_is_what_it_was(learned, tmp_path):
    plain, parted = (evaluate([learned("one")], by=by, output=str(tmp_path)).figures for by in ((), ("region",)))
    assert "gap" not in plain
    for name, one in plain.items():
        assert (one.value, one.low, one.high) == pytest.approx(tuple(vars(parted[name]).values()), rel=1e-5), name


def test_the_gap_is_a_gate(learned, invoke, tmp_path):
    run = learned("one")
    fails(invoke("evaluate", run, "--by", "region", "--require", "gap<=0.05", "--output", tmp_path), 3, "gap is 0.")
    assert invoke("evaluate", run, "--by", "region", "--require", "gap<=0.6", "--output", tmp_path).exit_code == 0
    fails(invoke("evaluate", run, "--require", "gap<=0.05"), 2, "--require gap<=0.05", "--by COLUMN")
    fails(invoke("evaluate", run, "--by", "region", "--require", "gab<=0.05"), 2, "did you mean 'gap'")
    # Where no two groups are large enough there is no gap, and so no gate that holds.
    few = planted.write(tmp_path / "few.csv", planted.rows(20, seed=9))
    fails(
        invoke("evaluate", run, "--data", few, "--by", "region", "--require", "gap<=1", "--output", tmp_path),
        3,
        "no number",
    )


def test_the_figure_that_decides_is_the_one_a_run_names(learned, tmp_path):
    run = learned("auc", "train.best=auc")
    found = evaluate([run], by=["region"], output=str(tmp_path)).as_dict()
    assert found["by"]["figure"] == "auc" and found["metrics"]["gap"]["low"] is not None
    values = [one["auc"]["value"] for one in found["slices"]["region"].values()]
    assert found["metrics"]["gap"]["value"] == pytest.approx(max(values) - min(values))


def test_groups_are_compared_with_a_baseline_in_pairs(learned, invoke, tmp_path):
    same, other = learned("one"), learned("short", "train.steps=2", "train.validate_every=2", "train.save_every=2")
    alike = evaluate([same], baseline=same, by=["region"], output=str(tmp_path))
    assert alike.differences["gap"].value == 0 and not alike.differences["gap"].significant
    result = invoke("evaluate", same, "--baseline", other, "--by", "region", "--json", "--output", tmp_path)
    assert set(json.loads(result.stdout)["baseline"]["differences"]) >= {"gap", "accuracy"}
    assert ", +0." in (tmp_path / "test.md").read_text("utf-8").partition("## By region")[2]


def test_gaps_of_other_groups_are_not_compared(learned, invoke):
    one, two = learned("one"), learned("again", "seed=2")
    invoke("evaluate", one, "--by", "region")
    invoke("evaluate", two, "--by", "region")
    held = {
        row["name"]: row
        for row in json.loads(invoke("runs", "compare", one, two, "--json").stdout)["evaluations"][0]["figures"]
    }
    assert held["gap"]["differences"][1]["by"] == "paired"
    assert "`gap` is the largest difference of accuracy between groups by region" in (one / "card.md").read_text(
        "utf-8"
    )
    invoke("evaluate", two, "--by", "age")
    held = {
        row["name"]: row
        for row in json.loads(invoke("runs", "compare", one, two, "--json").stdout)["evaluations"][0]["figures"]
    }
    assert (
        "other groups" in held["gap"]["differences"][1]["why"] and held["accuracy"]["differences"][1]["by"] == "paired"
    )


def test_refusals_name_what_there_is(learned, invoke):
    fails(invoke("evaluate", learned("one"), "--by", "regions"), 2, "did you mean 'region'", "columns are x, y")
    fails(invoke("evaluate", learned("one"), "--by", "id"), 2, "different values")
    with pytest.raises(ConfigError, match="they have no columns"):
        groupings(["x"], [{}, {}])


def test_texts_have_groups(texts, invoke, tmp_path):
    result = invoke("evaluate", texts(), "--by", "channel", "--json", "--output", tmp_path)
    found = json.loads(result.stdout)
    assert set(found["slices"]["channel"]) == {"手机", "电话", "网页"} and found["metrics"]["gap"]["value"] is not None


def test_regression_has_groups(learned, invoke, tmp_path):
    run = learned(
        "number",
        "task=tabular-regression",
        "data.target=x",
        f"data.prepared={tmp_path / 'x'}",
        "data.columns.ignore=[region,age,id,planted,label]",
    )
    exports = invoke("export-onnx", run, "--output", tmp_path / "x.onnx")
    assert exports.exit_code == 0, exports.stderr
    source = run.parent / "rows.csv"
    found = json.loads(invoke("evaluate", tmp_path / "x.onnx", "--data", source, "--by", "label", "--json").stdout)
    assert found["by"]["figure"] == "mae" and set(found["slices"]["label"]) == {"no", "yes"}


def test_images_have_the_columns_of_their_list(tmp_path, invoke):
    """Those of a split are read from the list again, as prepared images lack them."""
    lines = ["path,label,camera"]
    for number in range(80):
        shade = 40 if number % 2 else 200
        noise = np.random.default_rng(number).integers(0, 30, (8, 8), np.uint8)
        Image.fromarray(noise + np.uint8(shade)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'dark' if number % 2 else 'light'},{'old' if number % 3 else 'new'}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    values = [
        f"data.source={tmp_path / 'list.csv'}", f"data.prepared={tmp_path / 'data'}", f"run={tmp_path / 'run'}", "data.test_share=0.5",
    ]  # fmt: skip
    pretrain(str(planted.ROOT / "bmtool/tasks/image_classification/tiny-mlp.yaml"), values)
    whole = json.loads(
        invoke("evaluate", tmp_path / "run", "--data", tmp_path / "list.csv", "--by", "camera", "--json").stdout
    )
    assert {name: one["examples"]["value"] for name, one in whole["slices"]["camera"].items()} == {"new": 27, "old": 53}
    half = json.loads(invoke("evaluate", tmp_path / "run", "--by", "camera", "--json").stdout)
    assert set(half["slices"]["camera"]) == {"new", "old"}
    assert sum(one["examples"]["value"] for one in half["slices"]["camera"].values()) == half["examples"] < 80
    fails(invoke("evaluate", tmp_path / "run", "--by", "lens"), 2, "no column 'lens'", "columns are camera")
