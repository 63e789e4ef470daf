"""What a table should be looked at for before anything is learned from it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bmtool.base.delimited import number
from bmtool.data.tally import Tally
from bmtool.tables.columns import Schema

if TYPE_CHECKING:
    from bmtool.tables.prepare import Kept

FEW = 20  # rows below which values that are all different say nothing


def warnings(schema: Schema, kept: Sequence["Kept"], learned: Sequence[str]) -> list[str]:
    """Of rows by their columns and splits; `learned` are the splits that are the training rows themselves."""
    training = [row.cells for row in kept if row.split == "train"]
    truths = [cells[schema.target] for cells in training]
    found = [f"{split} is the training rows themselves: figures show what was learned by heart" for split in learned]
    for column in schema.columns:
        cells = [cells.get(column.name, "") for cells in training]
        found += _of_column(column.name, cells, truths, schema.target)
    return found + list(_repeated(schema, kept))


def of_dropped(tally: Tally) -> Iterator[str]:
    """When more rows were dropped than kept."""
    if tally.kept < tally.read / 2:
        (reason, count), *_ = tally.dropped.most_common()
        yield f"{tally.read - tally.kept:,} of {tally.read:,} rows were dropped, most ({count:,}) for: {reason}"


def _of_column(name: str, cells: list[str], truths: list[str], target: str) -> Iterator[str]:
    distinct = len(set(cells))
    if distinct == 1:
        yield f"column {name!r} is always {cells[0]!r}: it says nothing"
    elif distinct == len(cells) >= FEW and not any(_is_fraction(text) for text in cells):
        yield f"column {name!r} is different in every row, like a number of rows: put it in data.columns.ignore"
    elif cells == truths or (len(cells) >= FEW and _same_partition(cells, truths)):
        yield f"column {name!r} tells {target!r} all by itself: if it is not known before the target is, put it in data.columns.ignore"


def _is_fraction(text: str) -> bool:
    return number(text.replace(",", ".")) is not None and not text.lstrip("+-").isdigit()


def _same_partition(cells: list[str], truths: list[str]) -> bool:
    """Whether each value goes with one target and each target with one value, some of them more than once."""
    pairs = len(set(zip(cells, truths)))
    return pairs == len(set(cells)) == len(set(truths)) < len(cells)


def _repeated(schema: Schema, kept: Sequence["Kept"]) -> Iterator[str]:
    """Rows with the same columns in several splits, which files of their own can have."""
    seen: dict[str, set[tuple[str, ...]]] = {}
    for row in kept:
        seen.setdefault(row.split, set()).add(tuple(row.cells.get(column.name, "") for column in schema.columns))
    for split in ("valid", "test"):
        if both := len(seen.get("train", set()) & seen.get(split, set())):
            yield f"{both:,} different rows of the training split are in {split} too: figures of it are too good"
