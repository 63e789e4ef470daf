"""Records of several columns: what each column is for, and a record as one line.

A record becomes the columns that are text, then its targets, with a tab between them. Text is cleaned; of it one column is measured
by the filters. Targets (labels, translations, spans) are kept as they are, as JSON text, which holds no tab and no newline.
"""

import json
from dataclasses import dataclass
from typing import Any

from bmtool.errors import BadInput
from bmtool.text.chat import turns

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

    def fits(self, value: dict) -> bool:
        texts = (value.get(column) for column in self.texts)
        return all(isinstance(text, str) for text in texts) and all(column in value for column in self.targets)

    def record(self, value: dict) -> "Record | str":
        """A record that fits; or what is wrong with it."""
        try:
            targets = [as_target(value[column]) for column in self.targets]
        except (ValueError, RecursionError):
            return "a target that JSON has no form for (NaN, infinity)"
        return _encodable(Record([value[column] for column in self.texts], targets))


@dataclass(frozen=True)
class Dialogue(Layout):
    """Turns in one column, or a prompt and a response in two. The text is all that is said in it; the turns are the target."""

    @property
    def texts(self) -> tuple[str, ...]:
        return ("said",)

    def fits(self, value: dict) -> bool:
        return all(column in value for column in self.columns)

    def record(self, value: dict) -> "Record | str":
        given = [value[column] for column in self.columns]
        if len(given) == 2:
            given = [[{"role": role, "content": said} for role, said in zip((turns.USER, turns.ASSISTANT), given)]]
        try:
            found = turns.to_learn(given[0])
        except BadInput as error:
            return str(error)
        return _encodable(Record([" ".join(one["content"] for one in found)], [as_target(found)]))


PLAIN = Layout(("text",))
DIALOGUES = (Dialogue(("prompt", "response")), Dialogue(("messages",)))


@dataclass(frozen=True)
class Record:
    texts: list[str]
    targets: list[str]  # JSON


def turns_of(sentence: str) -> list[turns.Turn]:
    """The turns of a dialogue: its text, a tab, and they as JSON."""
    return json.loads(sentence.rpartition("\t")[2])


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
        if isinstance(value, dict) and layout.fits(value):
            return layout.record(value)
    return f"{NO_COLUMN} " + " or ".join(", ".join(layout.columns) for layout in layouts)


def _encodable(record: Record) -> Record | str:
    try:
        "".join([*record.texts, *record.targets]).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return record


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
    return layout.record(dict(zip(names, cells)))
