"""Parquet files, and Arrow files (streams, as `datasets` saves them, or files): what columns they have, and their rows by batches.

What a file says of itself is not believed: a footer has a bound, a batch is validated before it is looked into, and a group of rows
that would unfold to far more than lies on the disk is refused.
"""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.needs import needs
from bmtool.errors import DataError

SUFFIXES = (".parquet", ".arrow")
MAX_FOOTER = 64 << 20  # bytes of what a Parquet file says of itself
# Columns of a group of rows that are larger unfolded, and so many times what is stored, are no data.
MAX_UNFOLDED, MAX_RATIO = 1 << 30, 500
MAX_FEATURES = 16 << 20  # bytes of what `datasets` notes of the columns
_BATCH_BYTES, _BATCH_ROWS, _BUFFER = 2 << 20, 1 << 10, 1 << 20
# Problems of a row.
NO_CLASS, NO_VALUE = "a class number without a name", "a value that cannot be read"
_SHOWN = 200  # characters of what pyarrow says


class Column(NamedTuple):
    """`kind` is "text", "image" (bytes, or an object of bytes and path), "class", "value" or "nested"."""

    name: str
    kind: str
    # of a class: the names of its numbers
    classes: tuple[str, ...] = ()


def columns(path: Path) -> list[Column]:
    """DataError when the file is none of its kind."""
    with opened(path) as file:
        return file.columns


def length(path: Path) -> int:
    """So many rows."""
    with opened(path) as file:
        return file.length()


def rows(path: Path, only: Collection[str] | None = None) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
    """(file:row, values, problem) as `sources.rows.Row` has them, of all columns or of those in `only` that are there."""
    with opened(path) as file:
        named = [column for column in file.columns if only is None or column.name in only]
        number = 0
        for batch in file.batches([column.name for column in named]):
            for values in _values(batch):
                number += 1
                yield f"{path}:{number}", *_named(values, named)


def _values(batch: Any) -> Iterator[dict[str, Any] | str]:
    """Each row of a batch; the name of a column where its value has no form in Python, such as a date before the year 1."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            yield next(name for name, column in zip(batch.schema.names, batch.columns) if not _has_form(column))
        else:
            yield from (row for at in range(batch.num_rows) for row in _values(batch.slice(at, 1)))


def _has_form(column: Any) -> bool:
    try:
        column.to_pylist()
    except (ValueError, OverflowError):
        return False
    return True


def _named(values: dict[str, Any] | str, named: list[Column]) -> tuple[dict[str, Any] | None, str]:
    """A row with the names of its classes, and what is wrong with it. A class of -1 is one that is not known, as `datasets` has it."""
    if isinstance(values, str):
        return None, f"column {values!r} holds {NO_VALUE}"
    for column in named:
        number = values[column.name]
        if column.classes and number is not None:
            if number >= len(column.classes):
                return None, NO_CLASS
            values[column.name] = column.classes[number] if number >= 0 else None
    return values, ""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A `_Parquet` or `_Arrow`. ConfigError without pyarrow; DataError for whatever goes wrong while the file is read."""
    held: list[Any] = []
    with refusing(path, lambda: f"{path}:{held[0].read + 1}" if held else str(path)):
        held.append((_Parquet if path.suffix.lower() == ".parquet" else _Arrow)(path))
        try:
            yield held[0]
        finally:
            held[0].close()


@contextmanager
def refusing(path: Path, place: Callable[[], str]) -> Iterator[None]:
    """Around what pyarrow does with a file: what it raises becomes a DataError that names the place."""
    with needs("pyarrow", f"{path} takes pyarrow"):
        from pyarrow import ArrowException
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"cannot read {path}: {error.strerror or 'no such file'}") from error
    except (ArrowException, OSError, ValueError) as error:
        said = str(error).strip().splitlines()[0][:_SHOWN] if str(error).strip() else type(error).__name__
        what = "Parquet file" if path.suffix.lower() == ".parquet" else "Arrow file"
        raise DataError(f"{place()}: no {what}, or a damaged one: {said}") from error


