"""Models of texts to classes: tables that they are asked of, several as one, comparisons that mean nothing, what is chosen at the end."""

import json
from pathlib import Path

import numpy as np
import pytest
from cases import find

from bmtool.commands.compare import _placed
from bmtool.commands.evaluate import evaluate
from bmtool.commands.loading import load_model, load_several
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.errors import ConfigError, DataError
from bmtool.tasks.text_classification import goals
from bmtool.text.labelled.prepare import kind_of
from bmtool.text.labelled.store import Texts

pytest.importorskip("sklearn")
FIT = find("text-classification-naive-bayes")
KINDS = {
    "one": (lambda n: "高中低"[n % 3], "seed=1"),
    "several": (lambda n: ["高中低"[n % 3]] + ["双"] * (n % 2), "data.classes=several"),
    "rising": (lambda n: "高中低"[n % 3], "data.order=[低, 中, 高]"),
    "falling": (lambda n: "高中低"[n % 3], "data.order=[高, 中, 低]"),
    "pair": (lambda n: "高中低"[n % 3], "data.pair=true"),
}  # fmt: skip


def texts(count: int) -> list[str]:
    drawn = np.random.default_rng(0)
    filler = list("的一是了我不人在")
    return ["".join(drawn.choice(filler, 8)) + "高中低"[n % 3] * 2 + "双" * (n % 2) for n in range(count)]


def rows(name: str, count: int = 120) -> list[dict]:
    return [{"body": text, "text_pair": text, "label": KINDS[name][0](n)} for n, text in enumerate(texts(count))]


