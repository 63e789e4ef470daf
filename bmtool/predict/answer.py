"""Predictors that answer with a piece of a text; several of them, or several texts, as one; and how they are measured. numpy only."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

import numpy as np

from bmtool.config.options import NBest
from bmtool.measure import answers
from bmtool.measure.answers import COLUMNS, AnswerMeter
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.predict.values import Answer, Piece

MANY = NBest(n_best=20)  # pieces of each of several answers that are made one


class Answering(Protocol):
    def read(self, raw: Any) -> Any:
        """A question and its context as the model takes them; BadInput when they cannot be used."""
        ...

    def predict(self, inputs: Sequence[Any], options: NBest = ...) -> list[Answer]: ...


def joined(given: Sequence[Answer], shares: Sequence[float], most: int) -> Answer:
    """Several answers as one, each with its share of what is believed: of a piece that several name the probabilities are added."""
    total = sum(shares)
    found: dict[tuple[int, int, str], Piece] = {}
    for one, share in zip(given, shares):
        for piece in one.n_best:
            key = (piece.start, piece.end, piece.passage)
            before = found[key].probability if key in found else 0.0
            found[key] = piece._replace(probability=before + piece.probability * share / total)
    none = sum(one.no_answer * share for one, share in zip(given, shares)) / total
    best = sorted(found.values(), key=lambda piece: (-piece.probability, piece.start, piece.end))[:most]
    able = any(one.refuses for one in given)
    return Answer(tuple(best), none, able and none > (best[0].probability if best else 0.0))


def of_passages(given: Sequence[Answer], shares: Sequence[float], most: int) -> Answer:
    """What several texts say of one question, one of which at most is taken to hold the answer: odds of each piece against no answer in
    its text, times the share that the text is believed, are compared. Of one text it is what that says."""
    odds = [
        piece._replace(probability=share * piece.probability / max(one.no_answer, 1e-12))
        for one, share in zip(given, shares)
        for piece in one.n_best
    ]
    total = 1.0 + sum(piece.probability for piece in odds)
    order = sorted(odds, key=lambda piece: -piece.probability)[:most]
    best = tuple(piece._replace(probability=piece.probability / total) for piece in order)
    able = any(one.refuses for one in given)
    return Answer(best, 1 / total, able and 1 / total > (best[0].probability if best else 0.0))


class Ensemble:
    """Several models as one: the weighted mean of the probabilities of each piece, whatever their tokens are."""

    def __init__(self, members: Sequence[Answering], weights: Sequence[float]):
        self.members, self.weights = list(members), list(weights)

    def read(self, raw: Any) -> Any:
        return [member.read(raw) for member in self.members]

    def predict(self, inputs: Sequence[Any], options: NBest = NBest()) -> list[Answer]:
        each = [member.predict(read, MANY) for member, read in zip(self.members, zip(*inputs))]
        return [joined(given, self.weights, options.n_best) for given in zip(*each)]


combine = Ensemble


class Evaluation:
    """Feeds a meter with what a model answers. `truth` of an example has the `spans` of the right answers in its context, none of a
    question without one, and `notes` of what was guessed to find them."""

    names: ClassVar = AnswerMeter.names

    def __init__(self, predictor: Answering, columns: int):
        self.predictor, self.columns, self.examples = predictor, columns, 0
        self.all = AnswerMeter(columns)
        self._notes = Counter[str]()
        self._by_kind = {"answered in the text": AnswerMeter(columns), "without an answer": AnswerMeter(columns)}

    def read(self, example: Example) -> Any:
        """What the model takes; BadInput when it cannot be used."""
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        return ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        said = self.predictor.predict([example.read for example in examples])
        questions = [example.raw["question"] for example in examples]
        right = [[example.raw["context"][start:end] for start, end in example.truth["spans"]] for example in examples]
        given = zip(said, right, questions)
        rows = np.array([answers.row(one.text, each, asked) for one, each, asked in given])
        self.all.add(rows, None, weight)
        has_none = rows[:, COLUMNS.index("unanswerable")] > 0
        for here, meter in zip((~has_none, has_none), self._by_kind.values()):
            meter.add(rows[here], None, weight[here])
        self.examples += len(examples)
        self._notes.update(note for example in examples for note in example.truth["notes"])
        for example, one, each, row in zip(examples, said, right, rows.tolist()):
            shown = {"input": example.name, "question": example.raw["question"], "reference": each}
            yield shown | one.record() | {"exact": row[1], "f1": round(row[2], 6)}

    def measured(self) -> Measured:
        kinds = {kind: meter for kind, meter in self._by_kind.items() if meter.questions}
        slices = {
            kind: {name: meter.figures()[name] for name in ("exact_match", "f1")} for kind, meter in kinds.items()
        }
        remarks = [f"{count:,} x {note}" for note, count in self._notes.most_common()]
        by_kind = {"question": slices} if len(slices) > 1 else {}
        return Measured(self.examples, self.all.figures(), by_kind, remarks=remarks)

    def warnings(self, measured: Measured) -> Iterator[str]:
        if not measured.figures["exact_match"].high > 0:
            yield "no answer was right"


def placed(given: Answer, passage: str, source: Any) -> Answer:
    """An answer of a passage of documents: `source` says file:line of a character of it."""
    return replace(given, n_best=tuple(p._replace(source=source(p.start), passage=passage) for p in given.n_best))
