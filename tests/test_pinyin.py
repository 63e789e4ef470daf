"""Pinyin as people type it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypinyin.contrib.tone_convert import to_normal
from pypinyin.pinyin_dict import pinyin_dict

from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import (
    COPY_CLASSES,
    copy_class,
    looks_mistyped,
    read_syllables,
    tokenise,
    tokenise_pinyin,
)
from bmtool.chinese.syllables import SYLLABLES


def shown(text: str) -> str:
    """Syllables as they are, copies in brackets."""
    return " ".join(f"[{t.text}]" if t.is_copy else t.text for t in tokenise_pinyin(text))


@pytest.mark.parametrize("typed, read", [
    ("jin tian tian qi hen hao", "jin tian tian qi hen hao"),
    ("jīn tiān hěn hǎo", "jin tian hen hao"),
    ("jin1tian1 hen3 hao3 ma5", "jin tian hen hao ma"),
    ("nǐhǎo", "ni hao"),
    ("lü lv lu: nü nu:3 lǚ LÜ", "lv lv lv nv nv lv lv"),
    ("lue lve lüe nue nve", "lve lve lve nve nve"),
    ("jv qv xv yv xve", "ju qu xu yu xue"),
    ("xi'an xi’an xian XI'AN Xian", "xi an xi an xian xi an xian"),
    ("jintiantianqihenhao fangan", "jin tian tian qi hen hao fang an"),
    ("wo you 3 ge", "wo you [3] ge"),
    ("3.5 1,000 12:30", "[3.5] [1,000] [12:30]"),
    ("iPhone A4 MP3 mp3 IBM hello", "[iPhone] [A4] [MP3] [mp3] [IBM] [hello]"),
    ("ni hao,shi jie!“”", "ni hao [,] shi jie [!] [“] [”]"),
    ("xq hao", "[xq] hao"),
    ("你 hao", "[你] hao"),
    ("ni3hao 2024nian", "ni hao [2024] nian"),
    ("ni6", "[ni6]"),
    ("ê n ng", "ê n ng"),
    ("", ""),
    (" \t ", ""),
])  # fmt: skip
def test_reading(typed, read):
    assert shown(typed) == read


def test_which_copies_look_mistyped():
    words = [t for t in tokenise_pinyin("xq pythno python iPhone IBM 3 , mp3 A4")]
    assert [t.text for t in words if looks_mistyped(t)] == ["xq", "pythno"]


def test_ten_thousand_letters_answer_at_once():
    for letters in ("s" * 10_000, "sheng" * 2_000, "a" * 10_000, "x'" * 5_000):
        began = time.process_time()
        list(tokenise_pinyin(letters))
        assert time.process_time() - began < 2.0


def test_syllables_are_those_of_the_dictionary():
    known = {to_normal(reading) for readings in pinyin_dict.values() for reading in readings.split(",")}
    assert set(SYLLABLES) == known
    assert len(SYLLABLES) == len(set(SYLLABLES))


@given(st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=12), st.sampled_from([" ", "'", "1", "  "]))
def test_separated_syllables_are_read_back(syllables, separator):
    text = separator.join(syllables)
    assert [t.text for t in tokenise_pinyin(text)] == syllables


@given(
    st.lists(
        st.sampled_from([s for s in SYLLABLES if s not in ("m", "n", "ng", "hm", "hng", "ê")]), min_size=1, max_size=8
    )
)
def test_joined_syllables_are_read_as_no_more_syllables(syllables):
    read = read_syllables("".join(syllables))
    assert read is not None
    assert "".join(read) == "".join(syllables)
    assert len(read) <= len(syllables)


@given(st.text(max_size=40))
def test_no_visible_character_is_lost(text):
    assert "".join(t.text for t in tokenise(text)) == "".join(text.split())


@given(st.text(max_size=40))
def test_every_copy_has_a_class_and_anything_can_be_read(text):
    for token in tokenise_pinyin(text):
        assert copy_class(token) in COPY_CLASSES if token.is_copy else token.text in SYLLABLES


def test_join_keeps_spaces_between_copies_only():
    tokens = list(tokenise_pinyin("wo ai hello world , 3 ge"))
    assert pinyin.join([(t.text if t.is_copy else "字", t) for t in tokens]) == "字字hello world , 3字"
