"""Bytes of any origin to lines: formats, compression, and everything that can be wrong with a file."""

import bz2
import csv
import gzip
import io
import json
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bmtool.data.tally import EXAMPLES_KEPT, Tally
from bmtool.errors import DataError
from bmtool.text import sources
from bmtool.text.decode import read_lines
from bmtool.text.sources import File, expand

LINES = ["第一行。", "second", "", "第四行"]
CONTENT = "\n".join(LINES).encode()
PACK = {".txt": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}
PAIR = ("pinyin", "hanzi")


def read(path, **options) -> tuple[list[str], Tally]:
    tally = Tally()
    return [line for _, line in read_lines(File(path, **options), tally)], tally


@pytest.mark.parametrize("suffix", PACK)
def test_plain_and_compressed_files_read_alike(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACK[suffix](CONTENT))
    lines, tally = read(path)
    assert lines == [line for line in LINES if line]
    assert tally.read == 4 and dict(tally.dropped) == {"empty line": 1}


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
@pytest.mark.parametrize(
    "end", [lambda whole: whole[: len(whole) // 2], lambda whole: whole[:1000] + b"\0" * 1000 + whole[2000:]]
)
def test_a_broken_archive_gives_what_is_there_and_says_so(suffix, end, tmp_path):
    path = tmp_path / f"a{suffix}"
    whole = PACK[suffix]("\n".join(f"第{n}行,内容各不相同{n * n}" for n in range(50_000)).encode())
    path.write_bytes(end(whole))
    lines, tally = read(path)
    assert tally.dropped["archive broken off"] == 1
    assert len(lines) < 50_000


def test_frames_one_after_the_other_are_one_file(tmp_path):
    path = tmp_path / "a.zst"
    path.write_bytes(zstandard.compress("一\n".encode()) + zstandard.compress("二\n".encode()))
    assert read(path)[0] == ["一", "二"]


def test_unusable_lines_are_counted_with_their_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff好\n".encode() + b"\xff\xff\n" + b"a\0b\n" + b"x" * 3_000_000 + b"\n" + "尾".encode())
    lines, tally = read(path)
    assert lines == ["好", "尾"]
    assert dict(tally.dropped) == {"not UTF-8": 1, "NUL byte": 1, "line longer than 1 MiB": 1}
    assert tally.examples["NUL byte"][0].startswith(f"{path}:3: ")
    assert tally.examples["line longer than 1 MiB"] == [f"{path}:4"]
    assert tally.read == 5


def test_a_line_of_100_mb_takes_no_memory_to_speak_of(tmp_path):
    import tracemalloc

    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 100_000_000 + b"\nafter\n", 1))
    tracemalloc.start()
    lines, _ = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == ["after"] and peak < 8_000_000


def test_another_encoding_is_read_when_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("你好\n世界\n".encode("gb18030"))
    assert read(path, encoding="gb18030")[0] == ["你好", "世界"]
    lines, tally = read(path)
    assert not lines and tally.dropped["not UTF-8"] == 2


def test_examples_of_what_was_dropped_are_few():
    tally = Tally()
    for n in range(100):
        tally.drop("why", str(n))
    assert tally.dropped["why"] == 100 and len(tally.examples["why"]) == EXAMPLES_KEPT


def test_expand(tmp_path):
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [p.name for p in expand(str(tmp_path))] == ["a.txt", "b.txt", "c.txt"]
    assert [p.name for p in expand(str(tmp_path / "*.txt"))] == ["a.txt", "b.txt"]
    assert expand("-") == [None]
    with pytest.raises(DataError, match="nothing at"):
        expand(str(tmp_path / "*.csv"))


def test_jsonl_takes_text_or_the_pair_or_the_columns_named(tmp_path):
    path = tmp_path / "a.jsonl"
    records = [{"text": "文\t本"}, {"pinyin": "ni hao", "hanzi": "你好"}, {"content": "内容"}, {"text": 3}, ["text"]]
    path.write_text("\n".join([*map(json.dumps, records), "{", "[" * 100_000]), encoding="utf-8")
    lines, tally = read(path, pair=PAIR)
    assert lines == ["文 本", "ni hao\t你好"]
    assert dict(tally.dropped) == {"no column pinyin, hanzi or text": 3, "not JSON": 2}
    assert read(path, pair=PAIR, columns=("content",))[0] == ["内容"]


def test_tsv_skips_a_header_that_names_its_columns(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress("pinyin\thanzi\nni hao\t你好\nonly one\n".encode()))
    lines, tally = read(path, pair=PAIR)
    assert lines == ["ni hao\t你好"]
    assert tally.read == 2 and dict(tally.dropped) == {"not 2 columns (pinyin, hanzi)": 1}


def test_csv_with_quotes_and_lines_inside_cells(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"他说,""好""。\n第二行"\n2,尾\n', encoding="utf-8")
    tally = Tally()
    found = list(read_lines(File(path), tally))
    assert found == [(f"{path}:3", '他说,"好"。 第二行'), (f"{path}:4", "尾")]
    assert tally.read == 2 and not tally.dropped


def test_a_quote_that_is_never_closed_costs_a_megabyte_at_most(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text\n"开头\n' + "一行普通的文字\n" * 100_000, encoding="utf-8")
    lines, tally = read(path)
    assert tally.dropped["broken csv record"] >= 1
    assert len(lines) > 40_000


@given(st.lists(st.text(alphabet='好a ,"\n', min_size=1).filter(str.strip), min_size=1, max_size=20))
def test_csv_gives_back_what_a_csv_writer_wrote(cells):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([["text", "n"], *([cell, 1] for cell in cells)])
    tally = Tally()
    lines = list(sources._csv_lines(File(None), io.BytesIO(stream.getvalue().encode()), tally))
    records = [json.loads(line) for line in lines if not line.startswith(sources.CONTINUED)]
    assert [record["text"] for record in records] == cells


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["第一", None, "第三\n行"], "n": [1, 2, 3]}), path)
    lines, tally = read(path)
    assert lines == ["第一", "第三 行"] and dict(tally.dropped) == {"no column text": 1} and tally.read == 3
    path.write_bytes(path.read_bytes()[:60])
    lines, tally = read(path)
    assert not lines and tally.dropped["archive broken off"] == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_read_and_every_line_is_accounted_for(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "a.txt"
    path.write_bytes(data)
    lines, tally = read(path)
    assert tally.read == len(lines) + sum(tally.dropped.values())
    assert tally.read == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def test_blocks_are_whole_lines_and_number_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"line {n}" for n in range(200)))
    blocks = list(sources.blocks(File(path), Tally()))
    assert len(blocks) > 10
    assert b"\n".join(block.data for block in blocks) == path.read_bytes()
    assert all(f"line {block.first - 1}".encode() == block.data.split(b"\n")[0] for block in blocks)
    assert sum(block.data.count(b"\n") + 1 for block in sources.blocks(File(path), Tally(), limit=30)) == 30
