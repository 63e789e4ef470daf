"""Records of several columns: what is cleaned, what is kept as it is, what is measured, and what is a repeat."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from text_toy import Corpus, toy

from bmtool.config.text import Clean, Duplicates, SourceSpec
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError
from bmtool.text.cleaning import clean_block
from bmtool.text.decode import decode
from bmtool.text.records import Layout, measured_text
from bmtool.text.sources import File, blocks

LABELLED = ("text", "label")
MESSY = "  <b>好</b>. ＡＢ&amp; 尾\u200b "
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    return Corpus(tmp_path)


def cleaned(file: File, **settings) -> tuple[list[str], dict[str, int]]:
    """Sentences and records of a file, and what was dropped of it."""
    tally, sentences = Tally(), []
    for block in blocks(file, tally):
        found = clean_block(decode(file, block), Clean(**{"letters": "any"} | settings), file.layout.column)
        sentences += found.sentences
        for _, reason, _ in found.dropped:
            tally.dropped[reason] += 1
    return sentences, dict(tally.dropped)


def labelled(path) -> File:
    return File(path, pair=LABELLED, targets=("label",))


# --- settings ---


@pytest.mark.parametrize("settings, message", [
    ({"columns": ["text", "label"], "measured": "body"}, "body is none of the columns text, label"),
    ({"columns": ["text", "label"], "target": ["class"]}, "class is none of the columns text, label"),
    ({"columns": ["text", "label"], "target": ["label"], "measured": "label"}, "label cannot be both a target and measured"),
    ({"columns": ["label"], "target": ["label"]}, "all columns are targets"),
    ({"columns": ["text", "text"]}, "columns names text twice"),
    ({"target": ["label"]}, "give `columns` too"),
])  # fmt: skip
def test_columns_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        SourceSpec(path="a.csv", **settings)


def test_old_names_of_settings_are_read_and_both_are_refused():
    assert Clean(min_hanzi=5, min_hanzi_share=0.1) == Clean(min_letters=5, min_letters_share=0.1)
    assert Duplicates(min_hanzi=7) == Duplicates(min_units=7)
    assert "min_hanzi" not in Clean(min_hanzi=5).model_dump()
    with pytest.raises(ValidationError, match="min_hanzi is the old name of min_letters: give one of them"):
        Clean(min_hanzi=5, min_letters=5)
    with pytest.raises(ValidationError, match="min_hanzi is the old name of min_units"):
        Duplicates(min_hanzi=5, min_units=5)


def test_layouts_say_which_column_is_measured():
    assert Layout(("a", "b", "c")).column == 2
    assert Layout(("label", "text", "spans"), targets=("label", "spans")).column == 0
    assert Layout(("en", "zh"), measured="en").column == 0
    assert measured_text("first\tsecond\t[1]", 1) == "second" and measured_text("plain", 1) == "plain"


# --- formats ---


def test_targets_of_every_format_are_kept_as_they_are(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    label = " <b>ＡＢ&amp;</b>\u200b. B  好。坏 "
    (tmp_path / "a.jsonl").write_text(json.dumps({"label": label, "text": MESSY, "more": 1}), "utf-8")
    (tmp_path / "a.tsv").write_text(f"id\tlabel\ttext\n7\t{label}\t{MESSY}\n", "utf-8")
    (tmp_path / "b.tsv").write_text(f"{MESSY}\t{label}\r\n", "utf-8")
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["label", "text"], [label, MESSY]])
    parquet.write_table(pyarrow.table({"label": [label], "text": [MESSY]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.tsv", "b.tsv", "a.csv", "a.parquet"):
        (record,), dropped = cleaned(labelled(tmp_path / name), min_letters_share=0.0)
        text, target = record.split("\t")
        assert (text, json.loads(target), dropped) == ("好. AB& 尾", label, {}), name


@given(st.lists(JSON_VALUES, min_size=1, max_size=5), st.text(max_size=20))
def test_a_target_may_be_any_json(tmp_path_factory, values, text):
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"{text} 好的", "label": v}) for v in values), "utf-8")
    file = labelled(path)
    (block,) = blocks(file, Tally())
    lines = decode(file, block)
    assert not lines.dropped
    assert [json.loads(lines.targets[number]) for number in range(len(values))] == values
    found = clean_block(lines, Clean(min_letters=0, min_letters_share=0.0, max_repeats=0, boilerplate=False))
    assert [record.rpartition("\t")[2] for record in found.sentences] == [
        json.dumps(v, ensure_ascii=False) for v in values
    ]


def test_a_csv_without_the_columns_says_which_it_has_and_how_to_name_one(tmp_path):
    (tmp_path / "a.csv").write_text("内容,stars\n一二三,5\n四五六,4\n", "utf-8")
    tally = Tally()
    for block in blocks(File(tmp_path / "a.csv"), tally):
        assert not clean_block(decode(File(tmp_path / "a.csv"), block), Clean(), 0).sentences
    assert tally.dropped == {"no column text (columns are 内容, stars): name it, data.columns: {text: ...}": 2}


def test_what_is_no_json_or_no_text_is_dropped_and_said(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        '{"text": "一二三", "label": NaN}',
        '{"text": "一\\ud800二", "label": 1}',
        '{"text": "一二", "label": null}',
    ]
    path.write_text("\n".join([*lines, '{"label": 1}', '{"text": "只有文字"}']), "utf-8")
    sentences, dropped = cleaned(labelled(path))
    assert sentences == ["一二\tnull", "只有文字"]
    assert dropped == {
        "a target that JSON has no form for (NaN, infinity)": 1,
        "half of a surrogate pair": 1,
        "no column text, label or text": 1,
    }


RAW = st.binary(max_size=200) | st.text(alphabet='a好,"\t\n\r{}[]:\\\0\ufefftextlabel1', max_size=200).map(str.encode)


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".csv", ".parquet"])
@given(RAW)
def test_any_bytes_are_read_as_records_or_dropped(tmp_path_factory, suffix, raw):
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(raw)
    tally = Tally()
    for block in blocks(labelled(path), tally):
        lines = decode(labelled(path), block)
        tally.read += lines.count
        found = clean_block(lines, Clean(letters="any", min_letters=0, min_letters_share=0.0, sentences=False), 0)
        kept, dropped = found.line.tolist(), [number for number, _, _ in found.dropped]
        assert sorted(kept + dropped) == [n for n in range(len(lines.text)) if lines.dropped.get(n, ("why",))[0]]
        assert all("\n" not in sentence and sentence.count("\t") <= 1 for sentence in found.sentences)


def test_a_tsv_header_places_columns_in_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr("bmtool.text.sources.BLOCK_BYTES", 200)
    path = tmp_path / "a.tsv"
    rows = [f"{n}\tneg\t第{n}条消息\t" for n in range(50)]
    path.write_text("\n".join(["id\tlabel\ttext\tnote", *rows, "short\trow"]), "utf-8")
    sentences, dropped = cleaned(labelled(path))
    assert sentences == [f'第{n}条消息\t"neg"' for n in range(50)]
    assert dropped == {"not 4 columns (id, label, text, note)": 1}


def test_a_csv_header_is_in_the_encoding_of_its_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("内容,类别\n你好世界,好\n".encode("gb18030"))
    file = File(path, columns=("内容", "类别"), encoding="gb18030", targets=("类别",))
    assert cleaned(file) == (['你好世界\t"好"'], {})


def test_records_are_never_cut_and_their_measured_column_is_filtered(tmp_path):
    path = tmp_path / "a.jsonl"
    records = [
        {"q": "Why? Because. So.", "context": "It rained. We stayed.", "answer": "x"},
        {"q": "Why? Because. So.", "context": "?", "answer": "x"},
    ]
    path.write_text("\n".join(map(json.dumps, records)), "utf-8")
    columns = ("q", "context", "answer")
    whole = 'Why? Because. So.\tIt rained. We stayed.\t"x"'
    assert cleaned(File(path, columns, targets=("answer",))) == ([whole], {"fewer than 2 letters": 1})
    assert len(cleaned(File(path, columns, targets=("answer",), measured="q"))[0]) == 2


# --- from end to end ---


def test_a_record_with_another_target_is_kept_and_said(corpus):
    texts = [f"这是第{n}条需要分类的消息" for n in range(60)]
    lines = [{"text": text, "label": n % 2} for n, text in enumerate(texts)]
    again, other = lines[5], lines[7] | {"label": "other"}
    corpus.write("a.jsonl", *map(json.dumps, [*lines, again, other]))
    task = toy(LABELLED, ("label",))
    manifest = corpus.prepare("a.jsonl", task=task, valid_share=0.2, test_share=0.2)
    (source,) = manifest["sources"].values()
    assert source["dropped"] == {"duplicate": 1} and source["kept"] == 61
    assert source["flagged"] == {"the same text with another target": 1}
    (shown,) = source["examples"]["the same text with another target"]
    assert shown.endswith(f'a.jsonl:62: {texts[7]} | "other"')
    where = {split: {line.split("\t")[0] for line in corpus.sentences(split)} for split in ("train", "valid", "test")}
    assert sum(map(len, where.values())) == 60 and all(where.values())  # a text is in one split
    both = [line for line in corpus.sentences() if line.startswith(f"{texts[7]}\t")]
    assert sorted(both) == [f'{texts[7]}\t"other"', f"{texts[7]}\t1"]


def test_near_duplicates_never_hide_another_target(corpus):
    pytest.importorskip("rensa")
    text = "The committee decided after a long debate that the old bridge over the river should be closed in spring"
    lines = [
        (text, "yes"),
        (text, "no"),
        (f"{text} again", "yes"),
        ("Some other text that is about nothing at all", "no"),
    ]
    corpus.write("a.tsv", *("\t".join(line) for line in lines))
    manifest = corpus.prepare(
        "a.tsv", task=toy(LABELLED, ("label",)), duplicates={"near": True}, clean={"letters": "any"}, valid_share=0.0
    )
    (source,) = manifest["sources"].values()
    assert source["dropped"] == {"near-duplicate": 1}
    assert source["flagged"] == {"the same text with another target": 1}


def test_without_exact_duplicates_a_copy_is_no_other_target(corpus):
    corpus.write("a.tsv", *[f"text number {n}\tyes" for n in range(30)], "text number 3\tyes", "text number 4\tno")
    manifest = corpus.prepare(
        "a.tsv", task=toy(LABELLED, ("label",)), duplicates={"exact": False}, clean={"letters": "any"}
    )
    (source,) = manifest["sources"].values()
    assert source["kept"] == 32 and source["flagged"] == {"the same text with another target": 1}


def test_protection_looks_at_the_measured_column(corpus):
    secret = "the very secret sentence that nobody should ever see in training at all"
    corpus.write("a.tsv", f"{secret}\tyes", f"something else entirely\t{secret}", "a third and harmless text\tno")
    dev = corpus.write("dev.tsv", f"{secret}\tno")
    manifest = corpus.prepare(
        "a.tsv", task=toy(LABELLED, ("label",)), protected=[str(dev)], clean={"letters": "any"}, valid_share=0.0
    )
    (source,) = manifest["sources"].values()
    assert source["dropped"] == {"shares a span with a protected file": 1} and source["kept"] == 2


def test_a_task_with_targets_asks_which_of_other_columns_they_are(corpus):
    corpus.write("a.csv", "review,stars", "very good,5", "very bad indeed,1")
    task, spec = toy(LABELLED, ("label",)), {"path": "a.csv", "columns": ["review", "stars"]}
    with pytest.raises(ConfigError, match=r"data\.sources\.0: which of the columns review, stars is the label"):
        corpus.prepare(spec, task=task)
    settings = {"clean": {"letters": "any"}, "valid_share": 0.0, "test_share": 0.0}
    corpus.prepare(spec | {"target": ["stars"]}, task=task, **settings)
    assert corpus.sentences("train") == ['very good\t"5"', 'very bad indeed\t"1"']
