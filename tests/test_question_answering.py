"""Questions that a piece of a text answers: how answers are measured, read, found across windows, and asked for."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from cases import find
from conftest import ROOT, config_path
from hypothesis import given
from hypothesis import strategies as st
from test_serve import browser  # noqa: F401  # a fixture

from bmtool.api import Model
from bmtool.base.console import Console
from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import pretrain
from bmtool.config.load import load, parse
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure.answers import COLUMNS, AnswerMeter, match, row, segments
from bmtool.predict.answer import Ensemble, joined, of_passages
from bmtool.predict.values import Answer, Piece
from bmtool.tasks.question_answering import reading, spans
from bmtool.tasks.question_answering.kind import KIND
from bmtool.tasks.question_answering.metrics import WINDOW, WindowMeter
from bmtool.tasks.question_answering.negatives import WithNegatives
from bmtool.tasks.question_answering.reading import Span, answers, place
from bmtool.tasks.question_answering.spans import Scores
from bmtool.tasks.question_answering.task import Task
from bmtool.text.labelled import examples
from bmtool.text.labelled.prepare import prepare
from bmtool.text.labelled.store import Texts

TINY = "question-answering"
MANUAL = ROOT / "data" / "question-answering" / "manual.md"
CHINESE, ENGLISH = "保修多久？", "How long?"


# --- what is measured, by hand ---


@pytest.mark.parametrize(
    "said, right, exact, f1",
    [
        ("两年", ["两年"], 1, 1),
        ("“两年”。", ["两年"], 1, 1),  # punctuation aside
        ("整机两年", ["两年"], 0, 2 * 2 / 6),  # 两年 is shared: 2 of 4, 2 of 2
        ("两整年", ["两年"], 0, 2 * 1 / 5),  # the longest run, not all that is shared
        ("IPX4 级", ["ipx4"], 0, 2 * 1 / 3),  # words of Latin letters are whole, case aside
        ("三年", ["两个月", "三年内"], 0, 2 * 2 / 5),  # the nearest of several
        ("", ["两年"], 0, 0),
        ("", [], 1, 1),  # it has no answer, and none is given
        ("两年", [], 0, 0),
        ("。", ["两年"], 0, 0),
    ],
)
def test_chinese_is_measured_as_cmrc_does(said, right, exact, f1):
    assert match(said, right, CHINESE) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    "said, right, exact, f1",
    [
        ("the Kettle", ["kettle."], 1, 1),  # articles, case and punctuation aside
        ("two years old", ["two years"], 0, 2 * 2 / 5),
        ("years two", ["two years"], 0, 1),  # words in any order
        ("a", ["the"], 1, 1),  # nothing is left of both
        ("", ["two"], 0, 0),
        ("", [], 1, 1),
    ],
)
def test_words_are_measured_as_squad_does(said, right, exact, f1):
    assert match(said, right, ENGLISH) == pytest.approx((exact, f1))


def test_mixed_text_is_cut_as_cmrc_does():
    assert segments("用 2.4G 网络，Wi-Fi 6") == ["用", "2.4g", "网", "络", "wifi", "6"]


def test_the_meter_adds_up_and_counts_questions_without_an_answer_apart():
    rows = [
        row("两年", ["两年"], CHINESE),
        row("一年", ["两年"], CHINESE),
        row("", [], CHINESE),
        row("一年", [], CHINESE),
    ]
    assert len(rows[0]) == len(COLUMNS)
    meter, other = AnswerMeter(2), AnswerMeter(2)
    meter.add(np.array(rows[:2]), None, np.array([[1.0, 2.0], [1.0, 0.0]]))
    other.add(np.array(rows[2:]), None, np.ones((2, 2)))
    whole = AnswerMeter(2)
    whole.join([meter.state(), other.state()])
    found = whole.figures()
    assert found["exact_match"].tolist() == pytest.approx([2 / 4, 3 / 4])
    assert found["f1"].tolist() == pytest.approx([2.5 / 4, 3 / 4])
    assert found["no_answer_accuracy"].tolist() == pytest.approx([0.5, 0.5])
    assert np.isnan(meter.figures()["no_answer_accuracy"]).all()


# --- answers out of rows ---

CONTEXT = "😀保修两年，e\u0301lan 三年。"  # what takes two UTF-16 units, and a mark that joins the letter before it


def test_answers_stand_in_lists_of_objects_or_in_an_object_of_lists():
    span = Span(3, 5)
    for held in (
        [{"text": "两年", "start": 3}],
        [{"text": "两年", "answer_start": 3}, {"text": "两年", "answer_start": 3}],
        {"text": ["两年"], "answer_start": [3]},
    ):
        assert answers({"answers": held}, CONTEXT) == ((span,), ())
    for none in ([], {"text": [], "answer_start": []}):
        assert answers({"answers": none}, CONTEXT) == ((), ())
    assert answers({"answers": [], "is_impossible": True}, CONTEXT) == ((), ())


@pytest.mark.parametrize(
    "start, note",
    [
        (3, ""),
        (len("😀保修".encode()), reading.IN_BYTES),
        (len("😀保修".encode("utf-16-le")) // 2, reading.IN_UTF16),
        (None, reading.NO_PLACE),
        (-1, reading.NO_PLACE),
    ],
)
def test_places_in_bytes_or_utf16_units_are_guessed_and_said(start, note):
    assert place("两年", start, CONTEXT) == (Span(3, 5), note)


@pytest.mark.parametrize(
    "text, start, said",
    [("五年", 3, reading.NOT_THERE), ("两年", 1, reading.NO_UNIT), ("两年", 10_000, reading.NO_UNIT)],
)
def test_places_of_something_else_are_refused(text, start, said):
    with pytest.raises(BadInput, match=said[:30]):
        place(text, start, CONTEXT)


@pytest.mark.parametrize(
    "given, said",
    [
        (None, "no answers"),
        ("两年", "no answers"),
        (["两年"], "without a text"),
        ([{"text": " ", "start": 3}], "without a text"),
        ([{"text": "两年", "start": "3"}], "no whole number"),
        ([{"text": "两年", "start": True}], "no whole number"),
        ({"text": ["两年"]}, "as many texts as places"),
        ({"text": ["两年"], "answer_start": [3, 4]}, "as many texts as places"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_reason(given, said):
    with pytest.raises(BadInput, match=said):
        answers({"answers": given}, CONTEXT)


def test_an_answer_that_is_not_there_is_dropped_and_a_question_that_loses_all_is_none_without_answer():
    both = [{"text": "两年", "start": 3}, {"text": "五年", "start": 3}]
    assert answers({"answers": both}, CONTEXT) == ((Span(3, 5),), (reading.NOT_THERE,))
    with pytest.raises(BadInput, match="not in its context"):
        answers({"answers": both[1:]}, CONTEXT)


@given(st.text(max_size=40), st.data())
def test_any_piece_is_found_by_its_place_in_any_unit(context, data):
    start = data.draw(st.integers(0, len(context)))
    text = context[start : data.draw(st.integers(start, len(context)))]
    if text.strip():
        for units in (start, len(context[:start].encode()), len(context[:start].encode("utf-16-le")) // 2):
            span, _ = place(text, units, context)
            assert context[span.start : span.end] == text


# --- files ---

SQUAD = {
    "version": "v2.0",
    "data": [
        {"title": "t", "paragraphs": [{"context": "保修两年。", "qas": [
            {"id": "1", "question": "多久？", "answers": [{"text": "两年", "answer_start": 2}], "is_impossible": False},
            {"id": "2", "question": "多少钱？", "answers": [], "is_impossible": True},
        ]}]}
    ],
}  # fmt: skip


def config(source: Path, tmp_path: Path, **data):
    held = {"source": str(source), "prepared": str(tmp_path / "prepared"), "valid_share": 0, "test_share": 0}
    held |= {"valid": "train", "test": "train"} | data
    train = {"steps": 1, "threads": 1, "precision": "fp32"}
    model = {"kind": "encoder", "context": 64}
    return parse(
        {"task": TINY, "run": str(tmp_path / "run"), "data": held, "model": model, "overlap": 16, "train": train}
    )


def test_files_of_squad_and_rows_of_json_are_read(tmp_path):
    (tmp_path / "squad.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    rows = [{"question": "多久？", "context": "保修两年。", "answers": [{"text": "两年", "start": 2}]}]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    squad = list(KIND.formats[".json"](tmp_path / "squad.json"))
    assert [one.place[-7:] for one in squad] == [".json:1", ".json:2"] and squad[0].values["id"] == "1"
    assert [one.values["question"] for one in KIND.formats[".json"](tmp_path / "rows.json")] == ["多久？"]
    with pytest.raises(DataError, match="cannot read"):
        list(KIND.formats[".json"](tmp_path / "gone.json"))
    manifest = prepare(config(tmp_path / "squad.json", tmp_path), Console(speaks=False))
    assert manifest["splits"]["train"]["classes"] == {"answered in the text": 1, "without an answer": 1}


@pytest.mark.parametrize(
    "held, said",
    [
        ({"data": 1}, "data is no list"),
        ({"data": [{"paragraphs": 1}]}, "paragraphs is no list"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "no context"),
        ({"data": [{"paragraphs": [{"context": "c"}]}]}, "no list"),
    ],
)
def test_a_file_like_squad_that_is_none_is_refused(held, said, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        list(reading.nested(tmp_path / "a.json"))


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


GOOD = {"id": "1", "question": "多久？", "context": CONTEXT, "answers": [{"text": "两年", "start": 3}]}


def test_what_is_dropped_and_what_is_guessed_is_counted(tmp_path):
    """Answers not in their context, places in bytes, empty texts, texts over 1 MB, and other columns of the row are kept."""
    rows = [
        GOOD,
        GOOD | {"question": "字节？", "answers": [{"text": "两年", "start": 10}]},
        GOOD | {"question": "不在？", "answers": [{"text": "九年", "start": 3}]},
        GOOD | {"question": "别处？", "answers": [{"text": "两年", "start": 0}]},
        GOOD | {"question": " "},
        GOOD | {"question": "长？", "context": "长" * ((1 << 20) + 1)},
        GOOD | {"question": "无？", "answers": []},
    ]
    manifest = prepare(config(write(tmp_path / "a.jsonl", *rows), tmp_path), Console(speaks=False))
    assert manifest["kept"] == 3
    assert set(manifest["dropped"]) == {
        reading.NOT_THERE, reading.NO_UNIT, "an empty text in column 'question'",
        "a text of more than 1,048,576 characters in column 'context'",
    }  # fmt: skip
    assert manifest["warnings"] == [f"1 x {reading.IN_BYTES}  e.g. {tmp_path / 'a.jsonl'}:2"]
    found = list(examples.split(config(tmp_path / "a.jsonl", tmp_path).data, tmp_path / "prepared", "test", []))
    assert found[0].fields == {"id": "1"} and found[0].truth["spans"] == [[3, 5]] and found[2].truth["spans"] == []


def test_questions_of_which_none_has_an_answer_are_refused(tmp_path):
    source = write(tmp_path / "a.jsonl", GOOD | {"answers": []})
    with pytest.raises(DataError, match="no question has an answer"):
        prepare(config(source, tmp_path), Console(speaks=False))


def test_other_names_of_columns_and_one_that_is_missing(tmp_path):
    named = {"q": "多久？", "passage": CONTEXT, "answers": GOOD["answers"]}
    source = write(tmp_path / "a.jsonl", named)
    columns = {"question": "q", "context": "passage"}
    assert prepare(config(source, tmp_path, columns=columns), Console(speaks=False))["kept"] == 1
    with pytest.raises(DataError, match="no column 'question'"):
        prepare(config(source, tmp_path), Console(speaks=False))


# --- pieces across windows ---


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 1000))
def test_windows_that_overlap_say_what_the_whole_says(count, longest, seed):
    """As long as what they share holds any answer."""
    drawn = np.random.default_rng(seed)
    start, end = drawn.normal(size=(2, count))
    whole = spans.rank([Scores(0, start, end)], longest)
    width = max(longest + 1, 2 * longest)
    windows = [
        Scores(at, start[at : at + width], end[at : at + width]) for at in range(0, count, max(1, width - longest))
    ]
    parts = spans.rank(windows, longest)
    assert parts.pieces.tolist() == whole.pieces.tolist()
    assert parts.probabilities == pytest.approx(whole.probabilities) and parts.no_answer == pytest.approx(
        whole.no_answer
    )


def test_pieces_are_ranked_by_what_begins_and_ends_them():
    found = spans.rank([Scores(5, np.array([4.0, 0.0, 1.0]), np.array([0.0, 3.0, 0.0]))], 2)
    assert found.pieces[0].tolist() == [5, 6]
    assert [5, 7] not in found.pieces.tolist()  # longer than two tokens
    every = np.exp([4, 7, 3, 0, 1])  # (5, 5), (5, 6), (6, 6), (6, 7), (7, 7)
    assert found.no_answer == pytest.approx(1 / (1 + every.sum()))
    assert found.probabilities.sum() + found.no_answer == pytest.approx(1)


def test_characters_and_tokens_are_each_others_way_back():
    offsets = np.array([[0, 2], [2, 3], [4, 7]])
    assert spans.tokens(offsets, 2, 5) == (1, 2) and spans.characters(offsets, 1, 2) == (2, 7)
    assert spans.tokens(offsets, 3, 4) is None


def test_validation_joins_windows_as_the_predictor_does():
    said = [[0, 2.0, 1, 1, 0], [0, 1.0, 0, 0.2, 0], [1, -1.0, 0, 0, 1], [2, -2.0, 1, 1, 0], [2, 0.5, 0, 0.5, 0]]
    assert len(said[0]) == len(WINDOW)
    first, second = WindowMeter(refuses=True), WindowMeter(refuses=True)
    first.add(np.array(said[1:4]), None, np.ones((3, 1)))
    second.add(np.array([said[0], said[4]]), None, np.ones((2, 1)))
    whole = WindowMeter(refuses=True)
    whole.join([first.state(), second.state()])
    found = {name: value[0] for name, value in whole.figures().items()}
    assert found == pytest.approx({"exact_match": 2 / 3, "f1": 2.5 / 3, "no_answer_accuracy": 1})
    always = WindowMeter(refuses=False)
    always.join([whole.state()])
    assert always.figures()["no_answer_accuracy"] == 0
    assert np.isnan(WindowMeter(refuses=True).figures()["f1"]).all()


# --- values ---


def test_an_answer_is_one_object_and_one_line():
    piece = Piece("两\n年", 2, 5, 0.75)
    value = Answer((piece,), 0.25)
    assert value.record() == {
        "answer": "两\n年", "start": 2, "end": 5, "probability": 0.75, "no_answer": 0.25,
        "n_best": [{"answer": "两\n年", "start": 2, "end": 5, "probability": 0.75}],
    }  # fmt: skip
    assert value.line() == "两 年 0.7500" and value.text == "两\n年"
    none = Answer((piece,), 0.8, refuses=True)
    assert none.record()["answer"] is None and none.record()["probability"] == 0.8 and none.text == ""
    assert none.line() == "(no answer) 0.8000\t两 年 0.7500"
    found = Answer((piece._replace(source="a.md:3", passage="整两\n年"),), 0.1)
    assert found.line() == "两 年 0.7500 a.md:3" and found.record()["passage"] == "整两\n年"


def test_answers_become_one_by_what_each_is_believed():
    one, other = Piece("a", 0, 1, 0.9), Piece("b", 2, 3, 0.5)
    found = joined([Answer((one,), 0.1), Answer((other, one._replace(probability=0.1)), 0.4)], [3, 1], 5)
    assert [(piece.text, piece.probability) for piece in found.n_best] == [
        ("a", pytest.approx((0.9 * 3 + 0.1) / 4)),
        ("b", pytest.approx(0.5 / 4)),
    ]
    assert found.no_answer == pytest.approx((0.1 * 3 + 0.4) / 4) and not found.refuses
    assert joined([Answer((one,), 0.95, True), Answer((other,), 0.5)], [1, 1], 5).refuses


def test_passages_are_compared_by_odds_against_no_answer_in_each():
    one, other = Piece("a", 0, 1, 0.6), Piece("b", 2, 3, 0.01)
    alone = of_passages([Answer((one,), 0.4)], [1], 5)
    assert alone.n_best[0].probability == pytest.approx(0.6) and alone.no_answer == pytest.approx(0.4)
    both = of_passages([Answer((other,), 0.99, True), Answer((one,), 0.4)], [1, 1 / 2], 5)
    odds = [0.01 / 0.99, 0.6 / 0.4 / 2]
    assert [piece.text for piece in both.n_best] == ["a", "b"]
    assert both.n_best[0].probability == pytest.approx(odds[1] / (1 + sum(odds))) and both.refuses
    assert of_passages([Answer((), 1.0, True)], [1], 5).text == ""


# --- a model ---

ASKED = {"question": "保修几年？", "context": "整机保修两年😀，加热盘e\u0301 保修五年。\n" * 9}


def test_an_answer_is_the_text_between_its_characters_in_a_long_text_too(trained):
    """A text of several windows, with an emoji that is spelt in bytes and a mark that joins a letter."""
    predictor = Model(trained(TINY))._loaded.predictor
    read = predictor.read(ASKED)
    assert len(predictor.windows([read])) == 3
    value = Model(trained(TINY)).predict(ASKED, n_best=20)
    assert len(value.n_best) == 20
    for piece in value.n_best:
        assert ASKED["context"][piece.start : piece.end] == piece.text == piece.text.strip() != ""
    assert len({piece[:3] for piece in value.n_best}) == 20
    assert 0.1 < sum(piece.probability for piece in value.n_best) + value.no_answer < 1


@pytest.mark.parametrize(
    "raw, said",
    [
        ({"question": "", "context": "c"}, "an empty question"),
        ({"question": "q", "context": " "}, "an empty context"),
        ({"question": "q"}, "no 'context'"),
        ({"question": "q", "context": 1}, "context is no text"),
        ({"question": "q", "context": "c" * ((1 << 20) + 1)}, "more than 1,048,576"),
        ("q", "not JSON"),
    ],
)
def test_inputs_that_are_none_are_refused(raw, said, trained):
    with pytest.raises(BadInput, match=said):
        Model(trained(TINY)).predict(raw)


def test_several_models_are_asked_as_one(trained, tmp_path):
    run = trained(TINY)
    found = evaluate([run, run], output=str(tmp_path))
    assert found.figures["f1"].value == evaluate([run], output=str(tmp_path / "one")).figures["f1"].value
    predictor = Model(run)._loaded.predictor
    both = Ensemble([predictor, predictor], [1, 3])
    raw = find(TINY).asked[0]
    assert both.predict([both.read(raw)])[0].distance(predictor.predict([predictor.read(raw)])[0]) < 1e-6


def test_a_file_is_measured_and_what_was_guessed_is_said(trained, tmp_path):
    source = write(
        tmp_path / "a.jsonl", GOOD, GOOD | {"question": "字节？", "answers": [{"text": "两年", "start": 10}]}
    )
    found = evaluate([trained(TINY)], data=str(source), output=str(tmp_path / "out"))
    assert found.examples == 2 and f"1 x {reading.IN_BYTES}" in found.measured.remarks
    kept = [
        json.loads(line)
        for line in next((tmp_path / "out").glob("*.predictions.jsonl")).read_text("utf-8").splitlines()
    ]
    assert kept[0]["reference"] == ["两年"] and {"answer", "exact", "f1", "no_answer"} <= kept[0].keys()


# --- the commands ---


def test_questions_are_asked_of_a_file(trained, invoke, tmp_path):
    text = "第一行\n整机保修两年，加热盘保修五年。\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    result = invoke("predict", trained(TINY), "--context", tmp_path / "a.txt", "保修几年？", "谁修？", "--json")
    assert result.exit_code == 0, result.stderr
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["question"] for one in said] == ["保修几年？", "谁修？"]
    for one in said:
        assert all(text[piece["start"] : piece["end"]] == piece["answer"] for piece in one["n_best"])


def test_rows_of_questions_are_asked(trained, invoke, tmp_path):
    source = write(tmp_path / "a.jsonl", GOOD, {"question": "q"})
    result = invoke("predict", trained(TINY), source)
    assert result.exit_code == 4 and result.stdout.startswith("多久？\t") and "no 'context'" in result.stderr


@pytest.mark.parametrize("how", ["hybrid", "words", "vectors"])
def test_documents_are_asked_and_answers_say_where_they_stand(how, trained, invoke, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "manual.md").write_bytes(MANUAL.read_bytes())
    (tmp_path / "docs" / "other.csv").write_text("a,b\n")
    arguments = ["--documents", tmp_path / "docs", "--search", how, "--n-best", "3", "除垢时加多少水？", "--json"]
    result = invoke("predict", trained(TINY), *arguments)
    assert result.exit_code == 0, result.stderr
    assert "ignored 1: 1 x .csv" in result.stderr and "passages, found by words" in result.stderr
    said = json.loads(result.stdout)
    lines = MANUAL.read_text("utf-8").split("\n")
    assert len(said["n_best"]) == 3
    for piece in said["n_best"]:
        file, _, line = piece["source"].rpartition(":")
        assert file == str(tmp_path / "docs" / "manual.md")
        assert piece["passage"][piece["start"] : piece["end"]] == piece["answer"]
        assert piece["answer"].split("\n")[0] in lines[int(line) - 1]


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["问题"], 4, "is a question without a text: name one with --context FILE"),
        (["--context", "gone.txt", "q"], 4, "cannot read gone.txt"),
        (["--context", "a", "--documents", "b", "q"], 2, "leave one of them out"),
        (["--documents", "data/question-answering", "--search", "luck", "q"], 2, "one of hybrid, words, vectors"),
        (["--passages", "3", "q"], 2, "--passages is for --documents"),
        (["--documents", "gone", "q"], 4, "no such file or folder: gone"),
        (["--documents", str(MANUAL), " "], 4, "no question"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_one_line(arguments, code, said, trained, invoke):
    result = invoke("predict", trained(TINY), *arguments)
    assert result.exit_code == code and said in result.stderr, result.stderr


def test_models_of_other_tasks_are_asked_no_questions(trained, invoke):
    result = invoke("predict", trained("language-model"), "--documents", str(MANUAL), "q")
    assert result.exit_code == 2 and "--documents: models of language-model are asked no questions" in result.stderr
    result = invoke("predict", trained("language-model"), "--context", str(MANUAL), "q")
    assert result.exit_code == 2 and "--context: models of language-model have no such option" in result.stderr


def test_a_language_model_answers_from_passages_with_their_sources(prepared, settings, invoke, tmp_path):
    prepared("language-model")
    longer = ["model.context=256", "train.batch_tokens=256", "train.steps=1"]
    run = pretrain(config_path("language-model"), settings("language-model", tmp_path / "run", *longer))
    tmp_path = tmp_path / "docs"
    tmp_path.mkdir()
    (tmp_path / "a.md").write_text("# 保修\n整机两年。\n\n# 水\n一升。\n", encoding="utf-8")
    arguments = ["--documents", tmp_path, "--search", "words", "--max-tokens", "4", "整机"]
    result = invoke("generate", run, *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"[1] {tmp_path / 'a.md'}:1"
    said = json.loads(invoke("generate", run, *arguments, "--json").stdout)
    assert said["sources"][0]["source"] == f"{tmp_path / 'a.md'}:1" and said["sources"][0]["passage"] in said["prompt"]
    assert said["prompt"].endswith("问题：整机\n回答：") and said["input"] == "整机"
    none = invoke("generate", run, "--documents", tmp_path, "--search", "words", "zzz")
    assert none.exit_code == 4 and "no passage has anything to do with it" in none.stderr
    mixed = invoke("generate", run, "--documents", tmp_path, "--choices", "a,b", "q")
    assert mixed.exit_code == 2 and "leave --documents out" in mixed.stderr


def test_an_answer_is_explained_by_the_words_around_it(trained, invoke, tmp_path):
    """Words of question and context; the answer itself is never taken away, and deletion checks what is said."""
    predictor = Model(trained(TINY))._loaded.predictor
    read = predictor.read({"question": "保修几年？", "context": "整机保修两年，加热盘保修五年。"})
    (said,) = predictor.predict([read])
    found = predictor.explained("explain", read)
    assert {unit.text for unit in found.units} == {0, 1}
    if said.text:
        best = said.n_best[0]
        assert found.answer == said.text
        assert all(unit.text == 0 or unit.stop <= best.start or unit.start >= best.end for unit in found.units)
    whole = said.no_answer if not said.text else said.n_best[0].probability
    assert found.deletion.whole == pytest.approx(whole, abs=1e-6)
    page = tmp_path / "why.html"
    question = "除垢时加多少水？"
    result = invoke("predict", trained(TINY), "--documents", MANUAL, question, "--explain", page)
    assert result.exit_code == 0, result.stderr
    assert question[0] in page.read_text("utf-8") and "<mark" in page.read_text("utf-8")
    refused = invoke("predict", trained(TINY), "--context", MANUAL, question, "--saliency", page)
    assert refused.exit_code == 2 and "--saliency: models of question-answering have no such picture" in refused.stderr


# --- HTTP and the page ---


def posted(path: Path, bodies: list[dict], documents: str | None = None) -> list:
    """The answers of a server to these requests; the last is to one for its card."""
    import httpx
    from test_contract import Here

    from bmtool.serve.app import create
    from bmtool.serve.service import Service
    from bmtool.serve.settings import Settings

    async def asked() -> list[httpx.Response]:
        guard = create(Service(str(path), Here(path, documents), Settings(), print))
        transport = httpx.ASGITransport(guard)
        async with (
            guard.app.router.lifespan_context(guard.app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            answers = [await client.post("/v1/predict", json=body) for body in bodies]
            return [*answers, await client.get("/v1/model")]

    return asyncio.run(asked())


def test_one_text_stands_for_all_questions_of_a_request(exported):
    bodies = [
        {"question": ["保修几年？", "多高？"], "context": "整机保修两年。", "n_best": 2},
        {"question": "保修几年？", "context": "整机保修两年。"},
        {"question": ["保修几年？", "多高？"], "context": ["整机保修两年。"]},
        {"question": "保修几年？"},
        {"question": "保修几年？", "context": " "},
        {"question": "保修几年？", "context": "长" * 100_000},
    ]
    many, one, unlike, without, empty, dear, card = posted(exported(TINY), bodies)
    assert "documents" not in card.json()
    assert [found["question"] for found in many.json()["answers"]] == ["保修几年？", "多高？"]
    assert one.json()["n_best"] == many.json()["answers"][0]["n_best"][:1]
    assert unlike.status_code == 422 and "context: one for all 2, or one for each" in unlike.text
    assert without.status_code == 422 and "send `context`" in without.text
    assert empty.status_code == 422 and "an empty context" in empty.text
    assert dear.status_code == 413


def test_a_server_looks_questions_up_in_documents(exported, invoke, tmp_path):
    """As `predict --documents` does, but for where the folder lies; a context of the request's own is still read."""
    place = tmp_path / "kettle"
    place.mkdir()
    (place / "manual.md").write_bytes(MANUAL.read_bytes())
    question, context = "除垢时加多少水？", "整机保修两年。"
    bodies = [
        {"question": question, "n_best": 3},
        {"question": [question, "保修几年？"]},
        {"question": "保修几年？", "context": context},
        {"question": ["a", question], "context": [context, context]},
        {"question": " "},
        {"question": [question] * 60},
    ]
    one, many, own, several, none, dear, card = posted(exported(TINY), bodies, str(place))
    said = json.loads(
        invoke("predict", exported(TINY), "--documents", place, question, "--n-best", "3", "--json").stdout
    )
    assert one.json()["n_best"] == [
        piece | {"source": piece["source"].removeprefix(f"{tmp_path}/")} for piece in said["n_best"]
    ]
    assert one.json()["n_best"][0]["source"].startswith("kettle/manual.md:")
    assert many.json()["answers"][0]["answer"] == said["answer"] and len(many.json()["answers"]) == 2
    assert "source" not in own.json() and own.json()["n_best"][0]["answer"] in context
    assert [found["question"] for found in several.json()["answers"]] == ["a", question]
    assert none.status_code == 422 and "no question" in none.text
    assert dear.status_code == 413
    assert card.json()["documents"] == {"name": "kettle", "passages": 14}
    assert card.json()["embeds"]


