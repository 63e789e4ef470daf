"""Tables: reading, columns, preparing, what is said of bad data, batches, and what columns matter."""

import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmtool.base.console import Console
from bmtool.base.delimited import number
from bmtool.config.table import Columns, TableData
from bmtool.data.prepared import described
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.tables import report
from bmtool.tables.batches import TableBatches
from bmtool.tables.columns import OTHER, Schema
from bmtool.tables.describing import describe
from bmtool.tables.examples import file
from bmtool.tables.importance import permuted
from bmtool.tables.prepare import changed, prepare, require_same
from bmtool.tables.shapley import contributions
from bmtool.tables.sources import rows
from bmtool.tables.table import Table

MANY = "a,b,y\n" + "".join(f"{n % 7},{'xyz'[n % 3]}{n % 5},{'no' if n % 2 else 'yes'}\n" for n in range(60))


@pytest.fixture
def write(tmp_path):
    def make(text: str | bytes, name: str = "t.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return make


@pytest.fixture
def made(write, tmp_path):
    """`made(text, ...)` prepares a table: (manifest, directory)."""

    def make(text: str | bytes, *, task: str = "tabular-classification", name: str = "t.csv", **data):
        shares = {"valid_share": 0.0, "test_share": 0.0} | data
        config = config_of(write(text, name), tmp_path / "prepared", task, **shares)
        return prepare(config, Console(speaks=False)), tmp_path / "prepared"

    return make


def config_of(source, prepared, task="tabular-classification", **data):
    held = TableData(**{"source": source, "prepared": str(prepared), "target": "y"} | data)
    return SimpleNamespace(task=task, data=held)


# --- reading ---


@pytest.mark.parametrize("text, name", [
    ("a,b,y\n1,x,no\n2,y,yes\n", "t.csv"),
    ("a;b;y\n1;x;no\n2;y;yes\n", "t.csv"),
    ("a\tb\ty\n1\tx\tno\n2\ty\tyes\n", "t.csv"),
    ("a\tb\ty\n1\tx\tno\n2\ty\tyes\n", "t.tsv"),
    (b"\xef\xbb\xbf" + b'"a","b","y"\r\n"1","x","no"\r\n"2","y","yes"\r\n', "t.csv"),
    ('{"a": 1, "b": "x", "y": "no"}\n\n{"a": 2, "b": "y", "y": "yes"}\n', "t.jsonl"),
])  # fmt: skip
def test_the_same_rows_however_they_are_written(text, name, write):
    cells = [row.cells for row in rows(write(text, name))]
    assert cells == [{"a": "1", "b": "x", "y": "no"}, {"a": "2", "b": "y", "y": "yes"}]


def test_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"a": [1, None], "b": [True, False], "c": [0.5, 2.0]}), path)
    cells = [row.cells for row in rows(str(path))]
    assert cells == [{"a": "1", "b": "true", "c": "0.5"}, {"a": "", "b": "false", "c": "2.0"}]
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="is no Parquet file"):
        list(rows(str(path)))


def test_a_separator_inside_quotes_is_text(write):
    (row,) = rows(write('a,"b;c;d;e",y\n1,"x,y",no\n'))
    assert row.cells == {"a": "1", "b;c;d;e": "x,y", "y": "no"}


@pytest.mark.parametrize("separator", ";\t")
def test_decimal_commas_are_numbers_where_commas_part_no_cells(separator, write):
    lines = ["a;b;c;d", "1,5;-2,25;x;1,2", ";3;y;1,2,3", "ragged", "7,0;;z,z;4"]
    found = [row.cells for row in rows(write("\n".join(lines).replace(";", separator)))]
    assert found == [
        {"a": "1.5", "b": "-2.25", "c": "x", "d": "1,2"}, {"a": "", "b": "3", "c": "y", "d": "1,2,3"}, None,
        {"a": "7.0", "b": "", "c": "z,z", "d": "4"},
    ]  # fmt: skip


def test_commas_between_cells_leave_commas_in_them_alone(write):
    (row,) = rows(write('a,b\n"1,5",2\n'))
    assert row.cells == {"a": "1,5", "b": "2"}


