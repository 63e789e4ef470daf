"""Passages of documents: cut with their places, found by words and by vectors, put into a prompt."""

import json
import re
from math import log

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from bmtool.data.tally import Tally
from bmtool.errors import BadInput, DataError
from bmtool.measure.found import FoundMeter, ranks
from bmtool.text.retrieval import passages
from bmtool.text.retrieval.bm25 import K1, B, Bm25
from bmtool.text.retrieval.index import WEIGHT, Index, Vectors, fused
from bmtool.text.retrieval.passages import Passage, cut, read
from bmtool.text.retrieval.prompts import grounded, prompt
from bmtool.text.retrieval.reading import FromDocuments

MANUAL = ROOT / "data" / "question-answering" / "manual.md"
TEXT = "# 说明\n\n一段话。\n\n## 保修\n整机两年。\n加热盘五年。\n"


def test_passages_know_their_lines_and_headings():
    found = cut(TEXT, "a.md")
    assert [(one.line, one.title, one.text) for one in found] == [
        (1, "说明", "# 说明\n\n一段话。"),
        (5, "说明 > 保修", "## 保修\n整机两年。\n加热盘五年。"),
    ]
    assert found[1].source(found[1].text.index("加热盘")) == "a.md:7"


def test_headings_one_under_the_other_stand_with_what_follows():
    (found,) = cut("# A\n## B\ntext\n", "a.md")
    assert found.text == "# A\n## B\ntext" and found.title == "A > B"


@given(st.text("字ab。. \n#", max_size=300), st.integers(3, 40))
def test_nothing_is_lost_and_no_passage_is_long(text, size):
    found = cut(text, "a.txt", size)
    assert all(0 < len(one.text) <= size for one in found)
    letters = "".join("".join(one.text for one in found).split())
    assert letters == "".join(text.split())
    lines = text.split("\n")
    for one in found:
        first = one.text.split("\n")[0].strip()
        assert first in lines[one.line - 1]


def test_long_lines_are_cut_where_sentences_end():
    sentence = "这是一个有十个字的句子。"
    found = cut(sentence * 50, "a.txt", 100)
    assert all(one.text.endswith("。") and len(one.text) <= 100 for one in found) and {one.line for one in found} == {1}


def test_a_folder_is_read_and_what_is_passed_over_is_counted(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.md").write_text("# 一\n正文", encoding="utf-8")
    (tmp_path / "two.txt").write_bytes("\ufeff正文二".encode())
    (tmp_path / "bad.txt").write_bytes("正文".encode("gb18030"))
    (tmp_path / "other.pdf").write_bytes(b"%PDF")
    (tmp_path / ".hidden.md").write_text("x")
    tally = Tally()
    assert [one.text for one in read(tmp_path, tally)] == ["正文二", "# 一\n正文"]
    assert dict(tally.ignored) == {passages.NOT_UTF8: 1, ".pdf": 1, "hidden file": 1}


@pytest.mark.parametrize("name, said", [("gone", "no such file"), ("empty", "no text"), ("a.pdf", "no document")])
def test_documents_that_are_none_are_refused(name, said, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=said):
        read(tmp_path / name, Tally())


def test_more_than_an_index_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(passages, "MOST", 10)
    (tmp_path / "a.txt").write_text("x" * 11)
    with pytest.raises(DataError, match="more than 10 characters"):
        read(tmp_path, Tally())


# --- by words ---


def test_bm25_is_its_formula():
    """Of words, so that all terms can be counted by hand."""
    texts = ["red red kettle", "blue kettle with lid", "lid"]
    mean, index = (3 + 4 + 1) / 3, Bm25(texts)
    rarity = log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = rarity * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * 3 / mean))
    assert index.scores("RED") == pytest.approx([expected, 0, 0], rel=1e-6)
    both = index.scores("blue lid")
    assert both.argmax() == 1 and both[0] == 0 and both[2] > 0


def test_hanzi_are_found_by_pairs_and_alone():
    index = Bm25(["保修两年", "保养和修理", "水"])
    assert index.scores("保修").argmax() == 0 and index.scores("保修")[1] > 0
    assert index.scores("水").argmax() == 2
    assert not index.scores("zzz").any() and not index.scores("？！").any()
    assert Bm25(["", "。"]).scores("字").tolist() == [0, 0]


