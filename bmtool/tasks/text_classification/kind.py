"""How text-classification and text-regression read rows."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

from bmtool.base.delimited import number
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.data.names import look_alike, require_apart
from bmtool.errors import BadInput, DataError
from bmtool.tasks.text_classification.config import Data
from bmtool.text.labelled.kind import Draft, Kind, Schema

RULES = 2
LONGEST = 200  # characters of the name of a class
MANY = 20  # numbers as classes; more of them, most with one example, are an amount
SHOWN = 10  # classes that a message names


def kind_of(data: Data, *, numeric: bool = False) -> Kind:
    texts = ("text", "text_pair") if data.pair else ("text",)
    if numeric:
        return Kind("text-regression", RULES, texts, ("label",), _amount, _describe_numbers, lambda draft, schema: "")
    one, task = data.classes == "one", "text-classification"
    read: Callable[..., Any] = _class if one else partial(_classes, separator=data.separator)
    return Kind(
        task, RULES, texts, ("label",), read, partial(_describe, order=data.order), _unfit,
        counted=(lambda target: [target]) if one else (lambda target: target), warnings=_warnings,
    )  # fmt: skip


def numeric_kind_of(data: Data) -> Kind:
    """Of text-regression."""
    return kind_of(data, numeric=True)


# --- what is right, out of a row ---


def _class(row: Mapping[str, Any], texts: tuple[str, ...]) -> str:
    if isinstance(row["label"], list):
        raise BadInput("a label that is a list (--set data.classes=several learns lists)")
    return _name(row["label"])


def _name(value: Any) -> str:
    """A class by its name: of a number or a truth value what JSON writes."""
    if isinstance(value, dict | list | bytes):
        raise BadInput("a label that is a list or an object")
    if isinstance(value, float):
        value = _whole(value)
    name = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()
    if not name:
        raise BadInput("no label")
    if len(name) > LONGEST:
        raise BadInput(f"a label of more than {LONGEST} characters")
    return name


def _whole(value: float) -> int | float | None:
    """A number that tables of numbers with gaps write as 3.0 is 3; what is no number is none."""
    if not isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def _classes(row: Mapping[str, Any], texts: tuple[str, ...], *, separator: str) -> list[str]:
    """Each once, in the order of their names; none where there is none."""
    value = row["label"]
    if isinstance(value, list):
        return sorted({_name(cell) for cell in value})
    cells = value.split(separator) if isinstance(value, str) else [] if value is None else [_name(value)]
    return sorted({_name(cell) for cell in cells if cell.strip()})


def _amount(row: Mapping[str, Any], texts: tuple[str, ...]) -> float:
    value = row["label"]
    found = number(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    if found is None:
        raise BadInput("no label" if value in (None, "") else f"a label that is no number ({str(value)[:40]})")
    return found


# --- what is found out from the training examples ---


def _describe(training: Sequence[Draft], *, order: Sequence[str]) -> Schema:
    """The names of the classes: numbers by value, else by name; or in the order that is given."""
    several = isinstance(training[0].target, list)
    counts = Counter(name for draft in training for name in (draft.target if several else [draft.target]))
    require_apart(counts, "data.source")
    _require_some(counts, len(training), several)
    if order:
        return {"labels": _ordered(counts, order)}
    labels = sorted(counts, key=lambda name: (0, value, name) if (value := number(name)) is not None else (1, 0, name))
    return {"labels": labels}


def _require_some(counts: Counter[str], examples: int, several: bool) -> None:
    if len(counts) < 2 and not (several and counts):
        only = f"is always {next(iter(counts))!r}" if counts else "is nowhere"
        raise DataError(f"data.source: the label {only}: there is nothing to tell apart")
    if not several and len(counts) > max(MANY, examples / 2):
        told = f"data.source: the label has {len(counts):,} different values in {examples:,} examples"
        numeric = all(number(name) is not None for name in counts)
        way = (
            "did you mean `task: text-regression`?"
            if numeric
            else "--set data.columns says which column holds the label"
        )
        raise DataError(f"{told}: {way}")


def _ordered(counts: Counter[str], order: Sequence[str]) -> list[str]:
    if unknown := sorted(counts.keys() - set(order)):
        raise DataError(
            f"data.order lacks the class {unknown[0]!r}{suggest(unknown[0], list(order))} of data.source (it has {few(list(order), SHOWN)})"
        )
    if never := [name for name in order if name not in counts]:
        raise DataError(f"data.order: no training example is {never[0]!r}: leave it out, or give some")
    return list(order)


def _describe_numbers(training: Sequence[Draft]) -> Schema:
    values = [draft.target for draft in training]
    if min(values) == max(values):
        raise DataError(f"data.source: the label is always {values[0]:g}: there is nothing to learn")
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    if not deviation > 0:
        raise DataError(
            f"data.source: the labels differ by too little to be told apart ({min(values)} to {max(values)}): scale them up"
        )
    return {"mean": mean, "deviation": deviation}


def _unfit(draft: Draft, schema: Schema) -> str:
    names = draft.target if isinstance(draft.target, list) else [draft.target]
    return "" if set(names) <= set(schema["labels"]) else "a class that no training example has"


def _warnings(drafts: Sequence[Draft], schema: Schema) -> Iterator[str]:
    yield from look_alike(schema["labels"])