class _Parquet:
    """`read` counts the rows that came."""

    def __init__(self, path: Path):
        from pyarrow import parquet

        _require_footer(path)
        limits = {"thrift_string_size_limit": MAX_FOOTER, "thrift_container_size_limit": 1 << 24}
        self._path, self.read = path, 0
        # Without both, whole columns of a group of rows would be held.
        self._file = parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False, **limits)
        self.columns = _columns(path, self._file.schema_arrow)

    def length(self) -> int:
        return self._file.metadata.num_rows

    def groups(self) -> list[int]:
        """How many rows each group has."""
        return [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]

    def batches(self, names: list[str], *, group: int = 0, most: int = _BATCH_ROWS) -> Iterator[Any]:
        """Batches of at most so many rows, from a group of rows on; of no column none."""
        for number in range(group, self._file.num_row_groups if names else 0):
            size = self._size(number, names)
            rows_of_batch = max(
                1, min(most, _BATCH_BYTES * self._file.metadata.row_group(number).num_rows // max(1, size))
            )
            for batch in self._file.iter_batches(rows_of_batch, row_groups=[number], columns=names):
                batch.validate(full=True)
                yield batch
                self.read += batch.num_rows

    def _size(self, group: int, names: list[str]) -> int:
        """Bytes of these columns unfolded. DataError for a decompression bomb."""
        about = self._file.metadata.row_group(group)
        every = (about.column(number) for number in range(about.num_columns))
        chunks = [chunk for chunk in every if chunk.path_in_schema.split(".")[0] in names]
        stored, size = (sum(getattr(c, f"total_{how}_size") for c in chunks) for how in ("compressed", "uncompressed"))
        if size > max(MAX_UNFOLDED, MAX_RATIO * stored):
            raise DataError(
                f"{self._path}:{self.read + 1}: {stored:,} bytes unfold to {size:,} from here on: no data do so"
            )
        return size

    def close(self) -> None:
        self._file.close()


def _require_footer(path: Path) -> None:
    """DataError when a Parquet file ends in none, or in one of a size that it cannot have."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - 8))
        end = stream.read(8)
    if size < 12 or end[4:] != b"PAR1":
        raise DataError(f"{path} is no Parquet file, or is cut short: it does not end as one")
    footer = int.from_bytes(end[:4], "little")
    if footer > min(size - 12, MAX_FOOTER):
        raise DataError(f"{path}: a footer of {footer:,} bytes, in a file of {size:,}: it is damaged, or no data")


class _Arrow:
    """`read` counts the rows that came. What is stored is mapped, not read."""

    def __init__(self, path: Path):
        import pyarrow

        with path.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
        self.read, self._source = 0, pyarrow.memory_map(str(path))
        self._reader = (pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream)(self._source)
        self.columns = _columns(path, self._reader.schema)
        self._count = self._reader.num_record_batches if is_file else None

    def stored(self) -> Iterator[Any]:
        """Batches as they lie there, not validated; once."""
        if self._count is None:
            yield from self._reader
        else:
            yield from map(self._reader.get_batch, range(self._count))

    def length(self) -> int:
        return sum(batch.num_rows for batch in self.stored())

    def batches(self, names: list[str]) -> Iterator[Any]:
        for stored in self.stored() if names else ():
            whole = stored.select(names)
            whole.validate(full=True)
            step = max(1, min(_BATCH_ROWS, _BATCH_BYTES * whole.num_rows // max(1, whole.nbytes)))
            for start in range(0, whole.num_rows, step):
                yield whole.slice(start, step)
                self.read += min(step, whole.num_rows - start)

    def close(self) -> None:
        self._source.close()


# --- columns ---


def _columns(path: Path, schema: Any) -> list[Column]:
    """DataError when two columns have one name, or two classes of one."""
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise DataError(f"{path}: {', '.join(twice)} names more than one column")
    features = _features(path, schema.metadata or {})
    found = [_column(field, features.get(field.name)) for field in schema]
    for column in found:
        if twice := sorted({name for name in column.classes if column.classes.count(name) > 1}):
            raise DataError(f"{path}: {', '.join(twice)} names more than one class of {column.name!r}")
    return found


def _column(field: Any, feature: Any) -> Column:
    from pyarrow import types

    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    if names and types.is_integer(field.type):
        return Column(field.name, "class", tuple(map(str, names)))
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_binary(kind) or types.is_large_binary(kind) or _is_image(kind):
        return Column(field.name, "image")
    if types.is_string(kind) or types.is_large_string(kind):
        return Column(field.name, "text")
    return Column(field.name, "nested" if types.is_nested(kind) else "value")


def _is_image(kind: Any) -> bool:
    """Whether it is an object of bytes and path, as `datasets` keeps images."""
    from pyarrow import types

    return types.is_struct(kind) and {kind.field(at).name for at in range(kind.num_fields)} == {"bytes", "path"}


def _features(path: Path, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What `datasets` notes of the columns, in the file or beside it; nothing where it did not write it."""
    noted, beside = metadata.get(b"huggingface", b""), path.parent / "dataset_info.json"
    if not noted and beside.is_file() and beside.stat().st_size <= MAX_FEATURES:
        noted = beside.read_bytes()
    if not noted or len(noted) > MAX_FEATURES:
        return {}
    try:
        held = json.loads(noted)
        found = held.get("info", held).get("features")
    except (ValueError, RecursionError, AttributeError) as error:
        raise DataError(f"{path}: what is noted of its columns is damaged: {error}") from error
    return found if isinstance(found, dict) else {}
