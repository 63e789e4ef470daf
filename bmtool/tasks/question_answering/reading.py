"""Questions with their answers, as rows or as files of SQuAD and CMRC have them. No torch."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.files import read_json
from bmtool.errors import BadInput, DataError
from bmtool.sources.rows import Row

AGAIN = "copy it again from where it came"
STARTS = ("start", "answer_start")  # what the place of an answer is called
NOT_THERE = "answer that is not in its context"
NO_PLACE = "an answer without a place: the first place where it stands is taken"
NOT_MEANT = "answers of a question that has none, as is_impossible says: they are not read"
NO_UNIT = "answer whose place is another text, whether it counts characters, bytes or UTF-16 units"
_DATA = re.compile(r'"data"\s*:\s*\[')
IN_BYTES, IN_UTF16 = "a place that counts bytes", "a place that counts UTF-16 units"


class Span(NamedTuple):
    """Characters `start` to `end` of a context."""

    start: int
    end: int


class Answers(NamedTuple):
    """The right answers of a question, none of one that has none; `notes` are what was guessed or dropped, each as often as it was."""

    spans: tuple[Span, ...]
    notes: tuple[str, ...] = ()


# --- of a row ---


def answers(row: Mapping[str, Any], context: str) -> Answers:
    """The answers of a row. BadInput where it says no answers, or where all of them are dropped: such a question is none without answer."""
    given = _listed(row.get("answers"))
    found, notes = dict[Span, None](), list[str]()
    if _is_impossible(row.get("is_impossible"), bool(given)):
        notes += [NOT_MEANT] if given else []
        given = []
    for text, start in given:
        try:
            span, note = place(text, start, context)
        except BadInput as error:
            notes.append(str(error))
            continue
        found[span] = None
        notes += [note] if note else []
    if given and not found:
        raise BadInput(notes[0])
    return Answers(tuple(found), tuple(notes))


def _is_impossible(value: Any, is_answered: bool) -> bool:
    """What a row says of there being no answer; None says nothing. BadInput where it is no truth value, or is at odds with the answers."""
    if value is not None and not isinstance(value, bool):
        raise BadInput("is_impossible is neither true nor false")
    if value is False and not is_answered:
        raise BadInput("a question without an answer that is_impossible says has one")
    return value is True


def _listed(value: Any) -> list[tuple[str, int | None]]:
    """(text, place) of answers as a list of objects, or as an object of lists."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), next((value[name] for name in STARTS if name in value), None)
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise BadInput("answers that are no lists of as many texts as places")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts)]
    if not isinstance(value, list):
        raise BadInput('no answers: a list of {"text", "start"}, an empty one where there is none')
    return [_answer(one) for one in value]


def _answer(value: Any) -> tuple[str, int | None]:
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str) or not value["text"].strip():
        raise BadInput("an answer without a text")
    start = next((value[name] for name in STARTS if name in value), None)
    if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
        raise BadInput("an answer whose place is no whole number")
    return value["text"], start


def place(text: str, start: int | None, context: str) -> tuple[Span, str]:
    """Where an answer stands, and what was guessed for that. BadInput where it does not stand there."""
    first = context.find(text)
    if first < 0:
        raise BadInput(NOT_THERE)
    if start is None or start == -1:
        return Span(first, first + len(text)), NO_PLACE
    if start >= 0 and context.startswith(text, start):
        return Span(start, start + len(text)), ""
    for encoding, size, note in (("utf-8", 1, IN_BYTES), ("utf-16-le", 2, IN_UTF16)):
        held, wanted = (one.encode(encoding, "surrogatepass") for one in (context, text))
        if start >= 0 and held.startswith(wanted, size * start):
            begin = len(held[: size * start].decode(encoding, "surrogatepass"))
            return Span(begin, begin + len(text)), note
    raise BadInput(NO_UNIT)


# --- of a file as SQuAD and CMRC 2018 have it ---


def is_nested(path: Path) -> bool:
    """Whether a .json holds paragraphs with questions rather than rows: an object with `data`. False for one that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            start = stream.read(1 << 12).lstrip()
    except OSError:
        return False
    return start.startswith("{") and _DATA.search(start) is not None


def nested(path: Path) -> Iterator[Row]:
    """A row for each question: `data`, of which each has `paragraphs`, of which each has a `context` and `qas`."""
    held = read_json(path, dict[str, Any], AGAIN)
    count = 0
    for paragraph in _paragraphs(held, path):
        for one in paragraph["qas"]:
            count += 1
            where = f"{path}:{count}"
            if isinstance(one, dict):
                yield Row(where, {**one, "context": paragraph["context"]})
            else:
                yield Row(where, None, "a question that is no object")


def _paragraphs(held: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    """DataError for a file of another form."""
    for number, document in enumerate(_list(held.get("data"), path, "data"), 1):
        listed = document.get("paragraphs") if isinstance(document, dict) else None
        for paragraph in _list(listed, path, f"data[{number}].paragraphs"):
            if not isinstance(paragraph, dict) or not isinstance(paragraph.get("context"), str):
                raise DataError(f"{path}: a paragraph of data[{number}] has no context that is text")
            _list(paragraph.get("qas"), path, f"the qas of data[{number}]")
            yield paragraph


def _list(value: Any, path: Path, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{path}: {what} is no list: a file of SQuAD or CMRC 2018 has data, paragraphs, qas")
    return value
