"""How hanzi are read: as pypinyin reads them, as the user's dictionary says, and in all the ways that people type."""

import random

import numpy as np
import pytest
from conftest import SAMPLE
from hypothesis import given
from hypothesis import strategies as st
from pypinyin import Style, lazy_pinyin
from pypinyin.phrases_dict import phrases_dict

from bmtool.chinese import variants
from bmtool.chinese.hanzi import hanzi_runs
from bmtool.chinese.pinyin import read_syllables, read_toned, tokenise
from bmtool.chinese.readings import Labeller, code_points, load_dictionary
from bmtool.chinese.syllables import SYLLABLES
from bmtool.errors import DataError
from bmtool.tasks.pinyin2hanzi import prepare as data
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, INPUTS, input_id
from bmtool.text.characters import Text

LABELLER = Labeller()
PHRASES = random.Random(0).sample(sorted(phrases_dict), 3000)


def reference(text: str, style: Style = Style.NORMAL) -> list[str]:
    return [
        reading
        for run in hanzi_runs(text)
        for reading in lazy_pinyin(run, style=style, errors=list, neutral_tone_with_five=True)
    ]


@given(
    st.lists(st.sampled_from(PHRASES) | st.text(alphabet="的了重庆银行长乐一不，a 1行", max_size=3), max_size=12).map(
        "".join
    )
)
def test_readings_are_those_of_pypinyin(text):
    assert LABELLER.lazy(text) == reference(text)
    assert LABELLER.lazy(text, tones=True) == reference(text, Style.TONE3)


def test_readings_of_every_hanzi_and_of_the_sample_are_those_of_pypinyin():
    single = [chr(code) for code in [0x3007, *range(0x3400, 0x4DC0), *range(0x4E00, 0xA000)]]
    known = [hanzi for hanzi, reading in zip(single, LABELLER.lazy("，".join(single))) if reading]
    assert len(known) > 26_000
    assert LABELLER.lazy("，".join(known)) == [lazy_pinyin(hanzi)[0] for hanzi in known]
    for path in sorted((SAMPLE / "sentences").glob("*.txt")):
        text = path.read_text("utf-8")
        assert LABELLER.lazy(text) == reference(text)


def test_what_has_no_reading_has_none():
    assert LABELLER.lazy("䑩好") == ["", "hao"]


