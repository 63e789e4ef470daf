"""What a table should be looked at for before anything is learned from it."""

from collections.abc import Iterator, Sequence

from bmtool.base.delimited import number
from bmtool.config.document import inline
from bmtool.config.splits import TRAIN
from bmtool.config.table import FieldData, TableData
from bmtool.data.tally import Tally
from bmtool.tables.columns import Schema
from bmtool.tables.splits import Kept

IGNORE = "data.columns.ignore"
LONG = 12  # letters on average of what is no name or number any more
MANY_NAMES = 1_000_000  # categories
FEW = 20  # rows below which values that are all different say nothing


def warnings(data: TableData, schema: Schema, kept: Sequence[Kept]) -> list[str]:
    """Of rows by their columns and splits."""
    training = [row.cells for row in kept if row.split == "train"]
    truths = [cells[schema.target] for cells in training]
    learned = [split for split in ("valid", "test") if getattr(data, split) == TRAIN]
    found = [f"{split} is the training rows themselves: figures show what was learned by heart" for split in learned]
    for column in schema.columns:
        cells = [cells.get(column.name, "") for cells in training]
        found += _of_column(column.name, cells, truths, schema.target)
    if not isinstance(data, FieldData):
        return found + list(_repeated(schema, kept))
    # What comes again at another time is no copy.
    return [*found, *_of_names(schema), *([] if data.split == "time" else _repeated(schema, kept))]


def _of_names(schema: Schema) -> Iterator[str]:
    """Of columns whose categories are so many that what they are called weighs on every run."""
    for column in schema.columns:
        if len(column.categories) > MANY_NAMES:
            yield (
                f"column {column.name!r}: {len(column.categories):,} names go into every run and export; data.columns.hashed keeps none, "
                "and data.columns.min_count fewer"
            )


def leaving_out(schema: Schema, said: Sequence[str]) -> Iterator[str]:
    """What to type so that the columns are left out of which warnings say so."""
    names = [one.name for one in schema.columns if any(_says_so(line, one.name) for line in said)]
    if names:
        yield f"to leave {', '.join(names)} out: --set '{IGNORE}={inline([*schema.ignored, *names])}', or that list in the config"


def _says_so(line: str, name: str) -> bool:
    return line.startswith(f"column {name!r} ") and IGNORE in line


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
        like = "free text, which is not read: each is one category" if _is_prose(cells) else "like a number of rows"
        yield f"column {name!r} is different in every row, {like}: put it in {IGNORE}"
    elif cells == truths or (len(cells) >= FEW and _same_partition(cells, truths)):
        yield f"column {name!r} tells {target!r} all by itself: if it is not known before the target is, put it in {IGNORE}"


def _is_prose(cells: Sequence[str]) -> bool:
    """Whether most are words or sentences: of several words, or of letters such as hanzi, which are not spaced."""
    wordy = sum(" " in text.strip() or not text.isascii() for text in cells)
    return wordy > len(cells) / 2 and sum(map(len, cells)) > LONG * len(cells)


def _is_fraction(text: str) -> bool:
    return number(text.replace(",", ".")) is not None and not text.lstrip("+-").isdigit()


def _same_partition(cells: list[str], truths: list[str]) -> bool:
    """Whether each value goes with one target and each target with one value, some of them more than once."""
    pairs = len(set(zip(cells, truths)))
    return pairs == len(set(cells)) == len(set(truths)) < len(cells)


def _repeated(schema: Schema, kept: Sequence[Kept]) -> Iterator[str]:
    """Rows with the same columns in several splits, which files of their own can have."""
    seen: dict[str, set[tuple[str, ...]]] = {}
    for row in kept:
        seen.setdefault(row.split, set()).add(tuple(row.cells.get(column.name, "") for column in schema.columns))
    for split in ("valid", "test"):
        if both := len(seen.get("train", set()) & seen.get(split, set())):
            yield f"{both:,} different rows of the training split are in {split} too: figures of it are too good"
