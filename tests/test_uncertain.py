"""`predict --uncertain N`: which inputs a classifier is least sure of."""

import json

import numpy as np
import planted
import pytest
from test_cli import fails

from bmtool.api import load
from bmtool.measure import uncertainty


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return planted.tables(tmp_path_factory.mktemp("uncertain"))


def test_margin_and_entropy_are_the_standard_ones():
    said = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(uncertainty.margin(said), [0.2, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(uncertainty.entropy(said), [1.0296530, 1.0549202, 0.0], atol=1e-6)


def test_of_several_classes_the_one_nearest_to_its_threshold_counts():
    said, thresholds = np.array([[0.9, 0.31], [0.5, 0.9]]), np.array([0.5, 0.3])
    np.testing.assert_allclose(uncertainty.margin_of_several(said, thresholds), [0.01, 0.0], atol=1e-12)
    np.testing.assert_allclose(uncertainty.entropy_of_several(np.array([[0.5, 1.0]])), [np.log(2) / 2])


def test_the_least_sure_come_first_with_their_figures(learned, invoke):
    run, source = learned("one"), learned("one").parent / "rows.csv"
    result = invoke("predict", run, source, "--uncertain", 7, "--json")
    assert result.exit_code == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    # Against all of them, of whichever chunk.
    every = [json.loads(line) for line in invoke("predict", run, source, "--json").stdout.splitlines()]
    margins = {one["record"]: abs(one["classes"][0]["probability"] - one["classes"][1]["probability"]) for one in every}
    wanted = sorted(margins.values())[:7]
    assert [one["margin"] for one in found] == pytest.approx(wanted, abs=3e-6)
    assert [margins[one["record"]] for one in found] == pytest.approx(wanted, abs=3e-6)
    assert all(one["entropy"] == pytest.approx(np.log(2), abs=0.01) for one in found)
    assert all(one["record"].startswith(f"{source}:") and one["label"] == one["classes"][0]["label"] for one in found)


def test_lines_have_them_and_pictures_show_those_alone(learned, invoke, tmp_path):
    run, source = learned("one"), learned("one").parent / "rows.csv"
    result = invoke("predict", run, source, "--uncertain", 2, "--top", 1, "--explain", tmp_path / "why.png")
    first, second = (line.split("\t") for line in result.stdout.splitlines())
    assert len(first) == 4 and first[2].startswith("margin 0.0") and first[3].startswith("entropy 0.69")
    assert float(first[2].split()[1]) <= float(second[2].split()[1])
    assert (tmp_path / "why.png").is_file()


def test_fewer_inputs_than_are_asked_for_are_all_there_and_bad_ones_are_counted(learned, invoke):
    rows = ['{"x": 1, "y": 1}', '{"x": 0.1, "y": -0.1}', '{"x": "high", "y": 0}']
    result = invoke("predict", learned("one"), *rows, "--uncertain", 10)
    fails(result, 4, "1 of the inputs could not be read", "1 x column 'x' holds no number")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [rows[1], rows[0]]


def test_inputs_that_are_as_unsure_stay_in_their_order(learned, invoke):
    row = '{{"x": 0.2, "y": {}}}'
    lines = "\n".join([row.format("0.1"), row.format("0.1"), row.format("3")])
    result = invoke("predict", learned("one"), "-", "--uncertain", 2, stdin=lines)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["<stdin>:1", "<stdin>:2"]


def test_what_gives_no_classes_is_refused(invoke, learned, tmp_path):
    fails(
        invoke("predict", "default", "ni hao", "--uncertain", 2),
        2,
        "--uncertain is for models that give classes",
        "pinyin2hanzi",
    )
    fails(invoke("predict", learned("one"), '{"x": 1, "y": 1}', "--uncertain", 0), 2, "--uncertain")


def test_texts_with_one_class_and_with_several(invoke, tmp_path_factory):
    make = planted.texts(tmp_path_factory.mktemp("uncertain-texts"))
    lines = ["快递走了九天才到", "用料很扎实", "包装盒很精致", "客服一直不回消息"]
    few = ("train.steps=20", "train.validate_every=20", "train.save_every=20")
    one = invoke("predict", make("one", *few), *lines, "--uncertain", 3, "--json")
    said = [json.loads(line) for line in one.stdout.splitlines()]
    assert len(said) == 3 and [r["margin"] for r in said] == sorted(r["margin"] for r in said)
    assert {r["input"] for r in said} < set(lines)
    many = make(
        "several",
        *few,
        "data.classes=several",
        "data.columns={label: topics}",
        "data.prepared=" + str(make("one", *few).parent / "several-data"),
    )
    found = [
        json.loads(line) for line in invoke("predict", many, *lines, "--uncertain", 2, "--json").stdout.splitlines()
    ]
    model = load(many)._loaded.predictor
    p = model.probabilities([model.read(line) for line in lines])
    wanted = sorted(np.abs(p - model.thresholds).min(axis=1))[:2]
    assert [r["margin"] for r in found] == pytest.approx(wanted, abs=1e-5)
