"""What a decoder writes, token by token, on any back end. Numpy only.

Shapes: R rows, T tokens, S tokens with those before, V vocabulary. The cache is the back end's own.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bmtool.errors import DataError
from bmtool.nn import sampling, search
from bmtool.predict.backends import Arrays, Backend
from bmtool.text.tokenizer import Tokenizer, Writer

SCORES = 1 << 24  # numbers of scores that are held together
ROWS = 32  # that are written together


class State(NamedTuple):
    past: Any
    keep: np.ndarray  # bool [R, S]: False at what a row has only to be as long as others


class Steps:
    """The graph `model` of a decoder: tokens [R, T], cache and `keep` to scores [R, T, V], a longer cache, and hidden states."""

    def __init__(self, backend: Backend, cache: Sequence[int], tokens: int):
        """cache: layers, heads of keys and values, width of a head. A network may have scores of more than the `tokens` there are."""
        self.backend, self._cache, self._tokens = backend, cache, tokens

    def empty(self, rows: int) -> State:
        layers, heads, width = self._cache
        return State(np.zeros((rows, layers, 2, heads, 0, width), np.float32), np.zeros((rows, 0), bool))

    def read(self, tokens_RT: np.ndarray, keep_RT: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Scores [R, T, V] after every token."""
        found, state = self._run(tokens_RT, keep_RT, state)
        return self._scores(found), state

    def _run(self, tokens_RT: np.ndarray, keep_RT: np.ndarray, state: State) -> tuple[Arrays, State]:
        keep = np.concatenate([state.keep, keep_RT], axis=1)
        found = self.backend.run("model", {"token": tokens_RT, "past": state.past, "keep": keep})
        return found, State(found["next_past"], keep)

    def _scores(self, found: Arrays) -> np.ndarray:
        return self.backend.numpy(found["scores"])[:, :, : self._tokens]

    def parts(self, rows: Sequence[np.ndarray]) -> Iterator[tuple[slice, np.ndarray, State]]:
        """Rows that are read bit by bit, with what they lack in front: (columns, scores [R, columns, V], state so far)."""
        return ((here, self._scores(found), state) for here, found, state in self._parts(rows))

    def means(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """The mean of what stands at the tokens of each row, float64 [R, width]. DataError for an export that does not give it."""
        total: Any = 0.0
        for here, found, state in self._parts(rows):
            x_RTD = hidden(self.backend, found)
            total = total + (x_RTD * state.keep[:, here, None]).sum(axis=1, dtype=np.float64)
        return total / np.array([[len(row)] for row in rows])

    def _parts(self, rows: Sequence[np.ndarray]) -> Iterator[tuple[slice, Arrays, State]]:
        width = max(map(len, rows))
        tokens, keep = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), bool)
        for number, row in enumerate(rows):
            tokens[number, width - len(row) :], keep[number, width - len(row) :] = row, True
        step, state = max(1, SCORES // (len(rows) * self._tokens)), self.empty(len(rows))
        for start in range(0, width, step):
            here = slice(start, min(start + step, width))
            found, state = self._run(tokens[:, here], keep[:, here], state)
            yield here, found, state

    def begin(self, rows: Sequence[np.ndarray]) -> tuple[np.ndarray, State]:
        """Scores [R, V] after the last token of each row."""
        ((_, scores, state),) = deque(self.parts(rows), maxlen=1)
        return scores[:, -1], state

    def step(self, tokens_R: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        scores, state = self.read(tokens_R[:, None], np.ones((len(tokens_R), 1), bool), state)
        return scores[:, -1], state

    def reorder(self, state: State, rows_R: np.ndarray) -> State:
        return State(self.backend.take(state.past, rows_R), state.keep[rows_R])


def hidden(backend: Backend, found: Arrays) -> np.ndarray:
    """What stands at each token, [R, T, width]. DataError for an export that was made before there was such an output."""
    if "hidden" not in found:
        raise DataError(
            "this export does not give its hidden states: export the run again with `bmtool export-onnx RUN`"
        )
    return backend.numpy(found["hidden"])


@dataclass
class Written:
    """What stands behind a prompt so far. `ended` says why it goes on no longer: end, stop, length or context."""

    prompt: np.ndarray
    writer: Writer
    stops: tuple[str, ...]
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    text: str = ""
    ended: str = ""

    @property
    def ready(self) -> str:
        """The text that no stop can take away any more."""
        if self.ended:
            return self.text
        longest = max((_begun(self.text, stop) for stop in self.stops), default=0)
        return self.text[: len(self.text) - longest]

    def add(self, token: int, log_probability: float, end: int) -> None:
        if token == end:
            self.log_probabilities.append(log_probability)
            self.finish("end")
            return
        self.tokens.append(token)
        self.log_probabilities.append(log_probability)
        self._grow(self.writer.add(token))

    def finish(self, why: str) -> None:
        self._grow(self.writer.end())
        self.ended = self.ended or why

    def _grow(self, more: str) -> None:
        """Stops are looked for wherever tokens end."""
        before, self.text = len(self.text), self.text + more
        found = [self.text.find(stop, max(0, before - len(stop))) for stop in self.stops]
        if places := [place for place in found if place >= 0]:
            self.text, self.ended = self.text[: min(places)], "stop"


def _begun(text: str, stop: str) -> int:
    """So many letters at the end of a text may be the beginning of a stop."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


class How(NamedTuple):
    """Beside how a token is drawn: from which seed, how many at most, in how much room, and before what text or token it stops."""

    draw: sampling.Draw
    seed: int
    max_tokens: int
    context: int
    stop: tuple[str, ...] = ()
    end: int | None = None  # None: the token that ends a text


def write(steps: Steps, tokenizer: Tokenizer, prompts: Sequence[np.ndarray], how: How) -> Iterator[list[Written]]:
    """All rows after every step. A row depends on nothing but its own prompt and `how`."""
    rows = [Written(prompt, Writer(tokenizer, int(prompt[-1])), how.stop) for prompt in prompts]
    end = tokenizer.end if how.end is None else how.end
    chance = [np.random.default_rng(how.seed) for _ in rows]
    scores, state = steps.begin(prompts)
    going = list(range(len(rows)))
    while going:
        even = np.array([chance[n].random() for n in going])
        tokens = _next(_writable(scores, tokenizer, end), [rows[n] for n in going], how, even)
        log_p = sampling.log_softmax(scores)[np.arange(len(going)), tokens]
        for number, token, given in zip(going, tokens.tolist(), log_p.tolist()):
            rows[number].add(token, given, end)
            _require_room(rows[number], how)
        yield rows
        left = [place for place, number in enumerate(going) if not rows[number].ended]
        if len(left) < len(going):
            state, tokens, going = (
                steps.reorder(state, np.array(left, np.int64)),
                tokens[left],
                [going[n] for n in left],
            )
        if going:
            scores, state = steps.step(tokens, state)


def _next(scores: np.ndarray, rows: Sequence[Written], how: How, even: np.ndarray) -> np.ndarray:
    if how.draw.repetition_penalty != 1:
        seen = [np.concatenate([row.prompt, np.array(row.tokens, np.int64)]) for row in rows]
        scores = sampling.penalised(scores, seen, how.draw.repetition_penalty)
    return sampling.drawn(scores, how.draw, even)


def _writable(scores: np.ndarray, tokenizer: Tokenizer, end: int) -> np.ndarray:
    """Of special tokens only the end may be written."""
    out = scores.copy()
    out[:, [number for number in tokenizer.special if number not in (None, end)]] = -np.inf
    return out


def _require_room(row: Written, how: How) -> None:
    if not row.ended and len(row.tokens) >= how.max_tokens:
        row.finish("length")
    if not row.ended and len(row.prompt) + len(row.tokens) >= how.context:
        row.finish("context")


class _Beams:
    """A prompt for `search.beam_search`."""

    def __init__(self, steps: Steps, tokenizer: Tokenizer, end: int):
        self._steps, self._tokenizer, self.end = steps, tokenizer, end

    def step(self, tokens_R: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        if isinstance(state, np.ndarray):
            scores, after = self._steps.begin([state])
        else:
            scores, after = self._steps.step(tokens_R, state)
        return sampling.log_softmax(_writable(scores, self._tokenizer, self.end)), after

    def reorder(self, state: Any, rows_R: np.ndarray) -> Any:
        return self._steps.reorder(state, rows_R)


def likeliest(
    steps: Steps, tokenizer: Tokenizer, prompt: np.ndarray, how: How, beams: int
) -> list[tuple[Written, float]]:
    """The ways that a beam search finds, each with its log-probability, likeliest first."""
    room, end = min(how.max_tokens, how.context - len(prompt)), tokenizer.end if how.end is None else how.end
    (found,) = search.beam_search(_Beams(steps, tokenizer, end), prompt, batch=1, beam=beams, max_steps=room)
    out = []
    for way in found:
        row = Written(prompt, Writer(tokenizer, int(prompt[-1])), how.stop)
        for token in way.tokens:
            if not row.ended:
                row.add(token, 0.0, end)
        row.finish("end" if len(way.tokens) < room else "length")
        out.append((row, way.log_probability))
    return out


class Scored(NamedTuple):
    """Of the tokens of a row but the first: -log p, and whether each was the likeliest."""

    nats: np.ndarray
    right: np.ndarray


def score(steps: Steps, rows: Sequence[np.ndarray]) -> list[Scored]:
    """What the tokens of each row cost, given those before."""
    shown = [row[:-1] for row in rows]
    width = max(map(len, shown))
    nats, right = np.zeros((len(rows), width)), np.zeros((len(rows), width), bool)
    target = np.zeros((len(rows), width), np.int64)
    for number, row in enumerate(rows):
        target[number, width - len(row) + 1 :] = row[1:]
    for here, scores, _ in steps.parts(shown):
        wanted = target[:, here]
        highest = scores.max(axis=2, keepdims=True)
        sums = np.log(np.exp(scores - highest).sum(axis=2, dtype=np.float64))
        given = np.take_along_axis(scores - highest, wanted[:, :, None], axis=2)[:, :, 0]
        nats[:, here], right[:, here] = sums - given, scores.argmax(axis=2) == wanted
    return [Scored(nats[n, width - len(row) :], right[n, width - len(row) :]) for n, row in enumerate(shown)]


def follow(steps: Steps, prompt: np.ndarray, rows: Sequence[np.ndarray]) -> np.ndarray:
    """Log-probabilities of several rows of tokens, each behind the prompt, float64 [rows]."""
    found = [one for row in rows for one in score(steps, [np.concatenate([prompt, row])])]
    return np.array([-one.nats[len(prompt) - 1 :].sum() for one in found])
