"""Rows of tables from where they lie: .csv (comma, semicolon or tab), .tsv, .jsonl, .parquet, and example sets of scikit-learn."""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base import delimited
from bmtool.base.needs import needs
from bmtool.base.suggest import suggest
from bmtool.config.table import EXAMPLES
from bmtool.errors import BadInput, ConfigError, DataError

SHOWN = 40  # characters of a value that cannot be used
NOT_PLAIN = "no JSON object of names and plain values"


class Row(NamedTuple):
    """`cells` by the names of their columns; None where a row is broken, and `problem` says why."""

    place: str  # file:line
    cells: dict[str, str] | None
    problem: str = ""


def rows(source: str) -> Iterator[Row]:
    """Every row of a file or an example set. DataError when it cannot be read, has no names or holds no row."""
    found = _examples(source) if source in EXAMPLES else _file(Path(source))
    first = next(found, None)
    if first is None:
        raise DataError(f"{source} holds no row")
    return chain([first], found)


def cell(value: Any) -> str:
    """A value of JSON or Parquet as a .csv has it; "" for none. BadInput for a list or an object."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise BadInput(
            f"{str(value)[:SHOWN]} is a list or an object: a column holds a text, a number, true, false or null"
        )
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def decimal_commas(source: str) -> dict[str, str]:
    """See `delimited.decimal_commas`; none in what is not of that kind."""
    return delimited.decimal_commas(Path(source)) if _READERS.get(Path(source).suffix.lower()) is _delimited else {}


def _file(path: Path) -> Iterator[Row]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = [*_READERS, *EXAMPLES]
        raise ConfigError(
            f"data.source: {path} is no table that can be read{suggest(str(path), EXAMPLES)} (known are {', '.join(known)})"
        )
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _delimited(path: Path) -> Iterator[Row]:
    for line, cells in delimited.rows(path):
        yield Row(f"{path}:{line}", cells, "" if cells else delimited.RAGGED)


# --- JSON lines, Parquet ---


def _lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as stream:
        for count, line in enumerate(stream, start=1):
            if line.strip():
                yield _parsed(f"{path}:{count}", line)


def _parsed(place: str, line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Row(place, None, "not JSON")
    return _record(place, value) if isinstance(value, dict) else Row(place, None, NOT_PLAIN)


def _record(place: str, held: dict[str, Any]) -> Row:
    try:
        cells = {name: cell(value) for name, value in held.items()}
        "".join([*cells, *cells.values()]).encode()
    except BadInput:
        return Row(place, None, NOT_PLAIN)
    except UnicodeEncodeError:
        return Row(place, None, "half of a surrogate pair")
    return Row(place, cells)


def _parquet(path: Path) -> Iterator[Row]:
    with needs("pyarrow", f"{path} takes pyarrow"):
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    try:
        with ParquetFile(path) as file:
            count = 0
            for batch in file.iter_batches():
                for held in batch.to_pylist():
                    count += 1
                    yield _record(f"{path}:{count}", held)
    except ArrowException as error:
        raise DataError(f"{path} is no Parquet file: {error}") from error


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _delimited, ".tsv": _delimited, ".jsonl": _lines, ".parquet": _parquet,
}  # fmt: skip


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
