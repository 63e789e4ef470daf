"""Answers that stand in a text. Numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bmtool.errors import BadInput, TooLong
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.batches import batches
from bmtool.predict.inputs import record
from bmtool.predict.values import Answer, Piece
from bmtool.tasks.question_answering import spans
from bmtool.tasks.question_answering.config import Options
from bmtool.tasks.question_answering.kind import KIND
from bmtool.tasks.question_answering.spans import Scores
from bmtool.text.filling import padded
from bmtool.text.labelled import explain, predict
from bmtool.text.labelled.explain import Explains
from bmtool.text.labelled.predict import Read
from bmtool.text.labelled.units import Unit

NONE = "(no answer)"


class About(predict.About):
    # whether it was trained on questions without an answer: else it always gives one
    unanswerable: bool
    # tokens of an answer at most
    answer_tokens: int


class Embedded(NamedTuple):
    """The tokens of a text, with what begins and ends it, int64."""

    tokens: np.ndarray


class Reader(Explains):
    """Reads a question and a context, and answers with a piece of the context."""

    kind = KIND

    def facts(self) -> dict[str, Any]:
        return super().facts() | {
            "unanswerable": self.about["unanswerable"],
            "answer_tokens": self.about["answer_tokens"],
        }

    def read(self, raw: Any) -> Read:
        """From an object with a question and a context, or its JSON; by the names that the training data have for them, too."""
        return super().read(record(raw))

    def predict(self, inputs: Sequence[Read], options: Options = Options()) -> list[Answer]:
        return [self._answer(read, *found, options.n_best) for read, found in zip(inputs, self._found(inputs))]

    def _found(self, inputs: Sequence[Read]) -> list[tuple[dict[tuple[int, int], float], float]]:
        """Of each input the pieces of its context, as (first character, the one behind the last), and no answer: how likely they are."""
        windows = self.windows(inputs)
        said: list[list[Scores]] = [[] for _ in inputs]
        for number, row, scores in self.run(inputs, windows):
            start, end = (scores[name].astype(np.float64) for name in ("start", "end"))
            shown = slice(row.at, row.at + row.length)
            found = Scores(int(windows.start[number]), start[shown] - start[0], end[shown] - end[0])
            said[windows.example[number]].append(found)
        return [self._pieces(read, each) for read, each in zip(inputs, said)]

    def _pieces(self, read: Read, windows: Sequence[Scores]) -> tuple[dict[tuple[int, int], float], float]:
        """Pieces of the same characters are one: a character that is spelt in bytes is several tokens."""
        ranked, context = spans.rank(windows, self.about["answer_tokens"]), read.texts[-1]
        found: dict[tuple[int, int], float] = {}
        for (first, last), p in zip(ranked.pieces.tolist(), ranked.probabilities.tolist()):
            place = _stripped(context, *spans.characters(read.spans[-1], first, last))
            found[place] = found.get(place, 0.0) + p
        return {place: p for place, p in found.items() if place[0] < place[1]}, ranked.no_answer

    def _answer(self, read: Read, found: dict[tuple[int, int], float], none: float, most: int) -> Answer:
        order, context = sorted(found, key=lambda place: (-found[place], place)), read.texts[-1]
        pieces = tuple(Piece(context[start:end], start, end, found[start, end]) for start, end in order[:most])
        best = pieces[0].probability if pieces else 0.0
        return Answer(pieces, none, self.about["unanswerable"] and none > best)

    def answer(self, read: Read) -> explain.Answer:
        """How likely the answer is, wherever in the context it stands, or that there is none."""
        (said,) = self.predict([read])
        if not said.text:
            return explain.Answer(NONE, lambda reads: np.array([none for _, none in self._found(reads)]))
        best, last = said.n_best[0], len(read.texts) - 1

        def amount(reads: Sequence[Read]) -> np.ndarray:
            given = zip(reads, self._found(reads))
            return np.array([_likely(best.text, one.texts[-1], found) for one, (found, _) in given])

        return explain.Answer(best.text, amount, whole=Unit(last, best.start, best.end))

    # --- vectors of texts, by which passages are found ---

    def read_to_embed(self, raw: Any) -> Embedded:
        """A text by itself. BadInput for what is none, or longer than a row."""
        if not isinstance(raw, str):
            raise BadInput("no text")
        tokens = self.tokenizer.encode([raw])[0]
        if len(tokens) + 2 > self.cutting.context:
            raise TooLong(f"{len(tokens):,} tokens are too many: the model reads {self.cutting.context:,} at once")
        return Embedded(np.concatenate([[self.tokenizer.begin], tokens, [self.tokenizer.end]]).astype(np.int64))

    def embed(self, texts: Sequence[Embedded]) -> np.ndarray:
        """The mean of what stands at the tokens of each text, float64 [texts, width]."""
        out: dict[int, np.ndarray] = {}
        for numbers in batches([len(text.tokens) for text in texts]):
            token, keep = padded([texts[number].tokens for number in numbers], self.tokenizer)
            said = self.backend.run("model", {"token": token, "keep": keep, "kind": np.zeros_like(token)})
            out |= dict(zip(numbers, self.backend.numpy(said["mean"]).astype(np.float64)))
        return np.stack([out[number] for number in range(len(texts))])


def _likely(said: str, context: str, found: dict[tuple[int, int], float]) -> float:
    """How likely pieces of a context are that say this."""
    return sum(p for (start, end), p in found.items() if context[start:end] == said)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space around it."""
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def predictor(about: dict, backend: Backend, assets: Assets) -> Reader:
    """Of a run or an export; its tokenizer is among the assets."""
    return Reader(about, backend, assets)
