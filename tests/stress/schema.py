"""Values of every field of every schema, at, inside and outside their bounds.

What is outside is refused in one line that names the key. What is taken trains a step on tiny data: no traceback, and no loss that is
no number. What no machine here can hold is refused for that.
"""

import json
import math
import random
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from cases import CASES, Case

from bmtool.config.load import parse
from bmtool.config.schema import Section
from bmtool.errors import ConfigError
from stress import Attempt
from stress.forked import told

SECONDS, MEMORY = 60, 2 << 30
# More of these takes longer than a test has, or is no step on tiny data; their bounds are tried without training.
COSTLY = {
    "train.accumulate": 8, "train.workers": 2, "train.threads": 4, "model.layers": 3, "model.convolutions": 3, "model.width": 128,
    "model.heads": 8, "model.feedforward": 256, "model.widths": 64, "model.channels": 16, "model.rounds": 20, "model.leaves": 64,
    "model.ngram_rows": 1000, "model.ngram_width": 16, "code": 64, "noise": 64, "data.size": 16, "data.workers": 2,
    "model.ngram.entries": 1000, "data.duplicates.ngram": 4, "train.keep_last": 4, "train.keep_best": 4, "train.average_best": 4,
}  # fmt: skip
# Set by the attempts themselves, or names of what lies elsewhere.
SET = {"task", "run", "data.prepared", "model.kind", "train.device", "train.stop_after", "train.compile"}
# Names of what lies elsewhere and may not be there.
ELSEWHERE = {"model.weights", "train.teacher"}
OUTSIDE = ["x", [], {}, "true", 1.5, True, math.nan, math.inf, None, -1, 10**30]


@dataclass(frozen=True)
class _Try:
    case: Case
    key: str
    value: Any
    # whether the value is one of the field, one that is not, or one of which only the command can tell
    is_legal: bool | None
    trains: bool = True

    @property
    def name(self) -> str:
        return f"{self.case.name}: {self.key}={_yaml(self.value)[:60]}"


def attempts(sample: int | None, seed: int) -> Iterator[Attempt]:
    """All, or of those that train a step `sample` drawn by `seed`: to be refused takes no time."""
    every = _all(seed)
    trained = random.Random(seed).sample([one for one in every if one.is_legal and one.trains], sample or 0)
    with tempfile.TemporaryDirectory(prefix="bmtool-schema-") as folder:
        for one in every:
            yield Attempt(
                one.name, _problem(one, Path(folder), trains=one.trains and (sample is None or one in trained))
            )


# --- what there is to try ---


def _all(seed: int) -> list[_Try]:
    """Of the cases of a task, what one has before it is not tried again."""
    tried: set[tuple[str, str]] = set()
    return [one for case in CASES for one in _tries(case, tried, seed)]


def _tries(case: Case, tried: set[tuple[str, str]], seed: int) -> Iterator[_Try]:
    for key, annotation, metadata, default in _fields(case.config, ""):
        if key in SET or (case.task, key) in tried:
            continue
        tried.add((case.task, key))
        draw = random.Random(f"{seed}/{case.name}/{key}")
        taken = list(_legal(annotation, metadata, draw, key)) or [default]
        for value, trains in ((value if isinstance(value, tuple) else (value, True)) for value in taken):
            yield _Try(case, key, value, is_legal=True, trains=trains)
        for value in _beyond(annotation, metadata):
            yield _Try(case, key, value, is_legal=False)
        for value in OUTSIDE:
            yield _Try(case, key, value, is_legal=None if _may_be(annotation, value) else False)


