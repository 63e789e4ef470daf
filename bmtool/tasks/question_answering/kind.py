"""How question-answering reads rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from bmtool.config.labelled import LabelledData
from bmtool.errors import DataError
from bmtool.sources.rows import Row, rows
from bmtool.tasks.question_answering import reading
from bmtool.text.labelled.kind import Draft, Kind, Schema

RULES = 2
ANSWERED, UNANSWERABLE = "answered in the text", "without an answer"


class Target(TypedDict):
    """Where the answers stand, as characters [start, end] of the context; none for a question without one. `notes` are what was guessed."""

    spans: list[list[int]]
    notes: list[str]


def _read(row: Mapping[str, Any], texts: tuple[str, ...]) -> Target:
    found = reading.answers(row, texts[1])
    return {"spans": [list(span) for span in found.spans], "notes": list(found.notes)}


def _json(path: Path) -> Iterator[Row]:
    return reading.nested(path) if reading.is_nested(path) else rows(path)


def _describe(training: Sequence[Draft]) -> Schema:
    """Whether some questions have no answer: else it is never said that there is none."""
    answered = Counter(bool(draft.target["spans"]) for draft in training)
    if not answered[True]:
        raise DataError("data.source: no question has an answer: there is nothing to learn")
    return {"unanswerable": answered[False] > 0}


def _counted(target: Target) -> list[str]:
    return [ANSWERED if target["spans"] else UNANSWERABLE]


def _warnings(drafts: Sequence[Draft], schema: Schema) -> Iterator[str]:
    """What was guessed or dropped of the answers of questions that are kept."""
    counts = Counter(note for draft in drafts for note in draft.target["notes"])
    first = {note: draft.place for draft in reversed(drafts) for note in draft.target["notes"]}
    yield from (f"{count:,} x {note}  e.g. {first[note]}" for note, count in counts.most_common())
    trained = {draft.texts[1] for draft in drafts if draft.split == "train"}
    measured = {draft.texts[1] for draft in drafts if draft.split != "train"}
    if both := len(trained & measured):
        yield (
            f"{both:,} of {len(measured):,} texts that are measured on stand in training too, with other questions: "
            "figures are of such texts; data.valid and data.test name files of others"
        )


KIND = Kind(
    "question-answering", RULES, ("question", "context"), ("answers",), _read, _describe, lambda draft, schema: "",
    formats={".json": _json}, counted=_counted, warnings=_warnings, beside=("is_impossible",),
)  # fmt: skip


def kind_of(data: LabelledData) -> Kind:
    """The same whatever the configuration says."""
    return KIND
