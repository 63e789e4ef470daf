"""Images in tables: inside of them (.parquet, .arrow), or as files that their rows name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bmtool.base.units import few
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.images import lists
from bmtool.images.items import Item
from bmtool.images.lists import NAMES, UNLABELLED, require_column
from bmtool.sources import columnar
from bmtool.sources.cells import Cell
from bmtool.sources.columnar import Column

_SHOWN = 10  # columns in an error
_HOLDS_IMAGES = ("image", "text")


def items(path: Path, columns: Mapping[str, str], tally: Tally) -> list[Item]:
    """The images of a table, undecoded; `columns` are the names of other columns than usual.

    DataError when it cannot be told which column the images are in, or which of several classes is meant.
    """
    if path.suffix.lower() not in columnar.SUFFIXES:
        return lists.items(path, tally, columns)
    held = columnar.columns(path)
    image = _image(path, held, columns.get("image"))
    if image.kind == "text":
        return lists.items(path, tally, columns)
    label = _label(path, held, columns.get("label"))
    for column in held:
        if column not in (image, label):
            tally.ignore(f"column {column.name!r}", str(path))
    others = [column.name for column in held if column not in (image, label) and column.kind in ("text", "class")]
    return list(_inside(path, image, label, tally, others))


def _inside(path: Path, image: Column, label: Column | None, tally: Tally, others: Sequence[str]) -> Iterator[Item]:
    """`others` are columns beside, which always have a form as text."""
    if label is None:
        yield from (
            Item(f"{path}:{row + 1}", None, None, Cell(path, row, image.name)) for row in range(columnar.length(path))
        )
        return
    for row, (place, values, problem) in enumerate(columnar.rows(path, {label.name, *others})):
        name = lists.text(values[label.name]) if values is not None else ""
        if name:
            fields = {one: lists.text(values[one]) for one in others} if values is not None else {}
            yield Item(place, name, None, Cell(path, row, image.name), fields=fields)
        else:
            tally.read += 1
            tally.drop(problem or UNLABELLED, place)


def _image(path: Path, held: list[Column], named: str | None) -> Column:
    column = _column(path, held, "image", named)
    if column is not None and column.kind in _HOLDS_IMAGES:
        return column
    if column is not None:
        raise DataError(f"{path}: the column {column.name!r} holds no images and no paths, but {column.kind}s")
    raise _unclear(path, held, "image", [column.name for column in held if column.kind == "image"])


def _label(path: Path, held: list[Column], named: str | None) -> Column | None:
    """None where there are no classes. DataError when there are some that are called otherwise."""
    column = _column(path, held, "label", named)
    classes = [column.name for column in held if column.kind == "class"]
    if column is None and classes:
        raise _unclear(path, held, "label", classes)
    return column


def _column(path: Path, held: list[Column], field: str, named: str | None) -> Column | None:
    """The one that a config names, or one that is called as such columns usually are."""
    names = [column.name for column in held]
    if named is not None:
        require_column(str(path), field, named, names)
        return held[names.index(named)]
    usual = NAMES["path" if field == "image" else field]
    found = [column for column in held if column.name.casefold() in usual]
    if len(found) > 1:
        raise _unclear(path, held, field, [column.name for column in found])
    return found[0] if found else None


def _unclear(path: Path, held: list[Column], field: str, candidates: list[str]) -> DataError:
    """The error that names the columns there are; where one is likely, it says how to take it."""
    likely = (
        f": data.columns: {{{field}: {candidates[0]}}}?"
        if len(candidates) == 1
        else f": name it, data.columns: {{{field}: ...}}"
    )
    may = f", {few(candidates, _SHOWN)} may be" if len(candidates) > 1 else ""
    names = few([column.name for column in held], _SHOWN)
    return DataError(f"{path}: which column is the {field}{may} (columns are {names}){likely}")
