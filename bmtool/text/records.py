"""Records of several columns: what each column is for, and a record as one line.

A record becomes the columns that are text, then its targets, with a tab between them. Text is cleaned; of it one column is measured
by the filters. Targets (labels, translations, spans) are kept as they are, as JSON text, which holds no tab and no newline.
"""

import json
from dataclasses import dataclass
from typing import Any

# Begins what is said of a record without the columns of any layout.
NO_COLUMN = "no column"


@dataclass(frozen=True)
class Layout:
    """The columns of a record, in the order of a tsv file without a header."""

    columns: tuple[str, ...]
    targets: tuple[str, ...] = ()
    measured: str = ""  # empty: the last column that is text

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column not in self.targets)

    @property
    def column(self) -> int:
        """The place of the measured column among the texts."""
        return self.texts.index(self.measured) if self.measured else len(self.texts) - 1


PLAIN = Layout(("text",))


@dataclass(frozen=True)
class Record:
    texts: list[str]
    targets: list[str]  # JSON


def measured_text(sentence: str, column: int) -> str:
    """What is measured of a sentence or record: the text in `column`."""
    return sentence.split("\t")[column] if "\t" in sentence else sentence


def measured_texts(sentences: list[str], column: int) -> list[str]:
    return [measured_text(sentence, column) for sentence in sentences]


def from_json(line: str, layouts: tuple[Layout, ...]) -> Record | str:
    """The record in a line of JSON, by the first layout whose columns it has; or what is wrong with it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "not JSON"
    for layout in layouts:
        if isinstance(value, dict) and _has(value, layout):
            return _record(value, layout)
    return f"{NO_COLUMN} " + " or ".join(", ".join(layout.columns) for layout in layouts)


def _has(value: dict, layout: Layout) -> bool:
    texts = (value.get(column) for column in layout.texts)
    return all(isinstance(text, str) for text in texts) and all(column in value for column in layout.targets)


def _record(value: dict, layout: Layout) -> Record | str:
    try:
        targets = [as_target(value[column]) for column in layout.targets]
    except (ValueError, RecursionError):
        return "a target that JSON has no form for (NaN, infinity)"
    texts = [value[column] for column in layout.texts]
    try:
        "".join([*texts, *targets]).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return Record(texts, targets)


def as_target(value: Any) -> str:
    """JSON text of a target; ValueError for NaN and infinity."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def header_of(line: str, layout: Layout) -> list[str] | None:
    """The columns that the first line of a tsv file names, when those of the layout are all among them."""
    names = [cell.strip() for cell in line.removeprefix("\ufeff").split("\t")]
    return names if set(layout.columns) <= set(names) else None


def from_cells(line: str, names: list[str], layout: Layout) -> Record | str:
    """The record in a line of a tsv file whose columns are `names`; or what is wrong with it."""
    cells = line.removesuffix("\r").split("\t")
    if len(cells) != len(names):
        return f"not {len(names)} columns ({', '.join(names)})"
    found = dict(zip(names, cells))
    return Record([found[column] for column in layout.texts], [as_target(found[column]) for column in layout.targets])
