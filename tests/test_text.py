"""Reading text of any origin, and cutting it."""

import bz2
import gzip
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bmtool.data import text
from bmtool.errors import DataError

LINES = ["第一行。", "second", "", "第四行"]
CONTENT = "\n".join(LINES).encode()
PACK = {".txt": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


def read(path) -> tuple[list[str], text.Tally]:
    tally = text.Tally()
    return [line for _, line in text.read_lines(path, tally)], tally


@pytest.mark.parametrize("suffix", PACK)
def test_plain_and_compressed_files_read_alike(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](CONTENT))
    lines, tally = read(path)
    assert lines == LINES
    assert tally.read == 4 and not tally.dropped


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_a_truncated_archive_gives_what_is_there_and_says_so(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    whole = PACK[suffix]("\n".join(f"第{n}行,内容各不相同{n * n}" for n in range(50_000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    lines, tally = read(path)
    assert tally.dropped["archive broken off"] == 1 or suffix == ".zst"
    assert len(lines) < 50_000


def test_unusable_lines_are_counted_with_their_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff好\n".encode() + b"\xff\xff\n" + b"a\0b\n" + b"x" * 3_000_000 + b"\n" + "尾".encode())
    lines, tally = read(path)
    assert lines == ["好", "尾"]
    assert dict(tally.dropped) == {"not UTF-8": 1, "NUL byte": 1, "line longer than 1 MiB": 1}
    assert tally.examples["NUL byte"] == [f"{path}:3"]
    assert tally.read == 5


def test_examples_of_what_was_dropped_are_few():
    tally = text.Tally()
    for n in range(100):
        tally.drop("why", str(n))
    assert tally.dropped["why"] == 100 and len(tally.examples["why"]) == text.EXAMPLES_KEPT


def test_expand(tmp_path):
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [p.name for p in text.expand([str(tmp_path), str(tmp_path / "*.txt"), str(tmp_path / "a.txt")])]
    assert names == ["a.txt", "b.txt", "c.txt"]
    assert text.expand(["-"]) == [None]
    with pytest.raises(DataError, match="nothing at"):
        text.expand([str(tmp_path / "*.csv")])


@pytest.mark.parametrize("given_text, expected", [
    ("ＡＢＣ１２３，好。", "ABC123，好。"),
    ("零\u200b宽\ufeff字", "零宽字"),
    ("两\u3000个\t 空格 ", "两 个 空格"),
    ("控\x07制", "控 制"),
    ("①⑴", "1(1)"),
])  # fmt: skip
def test_clean(given_text, expected):
    assert text.clean(given_text) == expected


@given(st.text(alphabet="好天气，。！？…”』) a1\u200bＡ"))
def test_cleaning_is_idempotent_and_sentences_give_the_text_back(value):
    clean = text.clean(value)
    assert text.clean(clean) == clean
    sentences = list(text.split_sentences(clean))
    assert "".join(sentences).replace(" ", "") == clean.replace(" ", "")
    assert all(sentences)


def test_closing_quotes_stay_with_their_sentence():
    assert list(text.split_sentences("他说：“走吧！”然后走了。真的吗？！是。")) == [
        "他说：“走吧！”",
        "然后走了。",
        "真的吗？！",
        "是。",
    ]
