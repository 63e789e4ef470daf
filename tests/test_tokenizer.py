"""Tokenizers: learned the same every time, letter by letter back again, places in the raw text, those of checkpoints of others."""

import json

import numpy as np
import pytest
from conftest import SAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st

from bmtool.errors import DataError
from bmtool.text.learning import KINDS, learn
from bmtool.text.tokenizer import Tokenizer, Writer, from_files, open_tokenizer, plain

TEXTS = [line for path in sorted((SAMPLE / "sentences").glob("*.txt")) for line in path.read_text("utf-8").splitlines()]
SIZES = {"char": 1200, "wordpiece": 2000, "bpe": 1200, "unigram": 3000}
MADE: dict[str, Tokenizer] = {}
EXACT = ("char", "bpe", "unigram")
# Emoji with joiners, combining marks, halves of surrogate pairs, names of tokens, what no sample holds.
ODD = "今天 hello  \U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \udc80x <0x41> [CLS] [MASK] \u9f98\ud83d!"
texts = st.text(st.one_of(st.characters(exclude_characters="\n"), st.sampled_from(ODD)), max_size=30)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def made(kind: str) -> Tokenizer:
    if kind not in MADE:
        MADE[kind] = learn(iter(TEXTS), kind=kind, size=SIZES[kind])
    return MADE[kind]


def test_a_tokenizer_has_its_size_and_its_special_tokens(kind):
    tokenizer = made(kind)
    assert 300 < tokenizer.size <= SIZES[kind]
    assert list(tokenizer.special) == [0, 1, 2, 3, 4]
    assert [tokenizer.name(number) for number in tokenizer.special] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize("kind", ["char", "wordpiece", "bpe"])
def test_learning_twice_gives_the_same_bytes(kind):
    """Not so for unigrams: their library adds up in no fixed order, which docs/tasks/language-model.md says."""
    assert learn(iter(TEXTS), kind=kind, size=SIZES[kind]).files() == made(kind).files()


def test_files_hold_all_of_it(kind):
    tokenizer = made(kind)
    again = from_files(lambda name: memoryview(tokenizer.files()[name]), "test")
    assert again.sha256 == tokenizer.sha256
    assert again.encode([ODD])[0].tolist() == tokenizer.encode([ODD])[0].tolist()


@pytest.mark.parametrize("kind", EXACT)
@given(text=texts)
@settings(max_examples=60)
def test_a_text_comes_back_letter_by_letter(kind, text):
    tokenizer = made(kind)
    tokens = tokenizer.encode([text])[0]
    assert tokenizer.decode(tokens) == plain(text) and len(plain(text)) == len(text)
    assert tokenizer.characters[tokens].sum() == len(text)
    assert tokenizer.inner.decode(tokens.tolist()) == plain(text)


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts)
@settings(max_examples=60)
def test_places_are_those_of_the_raw_text(kind, text):
    """What a token's place holds is what the token stands for, or has its bytes."""
    tokenizer = made(kind)
    tokens, spans = tokenizer.spans(text)
    assert tokens.tolist() == tokenizer.encode([text])[0].tolist()
    assert ((spans >= 0) & (spans <= len(text))).all() and (np.diff(spans[:, 0]) >= 0).all()
    for token, (start, end) in zip(tokens.tolist(), spans.tolist()):
        held = plain(text)[start:end].encode()
        assert tokenizer.bytes[token] in held or token == tokenizer.special.unknown


@given(lines=st.lists(texts, max_size=6))
@settings(max_examples=60)
def test_characters_in_bulk_are_those_of_the_library(lines):
    tokenizer = made("char")
    flat, ends = tokenizer.flat(lines)
    expected = [found.ids for found in tokenizer.inner.encode_batch([plain(line) for line in lines])]
    assert [part.tolist() for part in np.split(flat, ends[:-1])] == (expected or [[]])


@pytest.mark.parametrize("kind", EXACT)
def test_what_is_written_never_changes_again(kind):
    tokenizer = made(kind)
    writer = Writer(tokenizer)
    told = [writer.add(token) for token in tokenizer.encode([ODD])[0].tolist()]
    assert "".join(told) + writer.end() == plain(ODD)
    assert not any("\ufffd" in piece for piece in told if piece not in plain(ODD))


def test_words_get_back_the_space_between_them():
    tokenizer = learn(iter(["hello world 你好 hello 2026"] * 5), kind="wordpiece", size=300)
    assert tokenizer.decode(tokenizer.encode(["hello  world你好hello 2026"])[0]) == "hello world你好hello 2026"


# --- of others ---

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今", "天", "hello", "##s"]


def test_a_list_of_words_is_a_tokenizer_as_transformers_reads_it(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    tokenizer = open_tokenizer(tmp_path)
    assert [tokenizer.name(n) for n in tokenizer.encode(["今天Hellos 明"])[0]] == ["今", "天", "hello", "##s", "[UNK]"]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    assert [tokenizer.name(n) for n in open_tokenizer(tmp_path).encode(["今Hello"])[0]] == ["今", "[UNK]"]


def test_roles_go_by_what_a_checkpoint_says(tmp_path):
    import tokenizers

    held = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "<x>": 1, "<y>": 2}, unk_token="a"))
    held.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="no token begins or ends a text: name bos_token or eos_token"):
        open_tokenizer(tmp_path)
    config = {"eos_token": {"content": "<x>"}, "mask_token": "<y>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = open_tokenizer(tmp_path)
    assert (tokenizer.begin, tokenizer.end, tokenizer.pad, tokenizer.special.mask) == (1, 1, 1, 2)


@pytest.mark.parametrize("name, text, message", [
    ("other.txt", "", "has no tokenizer.json or vocab.txt"),
    ("tokenizer.json", "{}", "is no tokenizer that can be read"),
    ("tokenizer.json", "[", "is no tokenizer that can be read"),
])  # fmt: skip
def test_what_is_no_tokenizer_is_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        open_tokenizer(tmp_path)
