"""Interactions from their files to what training reads (docs/tasks/recommendation.md)."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bmtool.base.console import Console
from bmtool.config.interactions import InteractionData
from bmtool.errors import ConfigError, DataError
from bmtool.tables.interactions import report
from bmtool.tables.interactions.content import weigh, words
from bmtool.tables.interactions.names import Gathering, Names
from bmtool.tables.interactions.prepare import prepare
from bmtool.tables.interactions.store import Interactions

HASH = {"split": "hash", "columns": {}}


def data_of(path, text, **more) -> InteractionData:
    """With `text` as the source, rows apart by /."""
    (path / "log.csv").write_text("\n".join(text.split("/")) + "\n", encoding="utf-8")
    given = {"source": str(path / "log.csv"), "prepared": str(path / "prepared"), "columns": {"time": "time"}} | more
    return InteractionData.model_validate(given)


def made(path, text, **more) -> Interactions:
    data = data_of(path, text, **more)
    prepare(SimpleNamespace(data=data), Console())
    return Interactions(data.prepared)


def rows_of(held, split) -> dict[str, list[str]]:
    rows = held.split(split)
    return {
        held.users[user]: [held.items[item] for item in rows.of(user)] for user in np.flatnonzero(rows.counts).tolist()
    }


# --- ids ---


def test_ids_stay_as_they_are_and_their_numbers_hang_on_nothing_else(tmp_path):
    ids = ["a b", "张三", "007", "7", "x" * 300, "é"]
    names, again = Names.of(ids), Names.of(ids[::-1])
    assert sorted(names[number] for number in range(len(names))) == sorted(ids)
    assert [names[number] for number in names.numbers(ids)] == ids
    assert (names.hashes == again.hashes).all() and list(names.numbers(["no such"])) == [-1]
    text = "user,item,time/a b,红 书,1/a b,y,2/张三,红 书,3/张三,y,4"
    assert rows_of(made(tmp_path, text, split="hash", valid_share=0.0, test_share=0.0), "train") == {
        "a b": ["红 书", "y"], "张三": ["红 书", "y"]}  # fmt: skip


def test_many_ids_are_merged_part_by_part(monkeypatch):
    """In so little memory that 10 million fit: their bytes and 16 more each."""
    monkeypatch.setattr("bmtool.tables.interactions.names.PENDING", 1000)
    monkeypatch.setattr("bmtool.tables.interactions.names.FEW", 100)
    gathering, ids = Gathering(), [f"user {number}" for number in range(20_000)]
    hashed = np.concatenate([gathering.add(ids[start : start + 700] + ids[:50]) for start in range(0, 20_000, 700)])
    names = gathering.names()
    assert len(names) == 20_000 and (np.diff(names.hashes.astype(object)) > 0).all()
    assert [names[number] for number in names.numbers(ids[:2000])] == ids[:2000]
    assert (names.ranks(hashed) >= 0).all() and names.numbers(["user 20000"])[0] == -1
    assert sum(array.nbytes for array in names.arrays().values()) < 20_001 * (16 + len("user 19999"))


@pytest.mark.slow
def test_ten_million_ids_fit_into_bounded_memory():
    import tracemalloc

    gathering = Gathering()
    tracemalloc.start()
    for start in range(0, 10_000_000, 500_000):
        gathering.add([f"u{number}" for number in range(start, start + 500_000)])
    names = gathering.names()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(names) == 10_000_000 and most < 5 << 28
    assert names[int(names.numbers(["u7654321"])[0])] == "u7654321"


# --- times ---


@pytest.mark.parametrize(
    "first, second, said",
    [
        ("1714521600", "1714521600000", "seconds"),
        ("2024-05-01", "1714521600", "dates"),
        ("3", "1714521600", "positions"),
    ],
)
def test_times_of_several_kinds_are_refused_with_their_places(first, second, said, tmp_path):
    with pytest.raises(DataError, match=rf"log.csv:3: the time '{second}' reads as .* as {said}"):
        made(tmp_path, f"user,item,time/a,x,{first}/b,y,{second}")


@pytest.mark.parametrize(
    "times, kind",
    [
        (["1714521600", "1714521601", "1714521602"], "seconds"),
        (["1714521600000", "1714521601000", "1714521602000"], "milliseconds"),
        (["2024-05-01", "2024-05-01T00:00:01Z", "2024-05-01 02:00:02+02:00"], "dates (ISO 8601)"),
    ],
)
def test_one_moment_is_one_number_however_it_is_written(times, kind, tmp_path):
    lines = "/".join(f"{user},{item},{time}" for user in "ab" for item, time in zip("xyz", times))
    held = made(tmp_path, f"user,item,time/{lines}", split="hash", valid_share=0.0, test_share=0.0)
    assert held.manifest["times"] == kind
    assert sorted(set(held.split("train").times)) == [1714521600000, 1714521601000, 1714521602000]


def test_rows_without_a_time_are_counted(tmp_path):
    text = "user,item,time/a,x,1/a,y,2/b,x,/b,y,soon/b,z,3/c,z,4"
    held = made(tmp_path, text, split="hash", valid_share=0.0, test_share=0.0)
    assert held.manifest["dropped"] == {"no time": 1, "a time that is no number and no date (2024-05-01T12:00:00)": 1}
    assert held.manifest["examples"]["no time"][0].endswith("log.csv:4")


# --- splits ---

LOG = "user,item,time/" + "/".join(f"u{row % 7},i{row % 11},{row}" for row in range(70))


def test_no_training_row_is_later_than_what_is_measured(tmp_path):
    held = made(tmp_path, LOG)
    times = [held.split(split).times for split in ("train", "valid", "test")]
    assert max(times[0]) < min(times[1]) <= max(times[1]) < min(times[2])
    assert [len(part) for part in times] == [56, 7, 7]
    assert "by time" in held.manifest["rule"]


def test_the_last_of_each_user_is_left_out_and_ties_are_broken_by_a_hash(tmp_path):
    held = made(tmp_path, LOG, split="last")
    assert rows_of(held, "test")["u3"] == ["i0"] and rows_of(held, "valid")["u3"] == ["i4"]
    assert all(len(items) == 8 for items in rows_of(held, "train").values())
    tied = "user,item,time/" + "/".join(f"u{user},i{item},5" for user in range(40) for item in range(6))
    tests = [rows_of(made(tmp_path, tied, split="last", tie_seed=seed), "test") for seed in (0, 1)]
    assert tests[0] != tests[1]
    for test in tests:
        assert len({items[0] for items in test.values()}) == 6  # neither the first nor the last id every time
    held = Interactions(tmp_path / "prepared")
    assert (
        "broken by a hash (seed 1)" in held.manifest["rule"] and held.manifest["counts"]["share_of_ties_in_time"] == 1
    )
    assert any("figures hang on data.tie_seed" in line for line in held.manifest["warnings"])


def test_a_row_stays_in_its_split_when_others_are_added(tmp_path):
    before = made(tmp_path, LOG, split="hash")
    of = {
        (user, item): split
        for split in ("train", "valid", "test")
        for user, items in rows_of(before, split).items()
        for item in items
    }
    after = made(tmp_path, LOG + "/new,i1,99/new,i2,100", split="hash")
    for split in ("train", "valid", "test"):
        assert all(
            of.get((user, item), split) == split for user, items in rows_of(after, split).items() for item in items
        )


def test_splits_are_taken_as_they_are_given(tmp_path):
    text = "user,item,part/a,x,train/a,y,valid/a,z,test/b,x,train/b,y,later"
    held = made(tmp_path, text, split="given", columns={"split": "part"})
    assert [rows_of(held, split).get("a") for split in ("train", "valid", "test")] == [["x"], ["y"], ["z"]]
    assert held.manifest["dropped"] == {"a split that is none of train, valid and test": 1}
    (tmp_path / "test.csv").write_text("user,item\nnew,x\na,w\n", encoding="utf-8")
    more = {"split": "given", "columns": {}, "test": str(tmp_path / "test.csv"), "test_share": 0.0}
    held = made(tmp_path, "user,item/a,x/a,y/b,x", **more)
    assert rows_of(held, "test") == {"a": ["w"], "new": ["x"]}
    assert held.manifest["counts"]["test_users_without_training_rows"] == 1
    assert any(
        line.startswith("1 of 2 users of the test split have no training rows") for line in held.manifest["warnings"]
    )


def test_what_is_known_for_a_test_is_training_and_validation_in_order(tmp_path):
    held = made(tmp_path, LOG, split="last")
    user = held.users.numbers(["u3"])[0]
    known = [held.items[item] for item in held.history("test").of(user)]
    assert known == [*rows_of(held, "train")["u3"], *rows_of(held, "valid")["u3"]]
    assert (held.history("valid").items == held.split("train").items).all()


# --- filters ---


def test_the_core_is_what_is_left_when_all_have_enough(tmp_path):
    """c falls with z, and then y is in too few."""
    text = "user,item/a,x/a,w/b,x/b,w/c,z/c,y/d,y/d,x/d,w"
    held = made(tmp_path, text, core=2, **HASH | {"valid_share": 0.0, "test_share": 0.0})
    assert rows_of(held, "train") == {"a": ["x", "w"], "b": ["x", "w"], "d": ["x", "w"]}
    assert held.manifest["counts"]["left_out_by_core"] == 3
    with pytest.raises(DataError, match=r"no user has 9 interactions .* lower data.core"):
        made(tmp_path, text, core=9, **HASH)


def test_ratings_below_the_least_are_left_out_before_anything_else(tmp_path):
    text = "user,item,stars/a,x,5/a,y,2/b,x,3/b,y,4/c,y,good"
    held = made(
        tmp_path, text, min_rating=3.0, split="hash", columns={"rating": "stars"}, valid_share=0.0, test_share=0.0
    )
    assert rows_of(held, "train") == {"a": ["x"], "b": ["x", "y"]}
    assert held.manifest["dropped"] == {"a rating below 3": 1, "a rating that is no number": 1}


def test_duplicates_are_counted_and_the_last_counts(tmp_path):
    text = "user,item,time,stars/a,x,9,1/a,x,4,5/a,y,2,3/b,x,1,4/b,x,1,2"
    held = made(
        tmp_path, text, columns={"time": "time", "rating": "stars"}, split="hash", valid_share=0.0, test_share=0.0
    )
    assert rows_of(held, "train") == {"a": ["y", "x"], "b": ["x"]}
    values = dict(
        zip(
            map(tuple, np.stack([held.split("train").users, held.split("train").items], 1).tolist()),
            held.split("train").values,
        )
    )
    a, b, x = held.users.numbers(["a", "b"]).tolist() + held.items.numbers(["x"]).tolist()
    assert values[a, x] == 1 and values[b, x] == 2 and held.manifest["counts"]["duplicates"] == 2
    assert any(line.startswith("2 rows with the same user and item") for line in held.manifest["warnings"])


# --- bad input ---


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "who,item,time/a,x,1/b,y,2",
            r"log.csv has no column 'user' \(columns are who, item, time\): set data.columns",
        ),
        ("user,item,time/a,x,1/a,y,2", r"has one user \('a'\)"),
        ("user,item,time/a,x,1/b,x,2", r"has one item \('x'\)"),
        ("user,item,time/,x,1/a,,2", r"leaves no interaction: 1 x no user, such as .*log.csv:2, 1 x no item"),
        ("user,item,time/a,x,5/b,y,5", r"too many interactions are of one time for a split by time"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line(text, said, tmp_path):
    with pytest.raises((ConfigError, DataError), match=said) as caught:
        made(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_ratings_that_are_all_equal_are_said(tmp_path):
    held = made(
        tmp_path,
        "user,item,r/a,x,3/b,y,3/a,y,3",
        split="hash",
        columns={"rating": "r"},
        valid_share=0.0,
        test_share=0.0,
    )
    assert held.manifest["warnings"] == ["all ratings in 'r' are equal: they say who took what, and no more"]


def test_a_catalogue_may_name_other_items(tmp_path):
    (tmp_path / "items.tsv").write_text("item\tname\tgenres\nx\tThe X\tred|blue\nnew\tNew\tred\n", encoding="utf-8")
    items = {"source": str(tmp_path / "items.tsv"), "title": "name", "text": ["genres"]}
    held = made(tmp_path, "user,item/a,x/a,y/b,y", items=items, valid_share=0.0, test_share=0.0, **HASH)
    titles = {held.items[number]: held.titles.at(number) for number in range(len(held.items))}
    assert titles == {"x": "The X", "y": "y", "new": "New"}
    assert held.content.at(int(held.items.numbers(["x"])[0])) == "red|blue"
    assert held.manifest["noted"] == {"items without a line in the catalogue": 1}
    assert held.manifest["warnings"] == [
        "1 items of the catalogue without an interaction, which content alone can recommend"
    ]
    with pytest.raises(ConfigError, match=r"has no column 'title'; did you mean 'item'"):
        made(tmp_path, "user,item/a,x/b,y", items=items | {"title": "title"}, **HASH)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"columns": {}}, "split: time takes columns.time"),
        ({"split": "given"}, "split: given goes with columns.split"),
        ({"columns": {"user": "item", "time": "t"}}, "item is named twice"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        data_of(tmp_path, "user,item/a,x", **more)


# --- other forms, and the report ---


def test_every_format_gives_the_same_data(tmp_path):
    import pyarrow
    from pyarrow import parquet

    held = [made(tmp_path, LOG)]
    rows = [dict(zip(("user", "item", "time"), line.split(","))) for line in LOG.split("/")[1:]]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "log.tsv").write_text(LOG.replace("/", "\n").replace(",", "\t"), encoding="utf-8")
    parquet.write_table(
        pyarrow.Table.from_pylist([row | {"time": int(row["time"])} for row in rows]), tmp_path / "log.parquet"
    )
    for suffix in ("jsonl", "tsv", "parquet"):
        held.append(made(tmp_path, LOG, source=str(tmp_path / f"log.{suffix}")))
    assert len({one.manifest["data_hash"] for one in held}) == 1


def test_the_report_counts_and_draws(tmp_path):
    held = made(tmp_path, LOG + "/once,i1,70")
    lines = "\n".join(report.lines(held.manifest))
    assert (
        "8 users, 11 items" in lines
        and "seen once: 1 users, 0 items" in lines
        and "split by time over all users" in lines
    )
    page = report.write(held.path, held.manifest).read_text("utf-8")
    assert "| valid |" in page and (held.path / "report" / "popularity.png").stat().st_size > 1000


def test_words_are_those_of_any_script():
    assert list(words("Children's SciFi|红书 2001")) == ["children's", "scifi", "红", "书", "红书", "2001"]
    found, names = weigh(["red blue", "red green", "blue", ""])
    assert set(names) == {"red", "blue"} and np.diff(found.bounds).tolist() == [2, 1, 1, 0]
    assert np.add.reduceat(found.weights**2, [0, 2, 3]) == pytest.approx([1, 1, 1])
    assert weigh(["same", "same"]) is None
