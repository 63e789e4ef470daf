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
        "token-classification", RULES, (TEXT,), (SPANS,), _spans, _describe, _unfit,
        formats=dict.fromkeys(columns.SUFFIXES, _columns), rows=partial(_plain_rows, data=data),
        counted=lambda target: [label for *_, label in target], warnings=_warnings,
    )  # fmt: skip


# --- rows ---


def _spans(row: Mapping[str, Any], texts: tuple[str, ...]) -> list[list[Any]]:
    """BadInput where a span holds nothing that a model could find."""
    if not all(texts[0][start:end].strip() for start, end, _ in row[SPANS]):
        raise BadInput("a span of nothing but white space")
    return row[SPANS]


def _plain_rows(found: Iterator[Row], data: Data) -> Iterator[Row]:
    """Rows of a file as `Kind.rows` has them. How tags and places are to be read is seen from all of them.

    DataError where places count something else than characters in all of them.
    """
    held = list(map(_as_row, found))
    how = targets.how(pair for row in held if (pair := _tokens(row, data)) is not None)
    units, past, made = set(targets.UNITS), "", []
    for row in held:
        try:
            made.append(_plain(row, data, how))
            units &= _units(row, data)
        except BadInput as error:
            made.append(Row(row.place, None, str(error)))
            units &= getattr(error, "units", units)
            past = past or (row.place if isinstance(error, targets.PastError) else "")
    if past and units and data.offsets == "characters":
        raise DataError(
            f"{past}: a span that ends past its text, and all places of this file fit as {' or '.join(sorted(units))}: "
            f"--set data.offsets={min(units)}"
        )
    return iter(made)


def _as_row(row: Row) -> Row:
    """What Label Studio wrote is told apart once."""
    try:
        return row if row.values is None else row._replace(values=_annotated(row.values))
    except BadInput as error:
        return Row(row.place, None, str(error))


def _columns_of(row: Row, data: Data) -> tuple[str | None, str | None]:
    """Which columns of a row hold its text, or its tokens, and its spans, or its tags; None for one that is not there."""
    values = row.values or {}
    text, spans = data.columns.get(TEXT, TEXT), data.columns.get(SPANS, SPANS)
    return _given(values, text, TOKENS), _given(values, spans, ALSO_SPANS)


def _tokens(row: Row, data: Data) -> tuple[Any, Any] | None:
    """Tokens and tags of a row that has such."""
    text, spans = _columns_of(row, data)
    if row.values is None or text is None or spans is None or isinstance(row.values[text], str):
        return None
    return row.values[text], row.values[spans]


def _units(row: Row, data: Data) -> set[str]:
    """What the places of a row may count beside characters."""
    text, spans = _columns_of(row, data)
    if row.values is None or text is None or spans is None or not isinstance(row.values[text], str):
        return set(targets.UNITS)
    return targets.units(row.values[text], _parsed(row.values[spans]))


def _columns(path: Path) -> Iterator[Row]:
    said, found = columns.sentences(path)
    for one in found:
        values = None if one.text is None else {TEXT: one.text, SPANS: _lists(one.spans)}
        yield Row(one.place, values, one.problem or said)


def _lists(spans: Sequence[Span]) -> list[list[Any]]:
    """As JSON has them."""
    return [list(span) for span in spans]


def _plain(row: Row, data: Data, how: targets.How) -> Row:
    """With a text and a list of [start, end, type] in the columns that `data.columns` names; what was guessed is its problem."""
    given = _columns_of(row, data)
    if row.values is None or None in given:
        return row
    values = dict(row.values)
    held, marked = (values.pop(name) for name in given)
    held, marked, guessed = _read(held, marked, data, how)
    names = data.columns.get(TEXT, TEXT), data.columns.get(SPANS, SPANS)
    return Row(row.place, values | dict(zip(names, (held, marked))), guessed)


def _given(values: Mapping[str, Any], name: str, others: Sequence[str]) -> str | None:
    """The column of this name, or the first of others where its name is the one that the task has for it."""
    return next((one for one in (name, *(others if name in (TEXT, SPANS) else ())) if one in values), None)


def _read(held: Any, marked: Any, data: Data, how: targets.How) -> tuple[Any, Any, str]:
    """(text, spans as lists, what was guessed). BadInput for what is none."""
    if isinstance(held, Sequence) and not isinstance(held, str | bytes):
        text, found = targets.of_tokens(held, marked, how)
        return text, _lists(found), how.told
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
    if other := sorted({kind for result in held for item in result if _is_other(kind := str(_type(item)))}):
        raise BadInput(f"marks of the kind {other[0]}, which are no places in a text")
    each = [[item for item in result if _type(item) == "labels"] for result in held]
    if not each:
        raise BadInput("a task without an annotation")
    if any(_marked(one) != _marked(each[0]) for one in each):
        raise BadInput("annotations of one text that differ: keep one of them")
    return {**values["data"], SPANS: each[0]}


def _type(item: Any) -> Any:
    return item.get("type") if isinstance(item, Mapping) else None


def _is_other(kind: str) -> bool:
    """Whether Label Studio marks parts of something else so: of a page, a dialogue, an image."""
    return kind.endswith("labels") and kind != "labels"


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