def test_a_dictionary_of_ones_own_goes_first(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("# 我的\n行长\thang2 zhang3\n张乐\tzhāng yuè\n了\tliao\n", encoding="utf-8")
    mine = Labeller(load_dictionary(path))
    assert mine.lazy("行长张乐了", tones=True) == ["hang2", "zhang3", "zhang1", "yue4", "liao"]
    assert LABELLER.lazy("张乐") == ["zhang", "le"]


@pytest.mark.parametrize("line, words", [
    ("行长 hang zhang", "a tab"),
    ("abc\ta b c", "expected hanzi"),
    ("行长\thang", "2 hanzi but 1 readings"),
    ("行长\thang xyz", "'xyz' is no pinyin syllable"),
])  # fmt: skip
def test_a_wrong_dictionary_names_the_line(line, words, tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text(f"好\thao\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=words) as error:
        load_dictionary(path)
    assert f"{path}:2: " in str(error.value)


@pytest.mark.parametrize("typed, read", [
    ("zhong1", "zhong1"), ("zhōng", "zhong1"), ("lǜ", "lv4"), ("lü4", "lv4"), ("lue", "lve"), ("ma5", "ma5"), ("xian xi", None),
    ("xi'an", None), ("q", None),
])  # fmt: skip
def test_one_toned_syllable(typed, read):
    assert read_toned(typed) == read


def test_uncertain_readings_are_those_that_no_phrase_settles():
    def guessed(text: str) -> str:
        mask = LABELLER.read(code_points(text)).guessed
        return "".join(np.array(list(text))[mask])

    assert guessed("他行") == "行"
    assert guessed("银行和行人") == ""
    assert guessed("我的了") == ""


# --- tokens as arrays ---

TYPED = st.text(alphabet="你好行，。…—、 abZé0123.:'’A4！＃\u0301𠀀㐀〇", max_size=30)


@given(st.lists(TYPED.map(lambda s: s.strip() or "好"), min_size=1, max_size=5))
def test_tokens_of_a_block_are_those_of_each_line(lines):
    text = Text(lines)
    at, as_copy = data.tokens(text)
    rows = text.row(at)
    for row, line in enumerate(lines):
        expected = list(tokenise(line))
        mine = rows == row
        starts = (at[mine] - text.starts[row]).tolist()
        assert [line[start] for start in starts] == [token.text[0] for token in expected]
        copies = [(number, input_id(token)) for number, token in zip(as_copy[mine].tolist(), expected) if token.is_copy]
        assert all(mine == theirs for mine, theirs in copies)


def encode(sentences, training=False, **options):
    settings = {"entries": (), "max_length": 64, "variant_share": 0.0, "drop_uncertain": False} | options
    keys = np.arange(len(sentences), dtype=np.uint64)
    return data.encode(list(sentences), keys, np.full(len(sentences), training), **settings)


def shown(encoded) -> list[str]:
    fields = zip(*(encoded.fields[name].tolist() for name in data.FIELDS))
    words = [f"{INPUTS[source]}{tone or ''}{chr(hanzi) if hanzi else ''}" for source, hanzi, tone in fields]
    return [" ".join(words[a : a + n]) for a, n in zip(encoded.starts.tolist(), encoded.lengths.tolist())]


def test_sentences_and_pairs_become_numbers():
    encoded = encode(["银行，A4 3.5！", "ni3 hang\t你行", "ni\t你好", "䑩鱼"])
    assert shown(encoded) == ["yin2银 hang2行 ， <latin> <number> ！", "ni你 hang行"]
    assert encoded.rows.tolist() == [0, 1]
    assert encoded.dropped == [(2, "pinyin and hanzi differ in length"), (3, "hanzi without a reading")]


def test_long_sentences_are_cut_after_a_mark():
    sentence = "好" * 7 + "，" + "天" * 12 + "。。。。。。。。"
    encoded = encode([sentence, "一二"], max_length=10)
    assert encoded.lengths.tolist() == [8, 10, 10, 2]  # the last eight marks come with the two hanzi before them
    assert encoded.rows.tolist() == [0, 0, 0, 1]
    assert sum(encoded.lengths[:3]) == len(sentence)


def test_uncertain_sentences_are_marked_or_dropped():
    encoded = encode(["他行。", "银行。"])
    assert encoded.flagged == [(0, "uncertain reading")]
    assert encoded.fields["tone"].tolist() == [1, 2 + data.GUESSED, 0, 2, 2, 0]
    counted = data.count(encoded.fields)["readings"]
    assert sorted(counted >> 16 & 15) == [1, 2, 2, 2]
    encoded = encode(["他行。", "银行。"], drop_uncertain=True)
    assert encoded.dropped == [(0, "uncertain reading")] and not encoded.flagged and encoded.rows.tolist() == [1]


# --- variants ---


def test_variants_are_syllables_that_can_be_typed():
    for hanzi, readings in variants.READINGS.items():
        assert set(readings) <= set(SYLLABLES) and len(set(readings)) == len(readings) > 1
        assert LABELLER.lazy(hanzi) == [readings[0]]
    for typed, meant in variants.SPELLINGS.items():
        assert read_syllables(typed) == (meant,)


@pytest.mark.parametrize("typed, read", [
    ("nar", ("na", "er")), ("wanr", ("wan", "er")), ("yihuir", ("yi", "hui", "er")), ("naren", ("na", "ren")), ("er", ("er",)), ("r", None),
    ("zher", ("zhe", "er")), ("lu:e", ("lve",)), ("nüe", ("nve",)), ("zhei", ("zhei",)),
])  # fmt: skip
def test_spellings_and_erhua(typed, read):
    assert read_syllables(typed) == read


def test_a_share_of_training_text_is_typed_in_other_ways():
    sentences = ["这那谁好"] * 3000
    typed = encode(sentences, training=True, variant_share=0.2)
    names = np.array(INPUTS)[typed.fields["source"]].reshape(-1, 4)
    for column, (usual, *others) in enumerate([("zhe", "zhei"), ("na", "nei"), ("shui", "shei"), ("hao",)]):
        assert set(names[:, column]) == {usual, *others}
        assert (names[:, column] == usual).mean() == pytest.approx(0.8 if others else 1.0, abs=0.03)
    assert set(np.array(INPUTS)[encode(sentences, variant_share=0.2).fields["source"]]) == {"zhe", "na", "shui", "hao"}
    again = encode(sentences, training=True, variant_share=0.2)
    assert again.fields["source"].tolist() == typed.fields["source"].tolist()
    assert INPUT_ID["zhei"] in typed.fields["source"]
