"""What a recommender is asked from the command line: a history, a user, an item; or all users at once, to a file."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.console import Console
from bmtool.base.files import temporary
from bmtool.base.needs import needs
from bmtool.commands.loading import Loaded, options_of
from bmtool.errors import ConfigError

ALL = "all"
CHUNK = 512  # users that are answered together
COLUMNS = ("user", "place", "item", "score", "from")
Row = tuple[str, int, str, float, str]  # of COLUMNS


class Who(NamedTuple):
    """`history` are ids with commas between them, `users` is ALL, whose answers go to `output`."""

    history: str | None = None
    user: str | None = None
    like: str | None = None
    users: str | None = None
    output: str | None = None


NOBODY = Who()


def inputs(who: Who, given: list[str]) -> list[str]:
    """The inputs that are given, or the one that flags name, as JSON. ConfigError for several."""
    asked: dict[str, Any] = {
        name: getattr(who, name) for name in ("history", "user", "like") if getattr(who, name) is not None
    }
    if not asked:
        return given
    if given or len(asked) > 1:
        raise ConfigError(
            "--history, --user and --like each name who is asked about: give one of them, and no other inputs"
        )
    if who.history is not None:
        asked["history"] = [one.strip() for one in who.history.split(",") if one.strip()]
    return [json.dumps(asked, ensure_ascii=False)]


def parted(loaded: Loaded, pictures: dict[str, str], who: Who) -> tuple[dict[str, str], Who]:
    """Of any model but those that recommend, `--output` is a picture, or nothing."""
    if who.output is None or loaded.entry.gives == "ranking":
        return pictures, who
    return pictures | {"output": who.output}, who._replace(output=None)


def is_of_all(loaded: Loaded, who: Who) -> bool:
    """Whether all users are asked about. ConfigError for a model that recommends nothing, and for flags that do not go together."""
    if who == NOBODY:
        return False
    if loaded.entry.gives != "ranking":
        name = next(name for name in Who._fields if getattr(who, name) is not None)
        raise ConfigError(f"--{name}: models of {loaded.task} recommend no items")
    if who.users not in (None, ALL):
        raise ConfigError(f"--users: {ALL}, got {who.users!r}; of one user --user {who.users} says what comes next")
    if (who.users is None) != (who.output is None):
        raise ConfigError("--users all goes with --output FILE, which takes what would be too much for a terminal")
    return who.users is not None


def all_users(loaded: Loaded, who: Who, options: dict[str, Any]) -> None:
    """Write what every user that the model knows should be shown, some at a time: the memory does not grow with their number."""
    console, path = Console(), Path(str(who.output))
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"--output: {path} is none of {', '.join(WRITERS)}")
    asked = options_of(loaded, {"reasons": 0} | options)
    names, count = iter(loaded.predictor.users()), 0
    working = temporary(path)
    try:
        with WRITERS[path.suffix.lower()](working) as write:
            while users := list(islice(names, CHUNK)):
                reads = [loaded.predictor.read({"user": user}) for user in users]
                write(
                    [
                        row
                        for user, answer in zip(users, loaded.predictor.predict(reads, asked))
                        for row in _rows(user, answer)
                    ]
                )
                count += len(users)
        working.replace(path)
    finally:
        working.unlink(missing_ok=True)
    console.say(f"wrote {path}: {count:,} users")


def _rows(user: str, answer: Any) -> Iterator[Row]:
    for number, place in enumerate(answer.places, 1):
        yield user, number, place.item, place.score, answer.source


# --- files ---

Write = Callable[[list[Row]], Any]


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    with needs("pyarrow", "--output FILE.parquet takes pyarrow"):
        import pyarrow
        from pyarrow import parquet
    kinds = (pyarrow.string(), pyarrow.int32(), pyarrow.string(), pyarrow.float32(), pyarrow.string())
    schema = pyarrow.schema(list(zip(COLUMNS, kinds)))
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(
            pyarrow.Table.from_pylist([dict(zip(COLUMNS, row)) for row in rows], schema)
        )


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        yield writer.writerows


@contextmanager
def _lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as stream:
        yield lambda rows: stream.writelines(
            json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False) + "\n" for row in rows
        )


WRITERS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _lines}