def questions() -> list[dict]:
    return [json.loads(line) for line in MANUAL.with_name("questions.jsonl").read_text("utf-8").splitlines()]


def test_the_passages_of_the_manual_are_found():
    """The questions are asked in other words than the manual has."""
    found, asked = read(MANUAL, Tally()), [one for one in questions() if one["answers"]]
    index = Index(found)
    place = {one.title.rpartition(" > ")[2]: number for number, one in enumerate(found)}
    wanted = [place[one["section"]] for one in asked]
    meter = FoundMeter()
    meter.add(ranks([index.ranked(one["question"]) for one in asked], wanted), None, np.ones((len(asked), 1)))
    assert meter.figures()["recall@5"][0] > 0.95


# --- by vectors, and by both ---


def test_vectors_are_compared_by_their_direction_from_the_common_mean():
    away = np.array([[10.0, 1.0], [10.0, -1.0], [12.0, 0.0]])
    found = Vectors(away).scores(np.array([10.5, 2.0]))
    assert found.argmax() == 0 and found.argmin() == 1 and np.abs(found).max() <= 1 + 1e-6


def test_words_and_vectors_are_added():
    assert fused(np.array([4.0, 2.0, 0.0]), np.array([0.0, 1.0, 1.0])) == pytest.approx([1, 0.5 + WEIGHT, WEIGHT])
    assert fused(np.zeros(2), np.array([0.5, -0.5])).argmax() == 0


def test_an_index_searches_as_it_is_asked():
    held = [Passage("红色的水壶", "a", 1), Passage("蓝色的杯子", "a", 2)]

    def embed(texts):
        return np.array([[float("杯" in text or ("壶" in text and "红" not in text)), len(text)] for text in texts])

    index = Index(held, embed)
    assert index.search("红色", 1, "words") == [held[0]]
    assert index.search("哪个杯子", 1, "vectors") == [held[1]]
    assert {one.text for one in index.search("红色", 5)} == {one.text for one in held}
    assert Index(held).search("红", 5) == [held[0]]


# --- measured ---


def test_recall_and_mrr():
    meter = FoundMeter()
    place = ranks([[4, 2], [1], [*range(10)], []], [4, 2, 7, 0])
    assert place.tolist() == [1, 0, 8, 0]
    meter.add(place, None, np.ones((4, 1)))
    found = {name: value[0] for name, value in meter.figures().items()}
    assert found == pytest.approx({"recall@1": 0.25, "recall@5": 0.25, "recall@20": 0.5, "mrr": (1 + 1 / 8) / 4})


# --- put into a prompt ---


class Prompted:
    """Of a model whose tokens are characters, and that reads 200 of them."""

    def __init__(self, text):
        if len(text) > 200:
            raise BadInput("too long")
        self.tokens = text


def test_a_prompt_holds_as_many_passages_as_fit():
    held = [Passage("甲" * 50, "a.md", 1), Passage("乙" * 50, "a.md", 9)]
    both = grounded("问？", held, chats=True, read=Prompted, room=180)
    assert both.passages == tuple(held) and both.text == prompt("问？", held, chats=True)
    one = grounded("问？", held, chats=True, read=Prompted, room=110)
    assert one.passages == (held[0],) and "乙" not in one.text
    part = grounded("问？", held, chats=True, read=Prompted, room=70)
    assert part.passages[0].text == "甲" * 25 and part.passages[0].source() == "a.md:1"
    with pytest.raises(BadInput, match="no room"):
        grounded("问？", held, chats=True, read=Prompted, room=20)
    with pytest.raises(BadInput, match="no passage"):
        grounded("问？", [], chats=True, read=Prompted, room=180)


def test_a_prompt_speaks_the_language_of_the_question():
    held = [Passage("text", "a", 1)]
    assert prompt("多久？", held, chats=False).endswith("问题：多久？\n回答：")
    assert re.search(r"\[1\] text\n\nQuestion: how long\?$", prompt("how long?", held, chats=True))


def test_questions_that_are_none_are_refused():
    with pytest.raises(BadInput, match="no question"):
        FromDocuments(None, Index([Passage("a", "a", 1)])).read(" ")  # type: ignore[arg-type]
