"""What goes in: how each kind of input is named on a command line, and how one is read. Needs numpy and Pillow only."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.errors import BadInput, DataError
from bmtool.sources import columnar, parts, tars
from bmtool.sources.rows import READERS, Row, rows

SHOWN = 20  # names of columns in an error
STDIN = "-"  # how a command line names standard input
# What an answer calls its input.
KEY = {"image": "file", "text": "input", "number": "seed", "record": "record", "question and context": "question"}


class Named(NamedTuple):
    name: str
    # what a predictor reads; BadInput for what is known to be none, with the reason
    raw: Any


def named(
    takes: str, given: Sequence[str], ignore: Callable[[str, str], None], texts: Mapping[str, str] | None = None
) -> Iterator[Named]:  # fmt: skip
    """Everything that the arguments of a command name: files in folders, rows in tables, lines; "-" is standard input for lines and rows.

    `ignore` hears of the files in folders that are passed over: (kind, path). With `texts`, the columns that hold each of the texts that a
    model reads, rows of all tables are read by them. DataError for a file that cannot be read.
    """
    if texts is not None:
        return _rows_of_texts(given, texts)
    if takes == "image":
        return _images(given, ignore)
    ways = {"text": _texts, "number": _numbers, "record": _records, "question and context": _questions}
    return ways[takes](given)


def _texts(given: Iterable[str]) -> Iterator[Named]:
    """The lines of the files named, empty ones too, and the texts of tables and sets; any other argument is a line."""
    for argument in given:
        if os.path.exists(argument) and _is_table(Path(argument)):
            found = chain.from_iterable(_cells(table, "text") for table in _tables(Path(argument)))
            yield from (one if isinstance(one.raw, BadInput) else Named(one.raw, one.raw) for one in found)
            continue
        listed = lines(argument) if argument == STDIN or os.path.isfile(argument) else [(argument, argument)]
        yield from (Named(line, line) for _, line in listed)


def _rows_of_texts(given: Iterable[str], columns: Mapping[str, str]) -> Iterator[Named]:
    """As `_texts`, but that a table whatever it is written in is read by its columns, and none is taken for lines of text."""
    for argument in given:
        path = Path(argument)
        if not os.path.exists(argument) or not (path.suffix.lower() in READERS or _is_table(path)):
            yield from _lines_of_text(argument)
            continue
        for table in _tables(path):
            held = {column.name for column in columnar.columns(table)} if _is_table(table) else set(columns.values())
            yield from (
                (_of_columns(row, columns) for row in rows(table))
                if held >= set(columns.values())
                else _texts([str(table)])
            )


def _lines_of_text(argument: str) -> Iterator[Named]:
    """As `_texts`; an empty line of a file has a place, but no text to be called by."""
    listed = lines(argument) if os.path.isfile(argument) else ()
    yield from (Named(line if line.strip() else place, line) for place, line in listed)
    yield from () if listed else _texts([argument])


def _of_columns(row: Row, columns: Mapping[str, str]) -> Named:
    """What a row holds, by the names that the model has for it; named by its texts. DataError where one of the columns is not there."""
    if row.values is None:
        return Named(row.place, BadInput(row.problem))
    if lacking := [column for column in columns.values() if column not in row.values]:
        raise DataError(
            f"{row.place} has no column {lacking[0]!r}{suggest(lacking[0], row.values)} (columns are {few(row.values, SHOWN)}): "
            "name it so, or give lines of text at standard input (-)"
        )
    raw = {name: row.values[column] for name, column in columns.items()}
    name = "\t".join(map(str, raw.values()))
    return Named(name, raw if len(raw) > 1 else next(iter(raw.values())))


def _numbers(given: Iterable[str]) -> Iterator[Named]:
    for argument in given:
        listed = lines(argument) if argument == STDIN else [(argument, argument)]
        yield from (Named(line, line) for _, line in listed if line.strip())


def _images(given: Iterable[str], ignore: Callable[[str, str], None]) -> Iterator[Named]:
    """The files named, the images in the folders named, and those in tars, tables and sets."""
    from bmtool.predict import folders  # Pillow is for images alone

    for name in given:
        path = Path(name)
        if path.suffix.lower() == tars.SUFFIX and path.is_file():
            yield from _tarred(path, ignore)
        elif _is_table(path):
            yield from chain.from_iterable(_cells(table, "image") for table in _tables(path))
        else:
            inside = folders.images(path, ignore) if path.is_dir() else [path]
            yield from (Named(str(file), file) for file in inside)


def _tarred(path: Path, ignore: Callable[[str, str], None]) -> Iterator[Named]:
    """The image of every sample."""
    from bmtool.predict import folders

    for sample in tars.samples(path, ignore):
        kinds = folders.kinds(sample.members)
        if len(kinds) == 1:
            yield Named(f"{sample.name}.{kinds[0]}", sample.members[kinds[0]].read())
        else:
            ignore(folders.SEVERAL if kinds else folders.NO_IMAGE, sample.name)


def _is_table(path: Path) -> bool:
    """Whether it is a table by columns, or a folder that is a set of tables."""
    return path.suffix.lower() in columnar.SUFFIXES or (path.is_dir() and parts.is_set(path))


def _tables(path: Path) -> list[Path]:
    """The files of a set, of all its splits; a file is itself."""
    return [part.path for part in parts.parts(path, lambda kind, name: None)] if path.is_dir() else [path]


def _cells(path: Path, kind: str) -> Iterator[Named]:
    """(file:row, cell) of the one column of this kind, or of the one that is called so. DataError when it cannot be told which."""
    held = columnar.columns(path) if path.suffix.lower() in columnar.SUFFIXES else []
    names = [column.name for column in held if column.kind == kind]
    chosen = kind if kind in names else names[0] if len(names) == 1 else None
    if chosen is None:
        every = ", ".join(column.name for column in held) or "not known: only .parquet and .arrow say what they hold"
        raise DataError(
            f"{path}: which column is the {kind}? one that is called {kind}, or the only one of its kind (columns are {every})"
        )
    for row in rows(path, [chosen]):
        value = row.values[chosen] if row.values is not None else None
        raw = value.get("bytes") if isinstance(value, dict) else value
        yield Named(row.place, BadInput(row.problem or f"no {kind}") if raw is None else raw)


def _records(given: Iterable[str]) -> Iterator[Named]:
    """Rows of tables and sets, lines of JSON from standard input, or JSON objects as they stand."""
    for argument in given:
        if argument.lstrip().startswith("{"):
            yield Named(argument, argument)
        elif argument == STDIN:
            yield from (Named(place, line) for place, line in lines(argument) if line.strip())
        else:
            yield from _table(Path(argument))


def _table(path: Path) -> Iterator[Named]:
    if path.suffix.lower() not in READERS and not _is_table(path):
        raise DataError(
            f"{path} holds no rows that can be read: give a file ({', '.join(READERS)}), a folder of them as `datasets` has it, "
            "a JSON object, or lines of JSON at standard input (-)"
        )
    for row in chain.from_iterable(rows(table) for table in _tables(path)):
        yield Named(row.place, BadInput(row.problem) if row.values is None else row.values)


def shown(takes: str, name: str) -> Any:
    """An input by its name, as an answer shows it: a seed as a number, of a question with its context the question."""
    if takes == "question and context" and name.startswith("{"):
        return record(name).get("question", name)
    return int(name) if takes == "number" else name


def _questions(given: Iterable[str]) -> Iterator[Named]:
    """Rows with a question and a context each, by the name of the question. DataError for a question alone."""
    for argument in given:
        if argument != STDIN and not argument.lstrip().startswith("{") and not os.path.exists(argument):
            raise DataError(
                f"{argument[:80]!r} is a question without a text: name one with --context FILE, or look for it with --documents DIR"
            )
        for one in _records([argument]):
            try:
                yield Named(str(record(one.raw).get("question") or one.name), record(one.raw))
            except BadInput:  # it is said where it is read
                yield one


def of_context(given: Iterable[str], context: str) -> Iterator[Named]:
    """The questions that arguments, or the lines of files, are, all of one text."""
    for one in _texts(given):
        yield one if isinstance(one.raw, BadInput) else Named(one.name, {"question": one.raw, "context": context})


def lines(source: str) -> Iterator[tuple[str, str]]:
    """(file:line, line) of a file of text, or of standard input; DataError when it cannot be read or is not UTF-8."""
    shown = "<stdin>" if source == STDIN else source
    try:
        with _opened(source) as stream:
            for number, line in enumerate(stream, start=1):
                place = f"{shown}:{number}"
                yield place, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{place} is not UTF-8 (byte {error.start + 1} of the line): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {shown}: {error.strerror or error}") from error


def _opened(source: str) -> AbstractContextManager[BinaryIO]:
    if source != STDIN:
        return Path(source).open("rb")
    if sys.stdin is None:
        raise DataError("standard input is closed: name files or give inputs as arguments")
    return nullcontext(sys.stdin.buffer)


def seed(raw: Any) -> int:
    """A number that chooses noise; BadInput for anything else."""
    text = str(raw).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadInput("expected a number: it chooses the noise that an image is made from")
    return int(text)


def record(raw: Any) -> dict[str, Any]:
    """A row as name -> value, from a JSON object or what a reader of tables gave; BadInput for anything else."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise BadInput("not JSON") from error
    if not isinstance(raw, dict):
        raise BadInput("no JSON object of names and values")
    return raw
