"""How token-classification reads rows: its own, those of doccano and Label Studio, lists of tokens and tags, files of columns."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bmtool.base.files import parse_json
from bmtool.data.names import look_alike, require_apart
from bmtool.errors import BadInput, DataError
from bmtool.measure.spans import Span
from bmtool.sources.rows import Row
from bmtool.tasks.token_classification import columns, targets
from bmtool.tasks.token_classification.config import Data
from bmtool.text.labelled.kind import Draft, Kind, Schema

RULES = 2
TEXT, SPANS = "text", "spans"
# What files call them where data.columns does not say.
TOKENS, ALSO_SPANS = ("tokens", "words"), ("entities", "label", "labels", "tags", "ner_tags")


def kind_of(data: Data) -> Kind:
    return Kind(
        "token-classification", RULES, (TEXT,), (SPANS,), lambda row, texts: row[SPANS], _describe, _unfit,
        formats=dict.fromkeys(columns.SUFFIXES, _columns), row=partial(_plain, data=data),
        counted=lambda target: [label for *_, label in target], warnings=_warnings,
    )  # fmt: skip


# --- rows ---


def _columns(path: Path) -> Iterator[Row]:
    said, found = columns.sentences(path)
    for one in found:
        values = None if one.text is None else {TEXT: one.text, SPANS: _lists(one.spans)}
        yield Row(one.place, values, one.problem or said)


def _lists(spans: Sequence[Span]) -> list[list[Any]]:
    """As JSON has them."""
    return [list(span) for span in spans]


def _plain(row: Row, data: Data) -> Row:
    """With a text and a list of [start, end, type] in the columns that `data.columns` names; what was guessed is its problem."""
    if row.values is None:
        return row
    try:
        values = _annotated(row.values)
        text, spans = data.columns.get(TEXT, TEXT), data.columns.get(SPANS, SPANS)
        given = _given(values, text, TOKENS), _given(values, spans, ALSO_SPANS)
        if None in given:
            return row._replace(values=values)
        held, marked = (values.pop(name) for name in given)
        held, marked, guessed = _read(held, marked, data)
        return Row(row.place, values | {text: held, spans: marked}, guessed)
    except BadInput as error:
        return Row(row.place, None, str(error))


def _given(values: Mapping[str, Any], name: str, others: Sequence[str]) -> str | None:
    """The column of this name, or the first of others where its name is the one that the task has for it."""
    return next((one for one in (name, *(others if name in (TEXT, SPANS) else ())) if one in values), None)


def _read(held: Any, marked: Any, data: Data) -> tuple[Any, Any, str]:
    """(text, spans as lists, what was guessed)."""
    if isinstance(held, Sequence) and not isinstance(held, str | bytes):
        text, found = targets.of_tokens(held, marked)
        return text, _lists(found), ""
    if not isinstance(held, str):
        raise BadInput("no text")
    found, guessed = targets.read(held, _parsed(marked), data.offsets)
    return held, _lists(found), guessed


def _parsed(marked: Any) -> Any:
    """A list that a cell of a table holds as JSON."""
    if not isinstance(marked, str):
        return marked
    try:
        return parse_json(marked or "[]", list[Any], origin="spans", again="")
    except DataError:
        return marked


def _annotated(values: Mapping[str, Any]) -> dict[str, Any]:
    """A task of Label Studio as a row: its data, and what was marked in its annotation. BadInput where there is none, or several differ."""
    if not isinstance(values.get("data"), Mapping) or not isinstance(values.get("annotations"), list):
        return dict(values)
    held = [one["result"] for one in values["annotations"] if isinstance(one, Mapping) and _is_valid(one)]
    each = [[item for item in result if isinstance(item, Mapping) and item.get("type") == "labels"] for result in held]
    if not each:
        raise BadInput("a task without an annotation")
    if any(_marked(one) != _marked(each[0]) for one in each):
        raise BadInput("annotations of one text that differ: keep one of them")
    return {**values["data"], SPANS: each[0]}


def _is_valid(annotation: Mapping[str, Any]) -> bool:
    return isinstance(annotation.get("result"), list) and not annotation.get("was_cancelled")


def _marked(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """What annotations are compared by: their marks without who made them and how."""
    return sorted(str(item.get("value")) for item in items)


# --- what is found out from the training examples ---


def _describe(training: Sequence[Draft]) -> Schema:
    """The types, by their names."""
    names = sorted({label for draft in training for *_, label in draft.target})
    if not names:
        raise DataError(
            "data.source: no training text has a span: --set data.columns says which column holds the spans"
        )
    require_apart(names, "data.source")
    return {"labels": names}


def _unfit(draft: Draft, schema: Schema) -> str:
    unknown = {label for *_, label in draft.target} - set(schema["labels"])
    return "a type of spans that no training example has" if unknown else ""


def _warnings(drafts: Sequence[Draft], schema: Schema) -> Iterator[str]:
    yield from look_alike(schema["labels"])