def test_documents_that_no_model_is_asked_of_are_refused(exported, tmp_path):
    from bmtool.serve.model import Served

    with pytest.raises(ConfigError, match="--documents: models of autoencoder are asked no questions"):
        Served.load(str(exported("autoencoder")), print, str(MANUAL))
    with pytest.raises(DataError, match="no text in"):
        Served.load(str(exported(TINY)), print, str(tmp_path))


@pytest.mark.slow
def test_documents_are_asked_in_a_browser(exported, browser):  # noqa: F811
    import httpx
    from playwright.sync_api import expect
    from test_serve import _keep, open_page, serving

    with serving(exported(TINY), "--documents", MANUAL.parent) as (base, process):
        said = httpx.post(f"{base}/v1/predict", json={"question": "除垢时加多少水？", "n_best": 4}).json()
        page = open_page(browser, base, viewport={"width": 700, "height": 900})
        expect(page.locator("#documents")).to_have_text("Answers are looked up in question-answering (14 passages)")
        assert not page.is_visible("#context")
        page.fill("#question", "除垢时加多少水？")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer .bar")
        best = said["n_best"][0]
        if said["answer"] is not None:
            expect(page.locator("#answer mark")).to_have_text(said["answer"])
            expect(page.locator("#answer .passage")).to_have_text(best["passage"])
            expect(page.locator("#answer .hint")).to_have_text(best["source"])
        # White space of an answer is shown as a page shows it.
        shown = page.locator("#answer .bar span:first-child").all_text_contents()
        sources = [f"{one['answer']} ({one['source']})" for one in said["n_best"]]
        assert shown == [*sources, "The text does not say"]
        assert best["source"].startswith("question-answering/manual.md:")
        _keep(page, "page-documents")
        assert page.errors == []
        page.close()
    assert any("manual.md" in line or "14 passages" in line for line in process.lines)