def _fields(section: Section, prefix: str) -> Iterator[tuple[str, Any, list, Any]]:
    """(key, annotation, constraints, default) of every value, of sections within too."""
    for name, field in type(section).model_fields.items():
        held = getattr(section, name, None)
        if held is None:
            held = next((kind.model_construct() for kind in get_args(field.annotation) if _is_section(kind)), None)
        if isinstance(held, Section):
            yield from _fields(held, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.annotation, field.metadata, held


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _parts(annotation: Any, metadata: list) -> Iterator[tuple[Any, list]]:
    """The plain types of a union, each with its constraints."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from _parts(inner, [*metadata, *_constraints(more)])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _parts(part, metadata)
    else:
        yield annotation, _constraints(metadata)


def _constraints(metadata: list) -> list:
    return [one for held in metadata for one in getattr(held, "metadata", [held])]


def _legal(annotation: Any, metadata: list, draw: random.Random, key: str) -> Iterator[Any]:
    """Values of a field: its bounds and one between; with whether a step is worth its time."""
    for kind, constraints in _parts(annotation, metadata):
        if kind is type(None):
            yield None
        elif kind is bool:
            yield from (False, True)
        elif kind in (int, float):
            yield from _numbers(kind, constraints, draw, COSTLY.get(key))
        elif get_origin(kind) is Literal:
            yield from get_args(kind)
        elif get_origin(kind) is list and (inner := [*_numbers_within(kind, draw, key)]):
            least = next((c.min_length for c in constraints if isinstance(c, annotated_types.MinLen)), 1)
            yield from (([value] * max(least, 1), trains) for value, trains in inner)
        elif get_origin(kind) is dict and (inner := [*_numbers_within(kind, draw, key)]):
            yield from (({"backbone": value}, trains) for value, trains in inner)


def _numbers_within(kind: Any, draw: random.Random, key: str) -> Iterator[tuple[Any, bool]]:
    for part, constraints in _parts(get_args(kind)[-1], []):
        if part in (int, float):
            yield from _numbers(part, constraints, draw, COSTLY.get(key))


def _numbers(kind: type, constraints: list, draw: random.Random, most: int | None) -> Iterator[tuple[Any, bool]]:
    low, high = _bounds(kind, constraints)
    cap = high if most is None else min(most, high)
    between = kind(math.exp(draw.uniform(math.log(max(low, 1e-3)), math.log(max(cap, 2e-3)))))
    yield low, True
    yield min(max(between, low), cap), True
    yield high, most is None


def _bounds(kind: type, constraints: list) -> tuple[Any, Any]:
    """The least and the greatest value."""
    low, high = -math.inf, math.inf
    for one in constraints:
        low = max(low, getattr(one, "ge", -math.inf))
        high = min(high, getattr(one, "le", math.inf))
        if (gt := getattr(one, "gt", None)) is not None:
            low = gt + 1 if kind is int else max(low, 1e-6)
        if (lt := getattr(one, "lt", None)) is not None:
            high = lt - 1 if kind is int else lt - 1e-6
    assert math.isfinite(low) and math.isfinite(high), "a number without bounds"
    return low, high


def _beyond(annotation: Any, metadata: list) -> Iterator[Any]:
    """Just outside the bounds of a number."""
    for kind, constraints in _parts(annotation, metadata):
        if kind in (int, float):
            low, high = _bounds(kind, constraints)
            yield from (low - 1, high + 1)


def _may_be(annotation: Any, value: Any) -> bool:
    """Whether a field takes values of this kind at all: then the command tells."""
    kinds = [get_origin(kind) or kind for kind, _ in _parts(annotation, [])]
    fits: dict[Any, tuple] = {float: (float, int), Literal: (str, int)}
    return not _is_endless(value) and any(type(value) in fits.get(kind, (kind,)) for kind in kinds)


def _is_endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


# --- trying ---


def _yaml(value: Any) -> str:
    if _is_endless(value):
        return ".nan" if math.isnan(value) else ".inf"
    return json.dumps(value, default=lambda section: section.model_dump())


def _problem(one: _Try, folder: Path, *, trains: bool) -> str:
    try:
        parse(_data(one))
    except ConfigError as error:
        return _of_refusal(one, str(error))
    except Exception as error:  # any other is a traceback
        return f"traceback: {error!r}"
    if one.is_legal is False:
        return "taken in silence"
    return _of_training(one, folder) if trains else ""


def _data(one: _Try) -> dict[str, Any]:
    """The plain data of a case's configuration with the value in its place."""
    *sections, name = one.key.split(".")
    target = data = deepcopy(_plain(one.case.path))
    for section in sections:
        target = target.setdefault(section, {})
    target[name] = json.loads(json.dumps(one.value, default=lambda section: section.model_dump()))
    return data


@cache
def _plain(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def _of_refusal(one: _Try, said: str) -> str:
    """A refusal names the key, and is of what is outside or does not go with the rest."""
    lines = said.splitlines()
    if any(not any(part in line for part in one.key.split(".")[-2:]) for line in lines[1:] or lines):
        return f"the key is not named: {said}"
    return f"refused: {said}" if one.is_legal and "input should" in said else ""


def _of_training(one: _Try, folder: Path) -> str:
    """What is wrong with how a training of one step ended; of settings of data it is on data of its own, which may leave none."""
    of_data = one.key.startswith("data.")
    with tempfile.TemporaryDirectory(dir=folder) as own:
        prepared = Path(own) / "data" if of_data else folder / _prepared(one.case, folder)
        settings = [f"run={own}/run", f"data.prepared={prepared}", f"{one.key}={_yaml(one.value)}"]
        settings += [] if one.case.fitted else ["train.stop_after=1"]
        arguments = ["pretrain", str(one.case.path), *(part for setting in settings for part in ("--set", setting))]
        ended = told(arguments, Path(own), seconds=SECONDS, memory=MEMORY)
    last = (ended.err.strip().splitlines() or [""])[-1]
    if ended.code is None:
        return f"no end after {SECONDS} s of processor time"
    if "Traceback" in ended.err or ended.code == 1:
        return f"traceback: {last}"
    if "the loss is" in last:
        return f"a loss that is no number: {last}"
    is_right = ended.code in (0, 2, 6) or (ended.code == 4 and (of_data or one.key in ELSEWHERE))
    return "" if is_right else f"exit {ended.code}: {last}"


@cache
def _prepared(case: Case, folder: Path) -> str:
    """The name of a folder with the data of a case, made once."""
    name = Path(case.config.data.prepared).name
    if not (folder / name).exists():
        ended = told(
            ["prepare-data", str(case.path), "--set", f"data.prepared={folder / name}"], folder, seconds=SECONDS
        )
        assert ended.code == 0, ended.err
    return name
