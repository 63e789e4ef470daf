"""Everything that preparing text changes, skips or guesses is counted, with examples, on the page and in the manifest."""

import random
from pathlib import Path

import pytest
from text_toy import Corpus

from bmtool.config.text import Clean
from bmtool.data.tally import Tally
from bmtool.tasks.pinyin2hanzi.prepare import encode as encode_pinyin
from bmtool.text import report
from bmtool.text.cleaning import clean
from bmtool.text.decode import read_lines
from bmtool.text.inventory import HIDDEN, Aside
from bmtool.text.sources import File

PIECES = [
    *"今天天气很好我们去公园吧",
    "，",
    "。",
    "！",
    " ",
    "  ",
    "\t",
    "\u3000",
    "\u200b",
    "ＡＢ",
    "<b>",
    "&amp;",
    "**字**",
    "體",
    "http://a.cn/x",
    "哈哈哈哈哈哈",
]


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)


def lines_of(seed: int, count: int) -> list[str]:
    drawn = random.Random(seed)
    return ["".join(drawn.choices(PIECES, k=drawn.randint(0, 30))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_every_sentence_is_an_example_or_counted_as_dropped(seed, corpus):
    """Whatever drops it: filters, repeats, a cap, a weight, protection, the task."""
    corpus.write("a.txt", *lines_of(seed, 300))
    corpus.write("b.txt", *lines_of(seed + 100, 200), *lines_of(seed, 50))
    corpus.write("test.txt", *lines_of(seed, 20))
    sources = [{"path": "a.txt", "weight": 0.4}, {"path": "b.txt", "cap": 60}]
    settings = {"protected": [str(corpus.folder / "test.txt")], "clean": {"sentences": False}, "valid_share": 0.2}
    manifest = corpus.prepare(*sources, **settings)
    for source in manifest["sources"].values():
        assert source["read"] == source["kept"] + sum(source["dropped"].values()), source
        assert source["kept"] == sum(source["examples_of_split"].values())
        assert set(source["examples"]) >= set(source["dropped"]) | set(source["changed"])
    page = report.write(corpus.target, manifest).read_text("utf-8")
    reasons = [source["dropped"] | source["changed"] | source["flagged"] for source in manifest["sources"].values()]
    for reason in set().union(*reasons):
        assert f"| {reason} |" in page and f"**{reason}**" in page, reason
    assert {"left out by the weight of its source", "above the cap of its source"} <= set().union(*reasons)


def test_every_line_that_cleaning_changes_is_counted_by_its_steps():
    for lines in (lines_of(seed, 200) for seed in range(5)):
        changed: list[tuple[int, str, str]] = []
        cleaned = clean(lines, Clean(), changed)
        assert {row for row, *_ in changed} == {n for n, (a, b) in enumerate(zip(lines, cleaned)) if a != b}


def test_files_that_are_passed_over_are_named(corpus):
    (corpus.folder / "in" / ".git").mkdir(parents=True)
    corpus.write("in/a.txt", "今天天气很好。")
    corpus.write("in/.hidden.txt", "今天天气很好。")
    corpus.write("in/.git/b.txt", "今天天气很好。")
    corpus.prepare("in", name="in/prepared")
    corpus.write("in/c.txt", "我们去公园吧。")
    manifest = corpus.prepare("in", name="in/prepared")
    over = {reason: len(names) for reason, names in manifest["passed_over"].items()}
    assert over["hidden file"] >= 2 and over["file of prepared data"] >= 1
    said = "\n".join(report.lines(manifest))
    page = report.write(corpus.target, manifest).read_text("utf-8")
    for reason, count in over.items():
        assert f"{count:,} x {reason}" in said and f"{reason}: {count:,}" in page


def test_a_hundred_thousand_hidden_files_are_named_once_each():
    """At once: a list that is searched for every name would take minutes."""
    aside, names = Aside(), [f"in/.git/objects/{n}" for n in range(100_000)]
    for name in (*names, *names):
        aside.pass_over(HIDDEN, Path(name))
    assert aside.as_dict()["passed_over"] == {HIDDEN: names}


def test_text_beyond_the_last_column_of_a_csv_is_not_lost_in_silence(corpus):
    path = corpus.write(
        "a.csv", "text,label", "今天天气很好,a", "今天,天气很好,b", '"今天,天气",c', "我们去公园吧,d,,", "我们"
    )
    tally = Tally()
    kept = [text for _, text in read_lines(File(path), tally)]
    assert kept == ["今天天气很好", "今天,天气", "我们去公园吧", "我们"]
    assert tally.dropped == {"3 cells for 2 columns (text, label)": 1} and tally.read == 5


@pytest.mark.parametrize("text, encoding, hint", [
    ("今天天气很好。\n" * 9, "gb18030", "encoding: gb18030"), ("今天天气很好。\n" * 9, "utf-16", "iconv -f UTF-16"),
    ("It is a fine day.\n" * 9 + "今天天气很好。\n", "utf-8", "data.clean.letters"),
    ("It 是 a fine day, 了.\n" * 9 + "今天天气很好。\n", "utf-8", "data.clean.letters"),
])  # fmt: skip
def test_what_the_wrong_setting_drops_is_hinted_at(text, encoding, hint, corpus):
    corpus.write("good.txt", "我们去公园吧。")
    (corpus.folder / "a.txt").write_bytes(text.encode(encoding))
    manifest = corpus.prepare("a.txt", "good.txt")
    (said,) = {line for line in report.lines(manifest) if hint in line}
    assert said.startswith("dropped ")


def test_long_sentences_that_are_cut_up_are_counted():
    import numpy as np

    sentences = ["今天天气很好" * 5, "今天天气很好"]
    none = np.zeros(2, np.uint64)
    given = {"entries": (), "variant_share": 0.0, "drop_uncertain": False}
    found = encode_pinyin(sentences, none, none.astype(bool), max_length=16, **given)
    assert [reason for row, reason in found.flagged if row == 0 and "cut up" in reason] == [
        "longer than 16 tokens: cut up"
    ]
    assert not [reason for row, reason in found.flagged if row == 1 and "cut up" in reason]
    assert len(found.rows) == 3
