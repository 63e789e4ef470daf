"""Labels that are likely wrong: as cleanlab finds them, on labels that were made wrong, and what is said when a model has learned them."""

import csv
import json

import numpy as np
import planted
import pytest
from test_cli import fails

from bmtool.commands.evaluate import evaluate
from bmtool.measure.label_errors import confident, suspects, thresholds


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return planted.tables(tmp_path_factory.mktemp("labels"))


def noisy(classes: int, count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(given labels, probabilities, which are wrong): a model that is mostly right, an eighth of the labels wrong."""
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, count)
    said = random.dirichlet(np.ones(classes), count)
    said[np.arange(count), true] += random.uniform(0, 2, count)
    wrong = random.random(count) < 1 / 8
    given = np.where(wrong, (true + random.integers(1, classes, count)) % classes, true)
    return given, said / said.sum(axis=1, keepdims=True), wrong


def test_thresholds_are_mean_self_confidences():
    given, said = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]])
    np.testing.assert_allclose(thresholds(given, said), [0.7, 0.6])
    assert np.isinf(thresholds(np.array([0]), np.array([[0.5, 0.5]]))[1])
    np.testing.assert_array_equal(confident(given, said), [0, -1, 1])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_suspects_are_those_that_cleanlab_finds_in_the_same_order(classes):
    cleanlab = pytest.importorskip("cleanlab.filter", exc_type=ImportError)
    for seed in range(3):
        given, said, _ = noisy(classes, seed=seed)
        theirs = cleanlab.find_label_issues(
            given, said, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
        )
        ours = suspects(given, said)
        assert len(ours.examples) > 10
        np.testing.assert_array_equal(np.sort(ours.examples), np.sort(theirs))
        np.testing.assert_array_equal(ours.examples, theirs)


def test_margins_rise_and_stay_below_a_half():
    given, said, wrong = noisy(4)
    found = suspects(given, said)
    assert (np.diff(found.margin) >= 0).all() and (found.margin >= 0).all() and (found.margin < 0.5).all()
    assert (found.suggested != given[found.examples]).all()
    assert wrong[found.examples].mean() > 0.6 > 4 * wrong.mean() and wrong[found.examples[:20]].mean() > 0.8


def test_no_suspect_among_labels_that_a_model_agrees_with():
    said = np.full((10, 3), 0.1)
    given = np.arange(10) % 3
    said[np.arange(10), given] = 0.8
    assert not len(suspects(given, said).examples)


# --- on planted errors ---


def listed(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_planted_errors_are_found(learned, tmp_path):
    """About one in ten labels of the test rows is wrong. Those nearest to the border cannot be told."""
    found = evaluate([learned("one")], output=str(tmp_path), find_label_errors=True).label_errors
    rows = listed(tmp_path / found.file)
    held = planted.rows()
    wrong = {line for line, row in enumerate(held, start=2) if row["planted"] == "1"}
    lines = (tmp_path / "test.predictions.jsonl").read_text("utf-8").splitlines()
    of_test = {json.loads(line)["input"] for line in lines}
    planted_in_test = {line for line in wrong if any(one.endswith(f":{line}") for one in of_test)}
    places = [int(row["place"].rpartition(":")[2]) for row in rows]
    hits = set(places) & planted_in_test
    assert len(planted_in_test) > 20
    assert len(hits) / len(places) > 0.7, "precision"
    assert len(hits) / len(planted_in_test) > 0.5, "recall"
    # The first ones are the surest.
    assert sum(place in planted_in_test for place in places[:8]) >= 7


def test_the_table_says_where_and_what(learned, invoke, tmp_path):
    result = invoke("evaluate", learned("one"), "--find-label-errors", "--json", "--output", tmp_path)
    told = json.loads(result.stdout)["label_errors"]
    rows = listed(tmp_path / told["file"])
    assert told["file"] == "test.label-errors.csv" and told["count"] == len(rows) <= told["examples"]
    assert sum(pair["count"] for pair in told["pairs"]) == len(rows)
    held = planted.rows()
    for row in rows:
        source = held[int(row["place"].rpartition(":")[2]) - 2]
        assert row["place"].startswith(str(learned("one").parent / "rows.csv"))
        assert source["label"] == row["given"] != row["suggested"]
        assert float(row["probability"]) > float(row["probability_of_given"])
        assert json.loads(row["input"])["x"] == source["x"]
    assert [float(row["margin"]) for row in rows] == sorted(float(row["margin"]) for row in rows)
    assert json.loads((tmp_path / "test.json").read_text("utf-8"))["label_errors"]["count"] == len(rows)
    shown = invoke("evaluate", learned("one"), "--find-label-errors", "--output", tmp_path)
    assert "labels are likely wrong" in shown.stdout and "label errors test.label-errors.csv" in shown.stderr
    assert "has learned" not in shown.stderr


def test_labels_that_a_model_has_learned_are_said_to_be(learned, invoke, tmp_path):
    run = learned("one")
    of_train = invoke("evaluate", run, "--split", "train", "--find-label-errors", "--output", tmp_path)
    assert "has learned these very labels" in of_train.stderr and "docs/evaluating.md" in of_train.stderr
    whole = invoke("evaluate", run, "--data", run.parent / "rows.csv", "--find-label-errors", "--output", tmp_path)
    assert "has learned some of these very labels" in whole.stderr
    fresh = planted.write(tmp_path / "new.csv", planted.rows(200, seed=8))
    assert (
        "has learned"
        not in invoke("evaluate", run, "--data", fresh, "--find-label-errors", "--output", tmp_path).stderr
    )
    made = invoke("export-onnx", run, "--output", tmp_path / "m.onnx")
    assert made.exit_code == 0, made.stderr
    exported = invoke("evaluate", tmp_path / "m.onnx", "--data", fresh, "--find-label-errors")
    assert "cannot be told from an exported model" in exported.stderr


def test_without_the_flag_no_table_is_left(learned, tmp_path):
    found = evaluate([learned("one")], output=str(tmp_path))
    assert found.label_errors is None and "label_errors" not in found.as_dict()
    assert not list(tmp_path.glob("*.csv"))


def test_what_has_no_classes_is_refused(learned, invoke, tmp_path):
    number = learned(
        "number",
        "task=tabular-regression",
        "data.target=x",
        f"data.prepared={tmp_path / 'x'}",
        "data.columns.ignore=[region,age,id,planted,label]",
    )
    fails(invoke("evaluate", number, "--find-label-errors"), 2, "one of several classes", "tabular-regression")


def test_texts_are_listed_with_their_text(tmp_path_factory, tmp_path):
    make = planted.texts(tmp_path_factory.mktemp("labels-texts"))
    source = planted.ROOT / "data/text-classification/reviews.csv"
    rows = listed(source)
    topics = sorted({row["topic"] for row in rows})
    for row in rows[::9]:
        row["topic"] = topics[(topics.index(row["topic"]) + 1) % len(topics)]
    with (tmp_path / "noisy.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = evaluate(
        [make()], data=str(tmp_path / "noisy.csv"), output=str(tmp_path), find_label_errors=True
    ).label_errors
    lines = [int(one.place.rpartition(":")[2]) - 2 for one in found.suspects]
    assert sum(line % 9 == 0 for line in lines) / len(lines) > 0.7
    assert all(one.input == rows[line]["text"] for one, line in zip(found.suspects, lines))
