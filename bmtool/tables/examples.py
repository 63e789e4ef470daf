"""Rows to measure on: of a prepared split, or of a file, each as it came and with the class or number that is right."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from bmtool.base.delimited import number
from bmtool.config.table import TableData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example, reader_of
from bmtool.sources.parts import to_measure
from bmtool.tables.sources import parts_of, rows
from bmtool.tables.table import Table


def split(data: TableData, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The rows of a split in stored order."""
    table = Table(prepared, name)
    for target in {one.target for one in reads} - {table.schema.target}:
        raise DataError(
            f"{prepared} holds {table.schema.target!r} to be learned, and a model is of {target!r}: prepare its data again"
        )
    for place, cells in table.rows():
        yield Example(place, cells, truth(cells[table.schema.target], bool(table.schema.labels)), fields=cells)


def key(example: Example) -> tuple:
    """What tells a row in splits of any preparation: where it came from."""
    return example.name, example.truth


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The rows of a table that has the target as one of its columns. DataError when it has none."""
    if unit is not None:
        raise ConfigError("--unit is for text")
    reader = reader_of(reads[0])
    files = to_measure(parts_of(str(path), tally.ignore), tally.ignore)
    for row in chain.from_iterable(rows(str(file), lists=reader.schema.lists) for file in files):
        tally.read += 1
        if row.cells is None:
            tally.drop(row.problem, row.place)
            continue
        if reader.target not in row.cells:
            raise DataError(f"{path} has no column {reader.target!r}: there is nothing to compare with")
        if row.cells[reader.target] in reader.schema.missing:
            tally.drop("no target", row.place)
            continue
        right = truth(row.cells[reader.target], hasattr(reader, "labels"))
        yield Example(row.place, row.cells, right, fields=row.cells)


def truth(text: str, is_class: bool) -> str | float | None:
    """The name of a class, or a number; None for what is no number."""
    return text if is_class else number(text)