@pytest.mark.slow
def test_an_answer_is_marked_in_its_passage_in_a_browser(exported, browser):  # noqa: F811
    from playwright.sync_api import expect
    from test_serve import _keep, open_page, serving

    context = "😀整机保修两年，加热盘保修五年。"
    with serving(exported(TINY)) as (base, _):
        import httpx

        said = httpx.post(f"{base}/v1/predict", json={"question": "保修几年？", "context": context, "n_best": 4}).json()
        page = open_page(browser, base, viewport={"width": 700, "height": 800})
        page.wait_for_selector("#question-and-context-part:not([hidden])")
        page.fill("#context", context)
        page.fill("#question", "保修几年？")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer .bar")
        if said["answer"] is None:
            expect(page.locator("#answer .figure")).to_have_text("The text does not say")
        else:
            expect(page.locator("#answer mark")).to_have_text(said["answer"])
            expect(page.locator("#answer .passage")).to_have_text(context)
        shown = page.locator("#answer .bar span:first-child").all_inner_texts()
        assert shown == [*(one["answer"] for one in said["n_best"]), "The text does not say"]
        _keep(page, "page-question")
        assert page.errors == []
        page.close()


def test_preparing_says_what_there_is_to_learn(invoke, tmp_path):
    path = str(find(TINY).path)
    result = invoke("prepare-data", path, "--set", f"data.prepared={tmp_path / 'p'}")
    assert result.exit_code == 0 and "to learn: answered in the text" in result.stderr


