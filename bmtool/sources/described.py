"""What a folder of data holds, as the lines of a configuration that read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bmtool.base.units import few
from bmtool.errors import DataError
from bmtool.sources import columnar, parts, tars
from bmtool.sources.columnar import Column
from bmtool.sources.rows import rows

_SHOWN = 20
# What has no columns: what it is, its suffixes, the line that reads it.
_PLAIN = (
    ("tars of WebDataset, for a task on images", {tars.SUFFIX}, "source: {}"),
    ("files of images, for a task on images", {".jpg", ".jpeg"}, "source: {}"),
    ("files of images, for a task on images", {".png"}, "source: {}"),
    ("plain text, for a task on text", {".txt"}, "sources: [{}]"),
)


def config_lines(folder: Path) -> Iterator[str]:
    """YAML with comments: a `data` section for each kit that can read what lies there, and columns that are called otherwise than usual."""
    for what, suffixes, source in _PLAIN:
        if parts.kind_of(folder, suffixes):
            yield from (f"# {what}", "data:", f"  {source.format(folder)}")
            return
    try:
        found = parts.parts(folder, lambda kind, path: None)
        held = _columns(found[0].path)
    except DataError as error:
        yield f"# name what is meant of {folder}: {error}"
        return
    if told := parts.told(parts.brought(found)):
        yield f"# {told}"
    yield f"# columns: {few([_told(column) for column in held], _SHOWN)}"
    images, texts = ([column for column in held if column.kind == kind] for kind in ("image", "text"))
    others = [column for column in held if column.kind in ("class", "value")]
    if images:
        yield from _section("a task on images", f"source: {folder}", {"image": images[0], "label": _class(held)})
        return
    if texts:
        yield from _section("a task on text", f"sources: [{folder}]", {"text": texts[0]})
    if others:
        yield from (
            "# for a task on tables",
            "data:",
            f"  source: {folder}",
            f"  target: {(_class(held) or others[-1]).name}",
        )


def _section(what: str, source: str, columns: dict[str, Column | None]) -> Iterator[str]:
    """`columns` are the fields of a kit; those that are called as their field need not be named."""
    yield from (f"# for {what}", "data:", f"  {source}")
    named = [
        f"{field}: {column.name}" for field, column in columns.items() if column is not None and column.name != field
    ]
    if named:
        yield f"  columns: {{{', '.join(named)}}}"


def _class(held: list[Column]) -> Column | None:
    return next((column for column in held if column.kind == "class"), None)


def _told(column: Column) -> str:
    names = f": {few(column.classes, 5)}" if column.classes else ""
    return f"{column.name} ({column.kind}{names})"


def _columns(path: Path) -> list[Column]:
    """Of a file by columns what it says; of another what its first row holds."""
    if path.suffix.lower() in columnar.SUFFIXES:
        return columnar.columns(path)
    first: dict[str, Any] = next((row.values for row in rows(path) if row.values), {})
    return [Column(name, _kind(value)) for name, value in first.items()]


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "nested" if isinstance(value, (list, dict)) else "value"
