"""Odd rows of labelled text, of every task that reads such: what is used of them, what is refused, and that it is said."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from cases import CASES

from bmtool.base.console import Console
from bmtool.config.load import load
from bmtool.errors import ConfigError, DataError
from bmtool.registry import TASKS
from bmtool.text.labelled.prepare import kind_of, prepare
from bmtool.text.labelled.store import Texts

LABELLED = [name for name, entry in TASKS.items() if entry.kit == "text.labelled"]
HALF = "\ud800"  # of a surrogate pair, as \uXXXX in JSON may hold it


class Made(NamedTuple):
    manifest: dict
    # of the training split: texts and target of each
    examples: list[tuple]


def row(task: str, number: int) -> dict:
    """A row of a task that can be used."""
    text = f"第{number}天在北京。"
    return {
        "text-classification": {"text": text, "label": "ab"[number % 2]},
        "text-regression": {"text": text, "label": number},
        "token-classification": {"text": text, "spans": [[len(text) - 3, len(text) - 1, "地"]]},
        "question-answering": {"question": f"第{number}天在哪？", "context": text, "answers": [{"text": "北京"}]},
    }[task]


def made(folder: Path, task: str, rows: list[dict] | str, *more: str, name: str = "a.jsonl") -> Made:
    """What is prepared of rows, or of the contents of a file, all of it to train on."""
    source = folder / name
    lines = rows if isinstance(rows, str) else "".join(json.dumps(one) + "\n" for one in rows)
    source.write_text(lines, encoding="utf-8")
    path = next(case.path for case in CASES if case.config.task == task)
    config = load(path, settings(folder, source, *more))
    manifest = prepare(config, Console(quiet=True))
    drafts = Texts(folder / "prepared", "train", kind_of(config)).drafts
    return Made(manifest, [(draft.texts, draft.target) for draft in drafts])


def settings(folder: Path, source: Path, *more: str) -> list[str]:
    own = [f"data.source={source}", f"data.prepared={folder / 'prepared'}", "data.columns={}"]
    return [*own, "data.valid_share=0", "data.test_share=0", *more]


def lexicon_of(task: str) -> list[str]:
    return ["lexicon=null"] if task == "token-classification" else []


# --- of every task ---


@pytest.mark.parametrize("task", LABELLED)
def test_half_of_a_surrogate_pair_is_refused_where_it_is_used_and_left_out_where_it_is_not(tmp_path, task):
    rows = [row(task, number) for number in range(8)]
    held = json.dumps(row(task, 8))
    # In each of its texts and of its targets, one after the other.
    broken = [
        json.loads(held.replace(old, new))
        for old, new in ((json.dumps("地"), json.dumps(HALF)), ('"a"', json.dumps(HALF)))
    ]
    texts = [{**row(task, 9), name: f"{value}{HALF}"} for name, value in row(task, 9).items() if isinstance(value, str)]
    beside = [{**row(task, 10), "who": HALF}, {**row(task, 11), HALF: "x"}]
    found = made(
        tmp_path, task, [*rows, *beside, *texts, *(one for one in broken if one != row(task, 8))], *lexicon_of(task)
    )
    assert found.manifest["kept"] == 10
    assert set(found.manifest["dropped"]) == {f"half of a surrogate pair in column {name!r}" for name in found_in(task)}
    assert found.manifest["noted"] == {
        "half of a surrogate pair in column 'who', which is left out": 1,
        "half of a surrogate pair in column '\\ud800', which is left out": 1,
    }


def found_in(task: str) -> list[str]:
    """The columns that half of a pair is put into above."""
    return {
        "text-classification": ["text", "label"],
        "text-regression": ["text"],
        "token-classification": ["text", "spans"],
        "question-answering": ["question", "context"],
    }[task]


@pytest.mark.parametrize("task", LABELLED)
def test_columns_that_nothing_is_read_from_and_one_for_two_are_refused(tmp_path, task):
    rows = [row(task, number) for number in range(8)]
    first, *_, last = row(task, 0)
    for columns, told in (
        ("{nothing: x}", "by the name 'nothing'"),
        (f"{{{first}: {last}}}", f"{last!r} is named for two"),
    ):
        with pytest.raises(ConfigError, match=told):
            made(tmp_path, task, rows, f"data.columns={columns}", *lexicon_of(task))


@pytest.mark.parametrize("task", LABELLED)
def test_a_text_that_differs_in_white_space_alone_is_not_learned_from_where_it_is_measured_on(tmp_path, task):
    rows, other = [row(task, number) for number in range(8)], tmp_path / "test.jsonl"
    text = next(iter(row(task, 0)))
    same = rows[0] | {text: f"{rows[0][text]}\n"}
    other.write_text(json.dumps(same), encoding="utf-8")
    found = made(tmp_path, task, rows, f"data.test={other}", *lexicon_of(task))
    assert found.manifest["splits"]["train"]["examples"] == 7 and found.manifest["splits"]["test"]["examples"] == 1
    assert sum(found.manifest["dropped"].values()) == 1


# --- classes and numbers ---


def test_a_class_is_named_alike_whatever_its_type(tmp_path):
    odd = [3.0, 3, "3", True, "true", 0.5, float("nan"), float("inf"), None, "", [], {"a": 1}, [1]]
    found = made(tmp_path, "text-classification", [{"text": f"第{n}行", "label": one} for n, one in enumerate(odd)])
    assert [target for _, target in found.examples] == ["3", "3", "3", "true", "true", "0.5"]
    assert found.manifest["dropped"] == {
        "no label": 4, "a label that is a list or an object": 1, "a label that is a list (--set data.classes=several learns lists)": 2,
    }  # fmt: skip


def test_one_of_several_classes_is_named_alike_in_a_cell_and_in_a_list(tmp_path):
    odd = ["a, 3", ["a", 3], ["a", 3.0], True, [True], 3.0, None, [], "", {"a": 1}, ["a", None], [""], float("nan")]
    rows = [{"text": f"第{n}行", "label": one} for n, one in enumerate(odd)]
    found = made(tmp_path, "text-classification", rows, "data.classes=several")
    assert [target for _, target in found.examples] == [["3", "a"]] * 3 + [["true"]] * 2 + [["3"]] + [[]] * 3
    assert found.manifest["dropped"] == {"a label that is a list or an object": 1, "no label": 3}


def test_classes_that_are_one_number_are_said(tmp_path):
    lines = "text,label\n" + "".join(f"第{n}行,{label}\n" for n, label in enumerate(["1", "1.0", "01", "2"] * 3))
    (warning,) = made(tmp_path, "text-classification", lines, name="a.csv").manifest["warnings"]
    assert "'01' and '1' and '1.0'" in warning


def test_numbers_that_differ_by_less_than_can_be_told_are_refused(tmp_path):
    with pytest.raises(DataError, match="differ by too little"):
        made(tmp_path, "text-regression", [{"text": f"第{n}行", "label": n * 1e-200} for n in range(9)])


# --- spans ---


def tagged(text: str, *tags: str) -> dict:
    return {"tokens": list(text), "tags": list(tags)}


def spans_of(folder: Path, rows: list[dict] | str, *more: str, name: str = "a.jsonl") -> Made:
    return made(folder, "token-classification", rows, *more, "lexicon=null", name=name)


@pytest.mark.parametrize(
    ("rows", "right", "dropped"),
    [
        # tags that go on with no span are IOB1 in a file of IOB1, and broken in any other
        ([tagged("小明", "I-人", "I-人")], [[[0, 2, "人"]]], []),
        (
            [tagged("小明在", "B-人", "I-人", "O"), tagged("小红", "O", "I-人")],
            [[[0, 2, "人"]]],
            ["goes on with no span"],
        ),
        # a span without an end is one of BIO, and broken where other rows have ends
        ([tagged("小明", "B-人", "O")], [[[0, 1, "人"]]], []),
        ([tagged("小明在", "B-人", "E-人", "O"), tagged("小红", "B-人", "O")], [[[0, 2, "人"]]], ["without an end"]),
        (
            [tagged("小明", "B-人", "I-人"), {"tokens": ["", "红"], "tags": ["B-人", "O"]}],
            [[[0, 2, "人"]]],
            ["without a char"],
        ),
        ([tagged("小明", "B-人", "I-人"), tagged(" 红", "B-人", "O")], [[[0, 2, "人"]]], ["nothing but white space"]),
    ],
)
def test_tags_of_rows_are_read_by_the_scheme_of_their_file(tmp_path, rows, right, dropped):
    found = spans_of(tmp_path, rows)
    assert [target for _, target in found.examples] == right
    for reason, told in zip(found.manifest["dropped"], dropped, strict=True):
        assert told in reason
    assert any("with tags of" in noted for noted in found.manifest["noted"])


def test_words_of_one_letter_are_written_apart_where_others_of_the_file_are_longer(tmp_path):
    found = spans_of(
        tmp_path, [{"tokens": ["I", "a"], "tags": ["O", "S-x"]}, {"tokens": ["an", "ox"], "tags": ["O", "S-x"]}]
    )
    assert [texts for texts, _ in found.examples] == [("I a",), ("an ox",)]


@pytest.mark.parametrize(("unit", "size"), [("bytes", 3), ("utf-16", 2)])
def test_places_that_count_something_else_in_all_rows_are_refused_though_some_fit_as_characters(tmp_path, unit, size):
    """Of a text that is long enough, places in bytes are places of other characters."""
    letter = "北" if unit == "bytes" else "𠮷"
    start = size * 2
    rows = [{"text": letter * count, "spans": [[start, start + size, "地"]]} for count in (4, 30, 30, 30)]
    with pytest.raises(
        DataError, match=rf"a.jsonl:1: .*all places of this file fit as {unit}: --set data.offsets={unit}"
    ):
        spans_of(tmp_path, rows)
    found = spans_of(tmp_path, rows, f"data.offsets={unit}")
    assert {tuple(map(tuple, target)) for _, target in found.examples} == {((2, 3, "地"),)}
    # A row that does not fit so: characters it is, and what ends past its text is left out alone.
    found = spans_of(tmp_path, [*rows, {"text": letter * 9, "spans": [[1, 2, "地"]]}])
    assert len(found.examples) == 4 and len(found.manifest["dropped"]) == 1


def test_sentences_behind_the_mark_of_a_document_are_kept(tmp_path):
    lines = "-DOCSTART- -X- O\n小 B-人\n明 I-人\n-DOCSTART- -X- O\n\n大 O\n"
    assert [texts for texts, _ in spans_of(tmp_path, lines, name="a.conll").examples] == [("小明",), ("大",)]


def test_a_column_that_numbers_the_tokens_is_not_taken_for_them(tmp_path):
    with pytest.raises(DataError, match="numbers the tokens"):
        spans_of(tmp_path, "1 小 B-人\n2 明 I-人\n", name="a.conll")


def test_marks_of_label_studio_that_are_no_places_in_a_text_are_refused(tmp_path):
    def task(kind: str) -> dict:
        value = {"start": 0, "end": 2, "labels": ["人"]}
        return {
            "data": {"text": "小明在"},
            "annotations": [{"result": [{"type": kind, "value": value}, {"type": "choices"}]}],
        }

    found = spans_of(tmp_path, [task("labels"), task("hypertextlabels")])
    assert [target for _, target in found.examples] == [[[0, 2, "人"]]]
    assert found.manifest["dropped"] == {"marks of the kind hypertextlabels, which are no places in a text": 1}


# --- questions ---


def test_what_is_said_of_there_being_no_answer_counts_in_rows_too(tmp_path):
    given, none = row("question-answering", 1), row("question-answering", 2) | {"answers": []}
    rows = [
        given, given | {"question": "1", "is_impossible": False}, given | {"question": "2", "is_impossible": True},
        none | {"question": "3", "is_impossible": True}, none | {"question": "4"}, none | {"question": "5", "is_impossible": False},
        given | {"question": "6", "is_impossible": "true"},
    ]  # fmt: skip
    found = made(tmp_path, "question-answering", rows)
    assert [bool(target["spans"]) for _, target in found.examples] == [True, True, False, False, False]
    assert found.manifest["dropped"] == {
        "a question without an answer that is_impossible says has one": 1,
        "is_impossible is neither true nor false": 1,
    }
    assert any("they are not read" in warning for warning in found.manifest["warnings"])


def test_texts_of_training_that_are_measured_on_with_other_questions_are_said(tmp_path):
    other = tmp_path / "test.jsonl"
    other.write_text(json.dumps(row("question-answering", 1) | {"question": "另一个？"}), encoding="utf-8")
    rows = [row("question-answering", number) for number in range(4)]
    found = made(tmp_path, "question-answering", rows, f"data.test={other}")
    assert any("1 of 1 texts that are measured on stand in training too" in one for one in found.manifest["warnings"])
