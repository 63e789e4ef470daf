"""Text that language models are measured on, and the windows that it is measured in. Numpy only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bmtool.data.packing import Cut
from bmtool.errors import BadInput
from bmtool.predict.batches import batches
from bmtool.text.chat.turns import Turn
from bmtool.text.tokenizer import Tokenizer

COLUMNS = ("nats", "right", "tokens", "characters")  # of what is measured of a passage
OTHER_TOKENS = "a prepared dialogue has the tokens of its own model: name the file of it with --data"


@dataclass(frozen=True)
class Passage:
    """Text that a model is measured on. `tokens` are those of the tokenizer with this sha256, what begins and ends it included; without
    them the text is a document of its own, or the turns are a dialogue. Of that what `answers`, bool [tokens], marks is measured."""

    text: str
    tokens: np.ndarray | None = None
    tokenizer: str = ""
    answers: np.ndarray | None = None
    turns: tuple[Turn, ...] = ()

    def __repr__(self) -> str:
        return repr(self.text)


class Window(NamedTuple):
    """`tokens` int64 [tokens] of a passage, of which those count that are `asked`, bool [tokens]; None: all."""

    tokens: np.ndarray
    asked: np.ndarray | None = None


def cut(objective: str, context: int) -> Cut:
    """How text is cut for a model that reads so many tokens: what comes next is asked but for the first, so that rows share one."""
    return Cut(context + 1, context) if objective == "causal" else Cut(context, context)


def windows(passage: Passage, tokenizer: Tokenizer, how: Cut) -> list[Window]:
    """The windows that a passage without turns is measured in. BadInput for a dialogue in tokens of another model."""
    tokens = passage.tokens
    if tokens is None or passage.tokenizer != tokenizer.sha256:
        if passage.answers is not None:
            raise BadInput(OTHER_TOKENS)
        inside = tokenizer.encode([passage.text])[0]
        tokens = np.concatenate([[tokenizer.begin], inside, [tokenizer.end]])
    last = max(1, len(tokens) - (how.width - how.stride))
    asked = passage.answers
    places = [slice(start, start + how.width) for start in range(0, last, how.stride)]
    return [Window(tokens[place], None if asked is None else asked[place]) for place in places]


def scored(
    passages: Sequence[Sequence[Window]], score: Callable[[list[Window]], Iterator[tuple[float, ...]]]
) -> np.ndarray:
    """COLUMNS of each passage, float64 [passages, 4]: the sums of what `score` says of its windows, which it is given in batches."""
    every = [(number, window) for number, each in enumerate(passages) for window in each]
    out = np.zeros((len(passages), len(COLUMNS)))
    for batch in batches([len(window.tokens) for _, window in every]):
        for number, row in zip(batch, score([every[n][1] for n in batch])):
            out[every[number][0]] += row
    return out