def written(path: Path, held: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in held), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One of KINDS, trained once; another run of it by another number."""
    made: dict = {}

    def get(name: str, number: int = 0) -> Path:
        if (name, number) not in made:
            folder = tmp_path_factory.mktemp(name)
            source = written(folder / "a.jsonl", rows(name))
            given = [f"data.source={source}", f"data.prepared={folder / 'prepared'}", f"run={folder / 'run'}"]
            alpha = f"model.alpha={(number + 1) / 10}"
            made[name, number] = pretrain(FIT.path, [*given, "data.columns={text: body}", KINDS[name][1], alpha])
        return made[name, number]

    return get


# --- tables that are asked of ---


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv"])
def test_rows_of_a_table_are_asked_by_their_columns_and_not_line_by_line(run, invoke, tmp_path, suffix):
    asked, table = texts(6), tmp_path / f"asked{suffix}"
    if suffix in (".csv", ".tsv"):
        mark = "," if suffix == ".csv" else "\t"
        table.write_text(
            "".join(f"{n}{mark}{text}\n" for n, text in [("n", "body"), *enumerate(asked)]), encoding="utf-8"
        )
    else:
        written(table, [{"n": n, "body": text} for n, text in enumerate(asked)])
    by_row, by_line = invoke("predict", run("one"), table), invoke("predict", run("one"), *asked)
    assert by_row.stdout == by_line.stdout and by_row.stdout.count("\n") == 6
    lines = tmp_path / "asked.txt"
    lines.write_text("\n".join(asked), encoding="utf-8")
    assert invoke("predict", run("one"), lines).stdout == by_line.stdout


def test_rows_of_two_texts_are_asked_and_a_column_that_lacks_is_named(run, invoke, tmp_path):
    table = written(
        tmp_path / "a.jsonl", [{"body": "的高高", "text_pair": "的高"}, {"body": "的低低", "text_pair": "的低"}]
    )
    found = invoke("predict", run("pair"), table)
    assert found.stdout == invoke("predict", run("pair"), "的高高\t的高", "的低低\t的低").stdout
    asked = invoke("predict", run("pair"), '{"text": "的高高", "text_pair": "的高"}')
    assert asked.exit_code == 0 and "高" in asked.stdout.rsplit("}", 1)[1]
    other = written(tmp_path / "b.jsonl", [{"text": "的高高", "text_pair": "的高"}])
    refused = invoke("predict", run("pair"), other)
    assert refused.exit_code == 4 and not refused.stdout and "no column 'body'" in refused.stderr
    empty = written(tmp_path / "c.jsonl", [{"body": None}, {"body": "高"}, {"body": 3}])
    some = invoke("predict", run("one"), empty)
    assert some.exit_code == 4 and some.stdout.startswith("高\t高") and "2 x text is no text" in some.stderr


# --- several as one, and comparisons ---


def test_several_models_of_several_classes_are_one(run, tmp_path):
    first, second = run("several"), run("several", 1)
    both = evaluate(
        [first, second], output=str(tmp_path / "out"), data=str(written(tmp_path / "a.jsonl", rows("several")))
    )
    assert both.figures["micro_f1"].value > 0.8
    one, other = (load_model(path, print).predictor for path in (first, second))
    joined = load_several([first, second], print, [1, 3]).predictor
    raw = texts(5)
    each = [model.probabilities([model.read(text) for text in raw]) for model in (one, other)]
    said = joined.probabilities([joined.read(text) for text in raw])
    assert np.allclose(said, each[0] / 4 + each[1] * 3 / 4)
    assert np.allclose(joined.thresholds, one.thresholds / 4 + other.thresholds * 3 / 4)
    values = joined.predict([joined.read(text) for text in raw])
    assert [set(value.given) for value in values] == [
        {label for label, p, least in zip(joined.labels, row, joined.thresholds) if p >= least} for row in said
    ]


@pytest.mark.parametrize(("first", "second"), [("one", "several"), ("several", "one"), ("rising", "falling")])
def test_models_that_are_asked_for_other_things_are_neither_averaged_nor_compared(run, tmp_path, first, second):
    source = written(tmp_path / "a.jsonl", rows(first, 30))
    for models, baseline in (([run(first), run(second)], None), ([run(first)], run(second))):
        with pytest.raises(DataError, match=r"asked for other things|other orders of classes|differ in their classes"):
            evaluate(models, baseline=baseline, data=str(source), output=str(tmp_path / "out"))


def test_an_order_of_classes_is_compared_with_the_same_classes_without_one(run, tmp_path):
    source = str(written(tmp_path / "a.jsonl", rows("one", 30)))
    found = evaluate([run("rising")], baseline=run("one"), data=source, output=str(tmp_path / "out"))
    assert "accuracy" in found.differences and "mae" not in found.differences


@pytest.mark.parametrize("lower", ["loss", "accuracy"])
def test_a_model_without_the_figure_comes_last(lower):
    held = sorted([0.5, None, 0.25], key=lambda value: _placed(value, lower))
    assert held == ([0.25, 0.5, None] if lower == "loss" else [0.5, 0.25, None])


# --- what is chosen at the end ---


def test_thresholds_are_the_best_for_what_is_said_of_texts_of_several_windows(tmp_path):
    case = find("text-classification-several")
    held = [{"text": text * 4, "label": KINDS["several"][0](n)} for n, text in enumerate(texts(60))]
    source = written(tmp_path / "a.jsonl", held)
    own = [
        f"data.source={source}",
        f"data.prepared={tmp_path / 'prepared'}",
        f"run={tmp_path / 'run'}",
        "data.columns={}",
    ]
    more = [*own, "model.context=16", "calibrate=true", "data.valid_share=0.3", "optim.lr=0.01", "train.steps=20"]
    path = pretrain(case.path, more)
    predictor, config = load_model(path, print).predictor, load(case.path, more)
    valid = Texts(tmp_path / "prepared", "valid", kind_of(config))
    reads = [predictor.tokenised(draft.texts) for draft in valid.drafts]
    truth = np.array([[label in draft.target for label in predictor.labels] for draft in valid.drafts])
    said = predictor.probabilities(reads)
    assert len(predictor.windows(reads)) > 2 * len(reads)
    assert predictor.thresholds.tolist() == pytest.approx(goals.best_thresholds(said, truth), abs=1e-5)
    scores = predictor.scores(reads)

    def nats(temperature: float) -> float:
        p = scores.mean(lambda found: goals.probabilities("several", found, temperature), len(reads))
        return goals.nats("several", p, truth)

    chosen = predictor.temperature
    assert nats(chosen) <= min(nats(chosen * 1.02), nats(chosen / 1.02)) + 1e-9


def test_rare_classes_are_made_up_for_once():
    with pytest.raises(ConfigError, match="once too often"):
        load(find("text-classification").path, ["loss.class_weights=true", "balance=over"])


def test_answers_that_cannot_be_given_are_said(tmp_path, capsys):
    text = "第一天在北京，第二天在上海，第三天在广州。"
    held = [
        {"question": f"第{n}天在哪？", "context": text, "answers": [{"text": text[4:6] if n else text}]}
        for n in range(8)
    ]
    source = written(tmp_path / "a.jsonl", held)
    own = [
        f"data.source={source}",
        f"data.prepared={tmp_path / 'prepared'}",
        f"run={tmp_path / 'run'}",
        "train.steps=1",
    ]
    none = ["data.valid=train", "data.test=train", "data.valid_share=0", "data.test_share=0"]
    pretrain(find("question-answering").path, [*own, *none, "answer_tokens=10"])
    said = capsys.readouterr().err
    assert "1 of the training questions have an answer that is longer than answer_tokens (10)" in said
    pretrain(
        find("question-answering").path, [*own[:2], f"run={tmp_path / 'other'}", own[3], *none, "answer_tokens=40"]
    )
    assert "longer than answer_tokens" not in capsys.readouterr().err