def test_a_context_that_no_batch_holds_is_refused():
    with pytest.raises(ConfigError, match="must hold model"):
        load(find(TINY).path, ["train.batch_tokens=10"])


def test_negatives_are_the_nearest_texts_of_others_without_the_answer(tmp_path):
    texts = ["水壶保修两年。", "水壶和底座分开。", "杯子保修两年。", "天气很好。"]
    rows = [
        {"question": question, "context": text, "answers": [{"text": answer, "start": text.index(answer)}]}
        for question, text, answer in zip(
            ["水壶保修多久？", "水壶和什么分开？", "杯子呢？", "天气怎样？"], texts, ["两年", "底座", "杯子", "很好"]
        )
    ]
    settings = config(write(tmp_path / "a.jsonl", *rows), tmp_path)
    prepare(settings, Console(speaks=False))
    held = WithNegatives(Texts(settings.data.prepared, "train", KIND), 1)
    pairs = [draft.texts for draft in held.drafts[4:]]
    # The third text holds the answer of the first question.
    assert pairs[:2] == [("水壶保修多久？", texts[1]), ("水壶和什么分开？", texts[0])]
    assert all(draft.target["spans"] == [] for draft in held.drafts[4:]) and len(held.lengths) == len(held.drafts)
    tokenizer = held.tokenizer
    for number, draft in enumerate(held.drafts):
        assert [tokenizer.decode(held.tokens(number, text)) for text in (0, 1)] == list(draft.texts)
    task = Task.fresh(settings.model_copy(update={"negatives": 1}))
    assert task.batches("train", 1).examples == len(held.drafts)
    assert task.batches("valid", None).examples == 4
    alone = config(write(tmp_path / "b.jsonl", rows[0]), tmp_path)
    prepare(alone, Console(speaks=False))
    with pytest.raises(DataError, match="all of one text"):
        WithNegatives(Texts(alone.data.prepared, "train", KIND), 1)
