"""The answers of an evaluation: the worst of them, and which classes are taken for which."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rapidfuzz.distance import Levenshtein

from bmtool.base.files import parse_json
from bmtool.errors import DataError

WORST = 24
CLASSES = 40  # up to which there is a table of them
LONGEST = 1 << 20  # bytes of a line
Answer = dict[str, Any]
Warn = Callable[[str], None]


def _wrong_class(answer: Answer) -> float:
    return 0.0 + answer["probability"] if answer["prediction"] != answer["reference"] else 0.0


def _wrong_text(answer: Answer) -> float:
    return Levenshtein.distance(answer["reference"], answer["prediction"]) / max(1, len(answer["reference"]))


def _wrong_spans(answer: Answer) -> float:
    """How many spans are in one of the two only."""
    said = {(span["start"], span["end"], span["label"]) for span in answer["prediction"]}
    return len(said ^ {(start, end, label) for start, end, label in answer["reference"]})


def _marked(answer: Answer) -> Answer:
    """With two texts in place of two lists of spans, so that what differs is seen where it stands."""
    said = [(span["start"], span["end"], span["label"]) for span in answer["prediction"]]
    texts = {"reference": _written(answer["text"], answer["reference"]), "prediction": _written(answer["text"], said)}
    return {"input": answer["input"], "marked": True} | texts


def _written(text: str, spans: Iterable[Sequence[Any]]) -> str:
    """A text with its spans in brackets, each with its type."""
    out, done = "", 0
    for start, end, label in spans:
        out, done = f"{out}{text[done:start]}[{text[start:end]} {label}]", end
    return out + text[done:]


# What a task gives -> how bad an answer is, 0 where nothing is wrong. What is made of nothing cannot be wrong.
BADNESS: dict[str, Callable[[Answer], float]] = {
    "labels": _wrong_class,
    "text": _wrong_text,
    "spans": _wrong_spans,
    "number": lambda answer: abs(answer["prediction"] - answer["reference"]),
    "vector": lambda answer: 0.0 + answer["mse"],
    "answer": lambda answer: 1.0 - answer["f1"],
}


class Answers(NamedTuple):
    """`worst` are records of predictions.jsonl, the worst first; `confusion` [true][given] counts `labels`, empty where there is none."""

    worst: list[Answer]
    labels: list[str]
    confusion: list[list[int]]


def answers(path: Path, gives: str, warn: Warn) -> Answers:
    """Of the file of predictions of an evaluation, whatever its length; how many lines are no answers is said."""
    badness, pairs, passed = BADNESS.get(gives), Counter[tuple[str, str]](), 0
    if badness is None or not path.is_file():
        return Answers([], [], [])
    worst: list[tuple[float, int, Answer]] = []
    for number, answer in enumerate(_lines(path)):
        try:
            bad = badness(answer)
            shown = _marked(answer) if gives == "spans" else answer
            if gives == "labels":
                pairs[answer["reference"], answer["prediction"]] += 1
        except (KeyError, TypeError):
            passed += 1
            continue
        if bad > 0:
            (heapq.heappush if len(worst) < WORST else heapq.heappushpop)(worst, (bad, -number, shown))
    if passed:
        warn(f"{path}: {passed:,} lines are no answers of such a task, and are passed over")
    return Answers([answer for *_, answer in sorted(worst, key=lambda one: one[:2], reverse=True)], *_table(pairs))


def _lines(path: Path) -> Iterator[Answer]:
    """What is no object is an empty one."""
    with path.open("rb") as stream:
        for line in iter(lambda: stream.readline(LONGEST), b""):
            try:
                yield parse_json(line, dict[str, Any], origin=str(path), again="")
            except DataError:
                yield {}


def _table(pairs: Counter[tuple[str, str]]) -> tuple[list[str], list[list[int]]]:
    labels = sorted({str(name) for pair in pairs for name in pair})
    if len(labels) > CLASSES:
        return [], []
    return labels, [[pairs[true, given] for given in labels] for true in labels]
