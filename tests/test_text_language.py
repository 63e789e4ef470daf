"""Text in any language: sentences, letters, units, and keeping protected files out."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from text_toy import Corpus

from bmtool.config.text import Clean, Duplicates
from bmtool.errors import DataError
from bmtool.text import characters, duplicates
from bmtool.text.characters import LETTERS
from bmtool.text.cleaning import clean, clean_block
from bmtool.text.decode import Lines
from bmtool.text.protect import fingerprint, leaks
from bmtool.text.sentences import may_be_several, split_sentences
from bmtool.text.units import units

ANY_TEXT = st.text(max_size=60)
MARKED = st.text(alphabet="aB.!?…。！？ \"'“”()()Mr1好い一é", max_size=60)
ENGLISH = [
    "The quick brown fox jumps over the lazy dog while nobody in the village is watching it.",
    "Every morning the old baker opens the door of his shop long before the sun has risen.",
    "Nobody could have guessed that the small green notebook held the answer to all of it.",
]


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    return Corpus(tmp_path)


# --- sentences ---


@pytest.mark.parametrize("line, expected", [
    ("It rained. We stayed in. Why? Because!", ["It rained.", "We stayed in.", "Why?", "Because!"]),
    ("Mr. Li met Dr. Wu. They spoke, e.g. of J. R. R. Tolkien.", ["Mr. Li met Dr. Wu.", "They spoke, e.g. of J. R. R. Tolkien."]),
    ("It costs 3.14. See v. 2.0 at www.example.com. Then buy.", ["It costs 3.14.", "See v. 2.0 at www.example.com.", "Then buy."]),
    ("Wait... What did she say… Nothing.", ["Wait... What did she say… Nothing."]),
    ("“Go away!” he said. “Why?” She left.", ["“Go away!” he said.", "“Why?”", "She left."]),
    ('He wrote "I came. I saw." Then he left.', ['He wrote "I came. I saw."', "Then he left."]),
    ("It (see p. 3. Below.) is so. Yes.", ["It (see p. 3. Below.) is so.", "Yes."]),
    ("1. The first point. It holds.", ["1. The first point.", "It holds."]),
    ("Yahoo! is a name. he wrote so. ¿Qué? ¡Sí!", ["Yahoo! is a name. he wrote so.", "¿Qué?", "¡Sí!"]),
    ("One; two; three.", ["One; two; three."]),
    ("Привет. Как дела? А. С. Пушкин.", ["Привет.", "Как дела?", "А. С. Пушкин."]),
    ("नमस्ते। ठीक।", ["नमस्ते।", "ठीक।"]),
    ("今天好。Hello there. Mr. Wang came! 真的吗?", ["今天好。", "Hello there.", "Mr. Wang came!", "真的吗?"]),
    ("真的吗?是的；好……对。", ["真的吗?", "是的；", "好……", "对。"]),
    ("他说：“走吧！我们去。”然后走了。", ["他说：“走吧！我们去。”", "然后走了。"]),
])  # fmt: skip
def test_sentences_of_any_language(line, expected):
    assert list(split_sentences(line, "any")) == expected


def test_chinese_rules_look_at_marks_alone():
    line = "他说 Hello. World; 好"
    assert list(split_sentences(line)) == ["他说 Hello. World;", "好"]
    assert list(split_sentences(line, "any")) == ["他说 Hello.", "World; 好"]


@given(MARKED | ANY_TEXT)
def test_cutting_loses_nothing_and_the_quick_look_misses_nothing(text):
    line = " ".join(text.split())
    for letters in LETTERS:
        sentences = list(split_sentences(line, letters))
        assert "".join(sentences).replace(" ", "") == line.replace(" ", "")
        assert all(sentence == sentence.strip() and sentence for sentence in sentences)
        # by Chinese rules a mark that a quote or bracket follows does not ask for a closer look
        assert len(sentences) < 2 or may_be_several(line, letters) or letters == "hanzi"


@pytest.mark.parametrize("unit", ["A. ", "Mr. ", "“A. ", '"', "1. ", ".", "(“"])
def test_a_line_of_many_marks_is_cut_at_once(unit):
    line = (unit * (400_000 // len(unit))).strip()
    assert "".join(split_sentences(line, "any")).replace(" ", "") == line.replace(" ", "")


# --- letters ---


def test_letters_are_those_that_unicode_calls_so():
    import sys
    import unicodedata

    import numpy as np

    codes = np.arange(sys.maxunicode + 1)
    letters, latin = LETTERS["any"](codes), LETTERS["latin"](codes)
    assert [c for c in codes if letters[c] != (unicodedata.category(chr(c))[0] == "L")] == []
    assert all(latin[ord(c)] for c in "aZéßŁａ") and not any(latin[ord(c)] for c in "яαह好1-")
    assert not (latin & ~letters).any()


@pytest.mark.parametrize("letters, line, reason", [
    ("hanzi", "Good morning", "fewer than 2 hanzi"),
    ("latin", "早上好 a", "fewer than 2 Latin letters"),
    ("latin", "早上好你们都在这里吗 ab", "under 30% Latin letters"),
    ("any", "1 2 3 a", "fewer than 2 letters"),
    ("any", "== 12345 == ab", "under 30% letters"),
    ("any", "hmmmmmmmmmmmmm", "a character more than 8 times in a row"),
])  # fmt: skip
def test_filters_name_the_letters_they_count(letters, line, reason):
    found = clean_block(Lines([line]), Clean(letters=letters))
    assert [why for _, why, _ in found.dropped] == [reason] and not found.sentences


def test_english_is_kept_where_its_letters_are_counted():
    line = "It rained. We stayed in."
    assert clean_block(Lines([line]), Clean(letters="latin")).sentences == ["It rained.", "We stayed in."]
    assert clean_block(Lines([line]), Clean()).sentences == []


@given(st.lists(ANY_TEXT.map(lambda text: text.replace("\n", " ").replace("\t", " ")), max_size=5))
@example(["\u0344", "ﷺ", "\u1100\u1161"])
def test_cleaning_takes_any_text_and_changes_clean_text_no_more(lines):
    for letters in LETTERS:
        settings = Clean(letters=letters, mask=True, min_letters=0, min_letters_share=0.0)
        found = clean_block(Lines(list(lines)), settings)
        assert len(found.line) == len(found.sentences) and all(found.sentences)
        assert {*found.line.tolist(), *(number for number, _, _ in found.dropped)} == set(range(len(lines)))
    plain = Clean(html=False, markdown=False)
    once = clean(lines, plain)
    assert clean(once, plain) == once


# --- units ---


def words(text: str) -> list[tuple[int, bool]]:
    found = units([text])
    return list(zip(found.values.tolist(), found.is_word.tolist()))


def test_a_hanzi_a_kana_and_a_word_are_units():
    found = units(["你好，世界！", "Hello, the WORLD of 2024", "用Python写かな", "สวัสดี", "", "안녕 세상"])
    assert found.counts.tolist() == [4, 5, 5, 6, 0, 2]
    assert found.values[:4].tolist() == [ord(c) for c in "你好世界"]
    assert found.owner.tolist() == [0] * 4 + [1] * 5 + [2] * 5 + [3] * 6 + [5] * 2
    assert words("Straße, ÉTÉ") == words("straße été") and words("ab cd") != words("cd ab") != words("abcd")
    assert words("don't stop") == words("DON’T ... stop!")


@given(st.lists(ANY_TEXT.map(lambda text: text.replace("\n", " ")), max_size=6))
def test_units_of_a_text_do_not_depend_on_those_around_it(texts):
    together = units(texts)
    alone = [units([text]) for text in texts]
    assert together.values.tolist() == [value for one in alone for value in one.values.tolist()]
    assert together.counts.tolist() == [int(one.counts[0]) for one in alone]
    assert len(together.values) == len(together.owner) == len(together.is_word)


@given(st.text(alphabet=st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF) | st.sampled_from("，。！“”… ")))
def test_units_of_chinese_are_its_hanzi(text):
    hanzi = [ord(c) for c in text if "一" <= c <= "鿿"]
    found = units([text])
    assert found.values.tolist() == hanzi and not found.is_word.any()
    assert duplicates.ngrams(text, 3) == {tuple(hanzi[i : i + 3]) for i in range(len(hanzi) - 2)}


def test_near_duplicates_are_found_among_words():
    words_ = [f"word{number}" for number in range(30)]
    texts = [" ".join(words_), " ".join(words_).upper() + "!", " ".join(words_[::-1]), "too short to look at"]
    keys, rows = duplicates.band_keys(texts, list(range(4)), Duplicates(near=True))
    keys = keys.reshape(3, -1)
    assert rows.reshape(3, -1)[:, 0].tolist() == [0, 1, 2]
    assert (keys[0] == keys[1]).all() and not (keys[0] == keys[2]).any()


# --- protected files ---


@given(st.integers(0, 19), st.booleans())
def test_ten_words_in_a_row_leak_and_nine_do_not(start, upper):
    import numpy as np

    secret = [f"secret{number}" for number in range(30)]
    shared = secret[start : start + 10]
    texts = [
        " ".join(["well", *(word.upper() if upper else word for word in shared), "indeed"]),
        " ".join(["well", *shared[:9], "indeed"]),
    ]
    found = leaks(texts, np.arange(2), fingerprint([" ".join(secret)]))
    assert found.tolist() == [True, False]


def test_a_protected_english_file_really_protects(corpus):
    fillers = [f"Sentence number {n} of the filler tells of {n * n} other things entirely." for n in range(40)]
    leaking = f"As they say, {ENGLISH[0][0].lower()}{ENGLISH[0][1:-1]}, and so on."
    halves = ENGLISH[1].replace(" long before", ". Long before")
    corpus.write("a.txt", *fillers, leaking, halves, "HOW DO YOU DO?", ENGLISH[2].replace("small green", "big red"))
    dev = corpus.write("dev.md", *ENGLISH, "How do you do")
    manifest = corpus.prepare("a.txt", protected=[str(dev)], clean={"letters": "latin"})
    (source,) = manifest["sources"].values()
    assert source["dropped"] == {"shares a span with a protected file": 4}
    assert corpus.sentences("train", "valid", "test").count(ENGLISH[2].replace("small green", "big red")) == 1
    assert "protected: 4 lines of 1 files" in corpus.heard.said


@pytest.mark.parametrize("lines", [["...!?", "—— ……"], ["two words", "三个字"]])
def test_a_protected_file_that_protects_nothing_is_an_error(corpus, lines):
    corpus.write("a.txt", *ENGLISH)
    good, bad = corpus.write("good.md", *ENGLISH), corpus.write("bad.md", *lines)
    with pytest.raises(
        DataError, match=r"data\.protected: .*bad\.md protects nothing: .* 2 in all, has 8 hanzi or 4 words"
    ):
        corpus.prepare("a.txt", protected=[str(good), str(bad)], clean={"letters": "any"})


def test_tables_of_characters_agree():
    kinds = characters.unit_kinds()
    assert {kinds[ord(c)] for c in "好ひカㄅกﾊ々〇"} == {characters.SINGLE}
    assert {kinds[ord(c)] for c in "aЯé1한ह́"} == {characters.WORD}
    assert {kinds[ord(c)] for c in " ,。—$😀\ufe0f\n"} == {0}
