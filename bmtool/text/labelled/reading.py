"""Rows of labelled text, from where they lie, as examples of a task."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.config.labelled import LabelledData
from bmtool.data.splitting import split_of, with_own
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.sources import hub, parts
from bmtool.sources.parts import Ignore, Part
from bmtool.sources.rows import READERS, Row, rows
from bmtool.text.labelled.kind import Draft, Kind

LONGEST = 1 << 20  # characters of a text
SHOWN = 20  # names of columns in an error
NAME_IT = "--set 'data.columns={{{name}: COLUMN}}' says which holds the {name}"


def parts_of(source: str, kind: Kind, ignore: Ignore) -> list[Part]:
    """The files of a source, each with its split where the source brings splits. ConfigError for what is none that can be read."""
    path, known = Path(source), [*READERS, *kind.formats]
    if parts.is_pattern(source):
        return parts.matching(source, ignore)
    if path.suffix.lower() in known and not path.is_dir():
        return [Part(path)]
    if path.is_dir() and kind.formats and parts.kind_of(path, kind.formats) is not None:
        return parts.by_name(path, sorted(one for one in path.rglob("*") if one.suffix.lower() in kind.formats), ignore)
    if path.is_dir():
        return parts.parts(path, ignore)
    raise ConfigError(
        f"data.source: {path} is no file of rows that can be read{hub.hint(source)} (known are {', '.join(known)})"
    )


def sources(data: LabelledData, kind: Kind, tally: Tally) -> list[tuple[str, str | None]]:
    """(file, the split that all its rows go to; None: by their hash)."""
    found = [(str(part.path), part.split) for part in parts_of(data.source, kind, tally.ignore)]
    return with_own(data, found, lambda source: parts_of(source, kind, tally.ignore))


def rows_of(path: Path, kind: Kind) -> Iterator[Row]:
    """Every row of a file. DataError when it holds none."""
    own = kind.formats.get(path.suffix.lower())
    found = own(path) if own else kind.rows(rows(path))
    first = next(found, None)
    if first is None:
        raise DataError(f"{path} holds no row")
    return chain([first], found)


def drafts(data: LabelledData, kind: Kind, tally: Tally, limit: int | None = None) -> Iterator[Draft]:
    """The examples of all sources; what cannot be used is counted. DataError when a file has no column of that name."""
    found = sources(data, kind, tally)
    given = {split for _, split in found}
    for source, split in found:
        for row in islice(rows_of(Path(source), kind), limit):
            draft = one(row, kind, data.columns, tally)
            if draft is not None:
                apart = split if split != "train" else None
                yield draft._replace(split=apart or split_of("\t".join(draft.texts), data, given))


def one(row: Row, kind: Kind, columns: Mapping[str, str], tally: Tally, *, way: str = NAME_IT) -> Draft | None:
    """The example of a row, without a split; None for one that cannot be used, which is counted.

    DataError when a column is missing, with a `way` out, in which {name} is what the task calls it.
    """
    tally.read += 1
    if row.values is None:
        tally.drop(row.problem, row.place)
        return None
    _require_columns(row, kind, columns, way)
    named = {name: columns.get(name, name) for name in (*kind.texts, *kind.targets, *kind.beside)}
    try:
        texts = tuple(_text(row.values.get(named[name]), named[name]) for name in kind.texts)
        target = kind.read({name: row.values.get(named[name]) for name in (*kind.targets, *kind.beside)}, texts)
        _require_whole(json.dumps(target, ensure_ascii=False), named[kind.targets[0]])
    except BadInput as error:
        tally.drop(str(error), row.place)
        return None
    if row.problem:
        tally.note(row.problem, row.place)
    return Draft(row.place, texts, target, _fields(row, set(named.values()), tally), "")


def _fields(row: Row, used: Collection[str], tally: Tally) -> dict[str, str]:
    """The columns beside those that are used; one that holds half of a surrogate pair is left out, and noted."""
    found = {}
    for name, value in (row.values or {}).items():
        if name in used:
            continue
        try:
            _require_whole(f"{name}{_cell(value)}", name)
            found[name] = _cell(value)
        except BadInput as error:
            tally.note(f"{error}, which is left out", row.place)
    return found


def require_known_columns(kind: Kind, columns: Mapping[str, str]) -> None:
    """ConfigError for a name that the task does not read, and for a column that would be two of those that it reads."""
    known = (*kind.texts, *kind.targets, *kind.beside)
    if unknown := [name for name in columns if name not in known]:
        raise ConfigError(
            f"data.columns: nothing is read by the name {unknown[0]!r}{suggest(unknown[0], known)} (it reads {', '.join(known)})"
        )
    named = Counter(columns.get(name, name) for name in (*kind.texts, *kind.targets))
    if twice := [column for column, count in named.items() if count > 1]:
        raise ConfigError(f"data.columns: {twice[0]!r} is named for two of {', '.join((*kind.texts, *kind.targets))}")


def _require_columns(row: Row, kind: Kind, columns: Mapping[str, str], way: str) -> None:
    values: Mapping[str, Any] = row.values or {}
    for name in (*kind.texts, *kind.targets):
        column = columns.get(name, name)
        if column not in values:
            raise DataError(
                f"{row.place} has no column {column!r}{suggest(column, values)} (columns are {few(values, SHOWN)}): "
                + way.format(name=name)
            )


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"no text in column {column!r}")
    if not value.strip():
        raise BadInput(f"an empty text in column {column!r}")
    if len(value) > LONGEST:
        raise BadInput(f"a text of more than {LONGEST:,} characters in column {column!r}")
    _require_whole(value, column)
    return value


def _require_whole(text: str, column: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"half of a surrogate pair in column {column!a}") from error


def _cell(value: Any) -> str:
    """Of a column beside: its text, "" for what holds none."""
    return (
        value
        if isinstance(value, str)
        else ""
        if value is None or isinstance(value, dict | list | bytes)
        else str(value)
    )
