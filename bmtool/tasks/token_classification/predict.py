"""From a text to the spans in it. Numpy only: the same code on PyTorch and on an exported model.

Shapes: B windows, T tokens, P places, C characters, F features of a lexicon, K tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bmtool.errors import ConfigError
from bmtool.nn import tags
from bmtool.nn.chain import Transitions
from bmtool.predict import spans
from bmtool.predict.assets import Assets, arrays
from bmtool.predict.backends import Backend
from bmtool.predict.values import Spans
from bmtool.tasks.token_classification import lexicon
from bmtool.tasks.token_classification.config import Data, Options
from bmtool.tasks.token_classification.kind import kind_of
from bmtool.tasks.token_classification.lexicon import Lexicon
from bmtool.tasks.token_classification.places import Places, places, written
from bmtool.text.labelled import predict
from bmtool.text.labelled.explain import Answer, Explains
from bmtool.text.labelled.predict import Outputs, Read
from bmtool.text.labelled.windows import Windows, centred

TRANSITIONS = "transitions.safetensors"  # in a run's export: which tags follow which


class About(predict.About):
    types: list[str]
    offsets: Literal["characters", "utf-16", "bytes"]
    head: Literal["softmax", "crf"]
    # features of the lexicon; 0: there is none
    lexicon: int


@dataclass(frozen=True, repr=False)
class Marked(Read):
    """With what the lexicon says of the tokens, float32 [T, F]; F is 0 without one."""

    words: np.ndarray


class Tagger(Explains):
    """Texts to spans: scores of tokens from the window that shows most around each, and the best path through all of them."""

    def __init__(self, about: dict[str, Any], backend: Backend, assets: Assets):
        super().__init__(about, backend, assets)
        section = {"source": "-", "prepared": "-", "columns": self.named, "offsets": about["offsets"]}
        self.kind, self.types = kind_of(Data.model_validate(section)), list(about["types"])
        crf, known = about["head"] == "crf", about["lexicon"]
        self.transitions = Transitions(**arrays(assets, TRANSITIONS)) if crf else tags.legal(len(self.types))
        lines = bytes(assets.read(lexicon.FILE)).decode().splitlines() if known else []
        self.lexicon = Lexicon(lines, lexicon.FILE) if known else None

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"types": self.types}

    def tokenised(self, texts: tuple[str, ...]) -> Marked:
        read = super().tokenised(texts)
        nothing = np.zeros((len(read.tokens[0]), 0), np.float32)
        words = nothing if self.lexicon is None else self.lexicon.of_tokens(texts[0], read.spans[0])
        return Marked(read.texts, read.tokens, read.spans, words)

    def beside(self, reads: Sequence[Read], windows: Windows, batch: Sequence[int], longest: int) -> Outputs:
        if self.lexicon is None:
            return {}
        out = np.zeros((len(batch), longest, self.lexicon.features), np.float32)
        for row, number in zip(out, batch):
            example, start, stop = (int(column[number]) for column in windows)
            row[1 : 1 + stop - start] = reads[example].words[start:stop]  # type: ignore[attr-defined]
        return {"words": out}

    def scores(self, reads: Sequence[Read]) -> tuple[list[Places], list[np.ndarray]]:
        """The places of each text, and what is said of their tags, [P, K]."""
        windows = self.windows(reads)
        said = [np.empty(0)] * len(windows)
        for number, row, found in self.run(reads, windows):
            said[number] = found["scores"][row.at : row.at + row.length]
        held = [places(read.texts[0], read.spans[0]) for read in reads]
        return held, [joined(windows, number, said)[one.first] for number, one in enumerate(held)]

    def marginals(self, reads: Sequence[Read]) -> list[np.ndarray]:
        held, scores = self.scores(reads)
        each = spans.marginals(scores, self.transitions)
        return [spans.spread(found, one.bounds, len(read.texts[0])) for found, one, read in zip(each, held, reads)]

    def predict(self, reads: Sequence[Read], options: Options = Options()) -> list[Spans]:
        held, scores = self.scores(reads)
        each = [
            [(span, p) for span, p in zip(written([span for span, _ in found], one.bounds), [p for _, p in found])]
            for found, one in zip(spans.found(scores, self.transitions), held)
        ]
        return spans.values([read.texts[0] for read in reads], each, self.types)

    def answer(self, read: Read) -> Answer:
        """The surest span: how surely what reads as it does is one of its type, wherever it stands."""
        (value,) = self.predict([read])
        if not value.spans:
            raise ConfigError("--explain: no span is found in the text, so there is nothing to explain")
        start, end, label = value.spans[int(np.argmax(value.probabilities))]
        wanted = value.text[start:end], tags.numbers([(0, end - start, self.types.index(label))], end - start)

        def amount(reads: Sequence[Read]) -> np.ndarray:
            return np.array([_surely(one.texts[0], said, *wanted) for one, said in zip(reads, self.marginals(reads))])

        return Answer(f"{wanted[0]} {label}", amount, 0)


def _surely(text: str, said: np.ndarray, wanted: str, right: np.ndarray) -> float:
    """The least probability of its tags where a text reads as wanted, at the surest such place; 0 where it does not."""
    starts = [at for at in range(len(text) - len(wanted) + 1) if text.startswith(wanted, at)]
    return max((float(said[range(at, at + len(right)), right].min()) for at in starts), default=0.0)


def joined(windows: Windows, example: int, said: Sequence[np.ndarray]) -> np.ndarray:
    """What is said of the tokens of an example [T, K], out of what is said of those of each window."""
    which = centred(windows, example)
    return np.stack([said[number][at - windows.start[number]] for at, number in enumerate(which.tolist())])


def predictor(about: dict[str, Any], backend: Backend, assets: Assets) -> Tagger:
    return Tagger(about, backend, assets)