@pytest.mark.parametrize("text, words", [
    ("", "is empty: its first line must name the columns"),
    ("a,b,y\n", "holds no row"),
    ("a|b\n1|2\n", ":1: one column, 'a|b': separate cells by comma, semicolon or tab, not by |"),
    ("a,b,a\n1,2,3\n", ":1: a names more than one column"),
    ("a,,y\n1,2,3\n", ":1: column 2 has no name"),
    ("1,2,3\n4,5,6\n", ":1: the first line must name the columns"),
    ('a,b\n1,"2\n', "t.csv:"),
    (b"a,b\n\xff,1\n", "is not UTF-8"),
])  # fmt: skip
def test_files_that_are_refused(text, words, write):
    with pytest.raises(DataError) as caught:
        list(rows(write(text)))
    assert words in str(caught.value)


@pytest.mark.parametrize("source, module, package", [
    ("t.parquet", "pyarrow", "pyarrow"), ("diabetes", "sklearn", "scikit-learn"),
])  # fmt: skip
def test_packages_that_are_missing_are_named(source, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        list(rows(source))


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        list(rows(str(tmp_path / "none.csv")))
    with pytest.raises(ConfigError, match="did you mean 'breast-cancer'"):
        list(rows("breast-canser"))


@given(st.floats(allow_nan=True, allow_infinity=True, width=32))
@settings(max_examples=50, deadline=None)
def test_a_number_is_finite_and_decimal(value):
    found = number(str(value))
    assert found is None if not np.isfinite(value) else found == pytest.approx(value)
    assert number("1_000") is None and number("0x1F") is None and number("1e999") is None and number("") is None


# --- columns ---


def test_kinds_are_guessed_and_nearly_numbers_are_said():
    column, said = describe("age", ["30", "41", "", "NA", "50"], ["", "NA"], Columns())
    assert (column.kind, column.median, column.missing, said) == ("number", 41.0, {"": 1, "NA": 1}, "")
    column, said = describe("age", [str(n) for n in range(30)] + ["old"], [""], Columns())
    assert column.kind == "category" and "30 of 31 values are numbers (not 'old')" in said
    assert describe("age", ["1", "2"], [""], Columns(categorical=["age"]))[0].kind == "category"
    column, _ = describe("colour", ["red", "blue", "red", ""], [""], Columns())
    assert (column.categories, column.counts, column.typical()) == (("red", "blue"), (2, 1), 1.0)


def test_a_column_tells_its_value():
    age, city = (describe(name, cells, [""], Columns())[0] for name, cells in (("age", ["30", ""]), ("city", ["Nice"])))
    assert [age.told(70.0), age.told(float("nan")), city.told(1.0), city.told(OTHER)] == [
        "age = 70", "age = missing", "city = Nice", "city = missing",
    ]  # fmt: skip


@pytest.mark.parametrize("cells, said", [
    (["01000", "75001", "69002"], "'01000' begins with 0, as names do"),
    (["0", "10", "0.5"], None),
    (["2024-01-31", "2024-02-29", "2023-12-01 10:30"], "it holds dates ('2024-01-31')"),
    (["31.01.2024", "29.02.2024"], "it holds dates"),
    (["1337,58", "20,5", "7"], "a decimal comma ('1337,58')"),
    (["red", "1,5"], ""),
])  # fmt: skip
def test_what_looks_like_numbers_and_is_none_is_said(cells, said):
    column, found = describe("x", cells, [""], Columns())
    assert column.kind == ("number" if said is None else "category")
    assert (said or "") in found and bool(found) == bool(said)
    assert describe("x", cells, [""], Columns(categorical=["x"]))[1] == ""


def test_a_row_becomes_numbers_and_bad_rows_say_which_column(tmp_path):
    columns = [describe("age", ["30", "40", ""], [""], Columns())[0], describe("sex", ["f", "m"], [""], Columns())[0]]
    schema = Schema(tuple(columns), "y", ("id",), ("", "NA"), ("no", "yes"), 1)
    values, unseen = schema.encode({"age": 35, "sex": "m", "id": 7, "y": "no"})
    assert values.tolist() == [35.0, 2.0] and unseen == []
    values, unseen = schema.encode({"age": None, "sex": "x"})
    assert np.isnan(values[0]) and values[1] == OTHER and unseen == ["sex"]
    assert schema.encode({"age": "NA", "sex": ""})[1] == []
    for record, words in [
        ({"age": "old", "sex": "f"}, "'age' holds no number"),
        ({"age": "1,5", "sex": "f"}, "'age' holds no number: a decimal comma"),
        ({"age": 1}, "'sex' is missing"),
        ({"age": 1, "sex": "f", "size": 3}, "no column 'size'"),
        ({"age": "1e99", "sex": "f"}, "'age' holds no number"),
    ]:
        with pytest.raises(BadInput, match=words):
            schema.encode(record)
    (tmp_path / "schema.json").write_text(schema.dump(), "utf-8")
    assert Schema.read(tmp_path / "schema.json", "") == schema


# --- preparing ---


def test_what_cannot_be_used_is_counted_with_its_place(made):
    text = MANY + "1,x0\n2,x0,\n3,x0,no\n"
    manifest, _ = made(text + "old,x0,no\n", columns={"numeric": ["a"]})
    assert (manifest["read"], manifest["kept"]) == (64, 61)
    assert manifest["dropped"] == {
        "not as many cells as the header has names": 1, "no target": 1, "column 'a' holds no number": 1,
    }  # fmt: skip
    assert manifest["examples"]["not as many cells as the header has names"][0].endswith("t.csv:62")
    assert manifest["examples"]["column 'a' holds no number"][0].endswith("t.csv:65")
    said = "\n".join(report.lines(manifest))
    assert "dropped 1 x no target" in said and "1 column guessed to be categories: b" in said


@pytest.mark.parametrize("beyond", ["inf", "-inf", "1e308", "-Infinity"])
def test_numbers_stay_numbers_where_some_are_infinite_or_too_large(beyond, made):
    cells = [beyond if n % 4 == 0 else str(n) for n in range(60)]
    manifest, place = made("a,y\n" + "".join(f"{cell},{'no' if n % 2 else 'yes'}\n" for n, cell in enumerate(cells)))
    assert Table(place, "train").schema.columns[0].kind == "number"
    assert manifest["dropped"] == {"column 'a' holds no number: infinite, or too large": 15}
    assert f"column 'a' is infinite or too large in 15 of 60 rows ('{beyond}')" in "\n".join(manifest["warnings"])


@pytest.mark.parametrize("value, reason", [
    ([1, 2], "column 'z' holds a list, an object or bytes"), ({"k": 1}, "column 'z' holds a list, an object or bytes"),
    (b"x", "column 'z' holds a list, an object or bytes"), (float("inf"), "column 'z' holds no number: infinite"),
    ("before the year 1", "column 'z' holds a value that cannot be read"),
])  # fmt: skip
def test_a_column_that_drops_every_row_is_named_and_can_be_left_out(value, reason, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    held = pa.array([value] * 40) if value != "before the year 1" else pa.array([-(2**60)] * 40, pa.timestamp("us"))
    rows = {"x": list(range(40)), "y": ["n", "y"] * 20, "z": held}
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet")

    def read(**columns) -> dict:
        shares = {"valid_share": 0.0, "test_share": 0.0}
        config = config_of(str(tmp_path / "t.parquet"), tmp_path / "prepared", columns=columns, **shares)
        return prepare(config, Console(speaks=False))

    with pytest.raises(DataError, match=rf"40 x {reason}.*t.parquet:1; data.columns.ignore leaves a column out"):
        read()
    assert read(ignore=["z"])["kept"] == 40


def test_values_that_no_cell_can_hold_drop_the_row_and_say_why(made):
    good = [json.dumps({"a": n, "b": "x" * (n % 3 + 1), "y": "ny"[n % 2]}) for n in range(20)]
    bad = ['{"a": 1, "b": "\\ud800", "y": "n"}', '{"a": 1, "b": {"c": [1]}, "y": "n"}']
    manifest, place = made("\n".join([*good, *bad]), name="t.jsonl")
    assert manifest["kept"] == 20
    assert manifest["dropped"] == {"half of a surrogate pair": 1, "column 'b' holds a list, an object or bytes": 1}
    with pytest.raises(BadInput, match="is a list or an object"):
        Table(place, "train").schema.encode({"a": 1, "b": {"c": [1]}})


@pytest.mark.parametrize("text, more, refused", [
    (MANY, {"target": "z"}, (DataError, r"has no column 'z' \(columns are a, b, y\)")),
    ("a,y\n" + "".join(f"{n % 7},{n / 8}\n" for n in range(30)), {},
     (DataError, "'y' has 30 different values in 30 rows, all numbers: did you mean")),
    ("a,y\n1,no\n2,no\n", {}, (DataError, "is always 'no'")),
    ("a,y\n1,3\n2,3\n", {"task": "tabular-regression"}, (DataError, "is always 3")),
    ("y\nno\nyes\n", {}, (ConfigError, "no column to learn from")),
    (MANY, {"columns": {"numeric": ["A"]}}, (ConfigError, "has no column 'A'")),
    (MANY, {"positive": "yess"}, (ConfigError, "did you mean 'yes'")),
    (MANY, {"task": "tabular-regression"}, (DataError, r"'y' is no number in any row \(.*did you mean `task: tabular-class")),
])  # fmt: skip
def test_tables_that_are_refused(text, more, refused, made, tmp_path):
    error, words = refused
    with pytest.raises(error, match=words):
        made(text, **more)
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize("data, words", [
    ({"valid": "train"}, "set valid_share to 0"),
    ({"valid_share": 0.6, "test_share": 0.5}, "leave nothing"),
    ({"columns": {"ignore": ["y"]}}, "also named in columns"),
    ({"columns": {"ignore": ["a"], "numeric": ["a"]}}, "named twice"),
])  # fmt: skip
def test_settings_that_do_not_go_together(data, words):
    with pytest.raises(ValueError, match=words):
        TableData(source="t.csv", prepared="p", target="y", **data)


def test_what_should_be_looked_at_is_said(made):
    # a number of rows, a copy, a constant
    body = "".join(f"{n},{'ab'[n % 2]},k,{n % 2},{n % 7 / 10}\n" for n in range(40))
    manifest, _ = made("id,copy,same,y,x\n" + body)
    said = "\n".join(manifest["warnings"])
    for words in ("'id' is different in every row", "'copy' tells 'y' all by itself", "'same' is always 'k'"):
        assert words in said
    assert "'x'" not in said
    assert "to leave id, copy out: --set 'data.columns.ignore=[id, copy]'" in said


def test_free_text_is_said_to_be_none_that_is_read(made):
    manifest, _ = made(
        "note,word,y\n" + "".join(f"这里写着第{n}句很长的话没有空格,word{n},{n % 2}\n" for n in range(80))
    )
    said = "\n".join(manifest["warnings"])
    assert "'note' is different in every row, free text, which is not read" in said
    assert "'word' is different in every row, like a number of rows" in said


def test_decimal_commas_are_said(made):
    manifest, _ = made("a;y\n" + "".join(f"{n},5;{n}\n" for n in range(9)), task="tabular-regression")
    assert manifest["guessed"] == {"numbers": ["a"]} and manifest["kept"] == 9
    assert "commas in 'a' are read as decimal points, such as '0,5' in 'a' as 0.5" in "\n".join(manifest["warnings"])


@pytest.mark.parametrize("start", [["1", "01", "1.0", "a", "A"], ["A", "a", "1.0", "01", "1"]])
def test_classes_have_one_order_whatever_that_of_the_rows(start, made):
    _, place = made("x,y\n" + "".join(f"{n},{start[n % 5]}\n" for n in range(30)), valid_share=0, test_share=0)
    assert Table(place, "train").schema.labels == ("01", "1", "1.0", "A", "a")


def test_classes_that_look_alike_are_refused_or_said(made):
    with pytest.raises(DataError, match="same text in other code points"):
        made("x,y\n" + "1,caf\u00e9\n2,cafe\u0301\n" * 5)
    manifest, _ = made("x,y\n" + "".join(f"{n},{('No', 'no', 'yes')[n % 3]}\n" for n in range(30)))
    assert [said for said in manifest["warnings"] if "'No' and 'no'" in said]


def test_that_most_rows_were_dropped_is_said(made):
    rows_ = "".join(f"{n if n % 3 == 0 else 'old'},{n % 2}\n" for n in range(60))
    manifest, _ = made("a,y\n" + rows_, columns={"numeric": ["a"]})
    assert "40 of 60 rows were dropped, most (40) for: column 'a' holds no number" in "\n".join(manifest["warnings"])
    assert "were dropped, most" not in "\n".join(made(MANY)[0]["warnings"])


def test_rows_of_the_training_split_in_another_are_said(made, write):
    other = write("a,b,y\n1,y1,no\n9,q,yes\n", "v.csv")
    manifest, _ = made(MANY, valid=other)
    assert manifest["splits"]["valid"]["examples"] == 2
    assert "1 different rows of the training split are in valid too" in "\n".join(manifest["warnings"])
    assert "taken as missing: 1 x a category of 'b' that no training row has" in "\n".join(report.lines(manifest))


def test_the_training_rows_themselves_are_a_split_that_says_so(made):
    manifest, place = made(MANY, valid="train", test="train")
    assert [manifest["splits"][split]["examples"] for split in SPLITS] == [60, 60, 60]
    assert "valid is the training rows themselves" in "\n".join(manifest["warnings"])
    assert [name for name, _ in Table(place, "valid").rows()] == [name for name, _ in Table(place, "train").rows()]


def test_copies_stay_together_and_splits_do_not_depend_on_the_order(made):
    lines = MANY.splitlines()
    splits = []
    for order in (lines[1:], lines[:0:-1]):
        _, place = made("\n".join([lines[0], *order, *order]) + "\n", valid_share=0.3, test_share=0.3)
        held = {split: Counter(json.dumps(cells) for _, cells in Table(place, split).rows()) for split in SPLITS}
        assert all(count % 2 == 0 for counts in held.values() for count in counts.values())
        splits.append(held)
    assert splits[0] == splits[1]
    assert min(map(len, splits[0].values())) > 0


def test_preparing_again(made, write, tmp_path):
    first, place = made(MANY)
    before = (place / "manifest.json").stat().st_mtime_ns
    assert made(MANY)[0] == first and (place / "manifest.json").stat().st_mtime_ns == before
    source = str(tmp_path / "t.csv")
    same = {"valid_share": 0.0, "test_share": 0.0}
    assert changed(config_of(source, place, **same)) == []
    other = config_of(source, place, **same | {"columns": {"ignore": ["a"]}})
    (line,) = changed(other)
    assert line.startswith("data.columns: ")
    with pytest.raises(ConfigError, match=r"prepared with other settings \(data.columns"):
        require_same(first, other.data)
    write(MANY + "1,x,no\n")
    assert changed(config_of(source, place, **same)) == ["data.source: its rows have changed"]
    assert changed(config_of(source, place, **same), sources=False) == []
    with pytest.raises(DataError):
        made("a,y\n1,no\n")
    assert described(place) == first


def test_columns_of_another_table(made, tmp_path):
    made(MANY)
    (tmp_path / "prepared").rename(tmp_path / "first")
    first = str(tmp_path / "first")
    _, place = made("b,a,y\nx0,3,yes\nnew,4,no\nx0,5,maybe\n", columns_of=first)
    table = Table(place, "train")
    assert table.schema == Table(first, "train").schema
    assert table.values.tolist() == [[3.0, float(table.schema.columns[1].categories.index("x0") + 1)], [4.0, 0.0]]
    with pytest.raises(DataError, match="of another target, or of another task: 'y'"):
        made(MANY, columns_of=first, target="b")
    with pytest.raises(DataError, match="no schema"):
        made(MANY, columns_of=str(tmp_path))


def test_nobody_elses_files_are_replaced(made, tmp_path):
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.txt"):
        made(MANY)
    assert (tmp_path / "prepared" / "thesis.txt").read_text() == "mine"


def test_categories_of_any_length_are_drawn_and_told_apart(made):
    """Warnings are errors in tests: a picture without room for its axes is one."""
    names = ["x" * 20_000 + end for end in "ab"]
    text = "a,y\n" + "".join(f"{names[n % 2]},{'no' if n % 3 else 'yes'}\n" for n in range(40))
    manifest, place = made(text)
    page = report.write(place, manifest).read_text("utf-8")
    assert max(map(len, page.splitlines())) < 1000 and (place / "report" / "columns.png").stat().st_size > 1000


def test_the_report_has_every_column(made):
    manifest, place = made(MANY.replace("\n3,", "\n,"))
    page = report.write(place, manifest).read_text("utf-8")
    assert "| a | number | 9 x 'nothing' | 0 to 6, median 2 |" in page
    assert "| b | category | 0 | x0 4" in page
    assert (place / "report" / "columns.png").stat().st_size > 1000


@pytest.mark.parametrize("values", [
    [1.7e9 + n for n in range(60)], [1e17] * 60, [1e-45 * n for n in range(60)], [""] * 59 + [3],
])  # fmt: skip
def test_numbers_of_any_size_have_a_histogram(values, made):
    rows = [f"{value},{n % 7},{'no' if n % 2 else 'yes'}" for n, value in enumerate(values)]
    manifest, place = made("\n".join(["a,b,y", *rows]), columns={"numeric": ["a"]})
    report.write(place, manifest)
    assert (place / "report" / "columns.png").stat().st_size > 1000


def test_numbers_that_merge_in_float32_are_said(made):
    rows = [f"{1_700_000_000 + n},{n / 60},{'no' if n % 2 else 'yes'}" for n in range(60)]
    manifest, _ = made("\n".join(["a,b,y", *rows]))
    (said,) = (warning for warning in manifest["warnings"] if "float32" in warning)
    assert "column 'a': 60 different numbers become 1 in float32" in said and "steps of 128: subtract" in said


# --- batches, examples ---


def test_batches_by_position(made):
    _, place = made(MANY)
    table = Table(place, "train")
    training = TableBatches(table, 16, 1)
    assert (training.per_epoch, training.examples) == (3, 60)
    epoch = np.concatenate([training[position].values.numpy() for position in range(3)])
    assert len(epoch) == 48 and (training[4].values != training[1].values).any()
    again = TableBatches(table, 16, 1)
    assert (again[4].values == training[4].values).all()
    stored = TableBatches(table, 16, None)
    whole = np.concatenate([stored[position].values.numpy() for position in range(stored.per_epoch)])
    assert np.array_equal(whole, table.values)


def test_examples_of_a_file_need_the_target(write):
    reader = SimpleNamespace(target="y", labels=["no", "yes"], schema=SimpleNamespace(missing=("", "NA"), lists=[]))
    tally = Tally()
    found = list(file(Path(write("a,y\n1,no\n2\n3,\n4,NA\n")), None, tally, [reader]))
    assert [(one.raw["a"], one.truth) for one in found] == [("1", "no")]
    assert tally.dropped["no target"] == 2 and tally.dropped.total() == 3
    with pytest.raises(DataError, match="no column 'y'"):
        list(file(Path(write("a,z\n1,no\n")), None, tally, [reader]))


# --- what matters ---


def test_shapley_values_add_up_and_are_exact_for_a_sum():
    weight = np.array([2.0, -1.0, 0.0, 3.0])
    row, typical = np.array([1, 2, 3, 4], np.float32), np.array([0, 1, 0, 1], np.float32)
    np.testing.assert_allclose(
        contributions(lambda x: x @ weight, row, typical, np.arange(4)), weight * (row - typical)
    )
    mixed = contributions(lambda x: x[:, 0] * x[:, 1] + x[:, 3], row, typical, np.arange(4))
    assert mixed.sum() == pytest.approx((1 * 2 + 4) - (0 * 1 + 1))
    assert mixed[2] == 0


def test_shuffling_shows_which_column_is_used():
    values = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    found = permuted(
        "r2", "abc", values, owner=np.arange(3), score=lambda x: 1 - float(np.mean((x[:, 1] - values[:, 1]) ** 2))
    )
    assert found.drop[1] > 1.5 and found.drop[0] == found.drop[2] == 0
    assert next(iter(found.slices())) == "b"
    again = permuted(
        "r2", "abc", values, owner=np.arange(3), score=lambda x: 1 - float(np.mean((x[:, 1] - values[:, 1]) ** 2))
    )
    assert np.array_equal(found.drop, again.drop)
