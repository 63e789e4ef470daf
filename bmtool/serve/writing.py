"""Text that is written bit by bit: each bit is a short run of the model, so that others have their turns between, and what nobody waits for
any more is not written.

This is what the model's process holds. The server asks it for the next bit through its queue: see `bits`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from typing_extensions import NotRequired, TypedDict

from bmtool.errors import BadInput, BmtoolError
from bmtool.predict.contract import Options

WRITES, EMBEDS = "write", "embed"  # what a run of the model is asked for in place of options
BIT = 0.05  # seconds for which is written before others have their turn; a token at least
LOST = "the model was loaded again while it wrote: ask again"


class Begin(NamedTuple):
    """A text to go on from, or the turns of a dialogue to answer."""

    name: str
    prompt: Any
    options: Options


class Next(NamedTuple):
    """The next bit of what was begun under this name; where it `ends`, nobody wants more of it."""

    name: str
    ends: bool = False


class Bit(TypedDict):
    """What is new: text, the bytes of its tokens, and log-probabilities, of what ended it too. `ended` is "" while there is more; of the
    first bit also how many tokens the prompt has."""

    text: str
    tokens: list[list[int]]
    log_probabilities: list[float]
    ended: str
    prompt: NotRequired[int]


@dataclass
class _Open:
    """What is being written: the row that grows, and how much of it was told."""

    rows: Iterator[Any]
    prompt: Any
    letters: int = 0
    tokens: int = 0
    log_probabilities: int = 0


class Writings:
    """In the model's process: all that is being written, by name."""

    def __init__(self, predictor: Any):
        self._predictor = predictor
        self._open: dict[str, _Open] = {}

    def run(self, asked: list[Begin | Next]) -> list[Bit | BadInput]:
        """A bit of each, or why there is none."""
        return [self._bit(one) for one in asked]

    def _bit(self, asked: Begin | Next) -> Bit | BadInput:
        try:
            first = self._begin(asked) if isinstance(asked, Begin) else {}
            if isinstance(asked, Next) and (asked.ends or asked.name not in self._open):
                self._open.pop(asked.name, None)
                return BadInput(LOST)
            return self._grown(asked.name) | first  # type: ignore[return-value]
        except BadInput as error:
            self._open.pop(asked.name, None)
            return error
        except BmtoolError as error:  # of this text alone
            self._open.pop(asked.name, None)
            return BadInput(str(error))

    def _begin(self, asked: Begin) -> dict[str, int]:
        predictor = self._predictor
        reads = predictor.read_dialogue if isinstance(asked.prompt, list) else predictor.read_text
        prompt = reads(asked.prompt)
        self._open[asked.name] = _Open(predictor.begin(prompt, asked.options), prompt)
        return {"prompt": len(prompt.tokens)}

    def _grown(self, name: str) -> Bit:
        held, until = self._open[name], time.perf_counter() + BIT
        while not (row := next(held.rows)).ended and time.perf_counter() < until:
            pass
        pieces = [*self._predictor.tokenizer.pieces(row.tokens, int(held.prompt.tokens[-1]))][held.tokens :]
        bit: Bit = {
            "text": row.ready[held.letters :], "tokens": [[*piece] for piece in pieces],
            "log_probabilities": row.log_probabilities[held.log_probabilities :], "ended": row.ended,
        }  # fmt: skip
        held.letters, held.tokens = len(row.ready), len(row.tokens)
        held.log_probabilities = len(row.log_probabilities)
        if row.ended:
            del self._open[name]
        return bit
