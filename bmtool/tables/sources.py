"""Rows of tables as text, from where they lie: what `bmtool.sources` reads, and example sets of scikit-learn."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base import delimited
from bmtool.base.needs import needs
from bmtool.base.suggest import suggest
from bmtool.config.table import EXAMPLES
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.sources import columnar, hub, parts
from bmtool.sources import rows as tables
from bmtool.sources.parts import Ignore, Part
from bmtool.tables import lists as lists_of

SHOWN = 40  # characters of a value that cannot be used
_TEXTS = ("text", "class")  # kinds of columns by columns whose values always have a form


class Row(NamedTuple):
    """`cells` by the names of their columns; None where a row is broken, and `problem` says why."""

    place: str  # file:line
    cells: dict[str, str] | None
    problem: str = ""


def parts_of(source: str, ignore: Ignore) -> list[Part]:
    """The files of a source, each with its split where the source brings splits; of an example set its name.

    ConfigError for what is no table that can be read.
    """
    path = Path(source)
    if source in EXAMPLES or (path.suffix.lower() in tables.READERS and not parts.is_pattern(source)):
        return [Part(path)]
    if parts.is_pattern(source):
        return parts.matching(source, ignore)
    if path.is_dir():
        return parts.parts(path, ignore)
    known = [*tables.READERS, *EXAMPLES]
    raise ConfigError(
        f"data.source: {path} is no table that can be read{suggest(source, EXAMPLES)}{hub.hint(source)} (known are {', '.join(known)})"
    )


def rows(source: str, leaving: Collection[str] = (), lists: Collection[str] = ()) -> Iterator[Row]:
    """Every row of a source; what stands in the columns of `leaving` need be no cell, and is "" where it is none. A list is a cell in
    those of `lists` alone.

    DataError when it cannot be read, has no names or holds no row.
    """
    found = chain.from_iterable(_rows(part.path, leaving, lists) for part in parts_of(source, lambda kind, path: None))
    first = next(found, None)
    if first is None:
        raise DataError(f"{source} holds no row")
    return chain([first], found)


def _rows(path: Path, leaving: Collection[str], lists: Collection[str]) -> Iterator[Row]:
    if str(path) in EXAMPLES:
        return _examples(str(path))
    held = columnar.columns(path) if path.suffix.lower() in columnar.SUFFIXES else []
    # What a column holds that is left out need not even have a form in Python.
    only = [one.name for one in held if one.name not in leaving or one.kind in _TEXTS] if held else None
    left = dict.fromkeys((one.name for one in held if one.name in leaving), "")
    return (_record(row, _reader(leaving, lists), left) for row in tables.rows(path, only))


def cell(value: Any) -> str:
    """A value of JSON or Parquet as a .csv has it; "" for none. BadInput for a list, an object or bytes."""
    if value is None:
        return ""
    if isinstance(value, (dict, list, bytes)):
        raise BadInput(
            f"{str(value)[:SHOWN]} is a list or an object: a column holds a text, a number, true, false or null"
        )
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _left(value: Any) -> str:
    """A cell of a column that is not learned from; "" for what is none."""
    try:
        text = cell(value)
        text.encode()
    except (BadInput, UnicodeEncodeError):
        return ""
    return text


def decimal_commas(source: str) -> dict[str, str]:
    """See `delimited.decimal_commas`; none in what is not of that kind."""
    path = Path(source)
    return delimited.decimal_commas(path) if path.suffix.lower() in (".csv", ".tsv") else {}


def _reader(leaving: Collection[str], lists: Collection[str]) -> Callable[[str, Any], str]:
    """How a value of a column becomes a cell."""

    def read(name: str, value: Any) -> str:
        if name in leaving:
            return _left(value)
        return listed(value) if name in lists else cell(value)

    return read


def listed(value: Any) -> str:
    """A cell that may be a list."""
    return lists_of.cell(value) if isinstance(value, (list, tuple)) else cell(value)


def _record(row: tables.Row, read: Callable[[str, Any], str], left: Mapping[str, str]) -> Row:
    """`left` are the columns that were not read, as empty cells."""
    if row.values is None:
        return Row(*row)
    cells = dict(left)
    for name, value in row.values.items():
        try:
            cells[name] = read(name, value)
        except BadInput:
            return Row(row.place, None, f"column {name!r} holds a list, an object or bytes")
    try:
        "".join([*cells, *cells.values()]).encode()
    except UnicodeEncodeError:
        return Row(row.place, None, "half of a surrogate pair")
    return Row(row.place, cells)


# --- example sets ---


def _examples(name: str) -> Iterator[Row]:
    """A table that comes with scikit-learn, in the units it was measured in."""
    with needs("scikit-learn", f"data.source: {name} comes with scikit-learn"):
        from sklearn import datasets
    loader, target = EXAMPLES[name]
    found = getattr(datasets, loader)(**({"scaled": False} if name == "diabetes" else {}))
    labels = getattr(found, "target_names", None)
    for count, (values, truth) in enumerate(zip(found.data.tolist(), found.target.tolist()), start=1):
        cells = dict(zip(found.feature_names, map(str, values)))
        yield Row(f"{name}:{count}", cells | {target: str(truth if labels is None else labels[truth])})
