"""Typed pinyin to text. Numpy only: the same code serves PyTorch runs and exported models, one line or a whole test set.

Shapes: B sentences, T positions, C candidates, R rows of a search, V hanzi ids.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from bmtool.nn import search
from bmtool.tasks.pinyin2hanzi import pinyin
from bmtool.tasks.pinyin2hanzi.pinyin import Token
from bmtool.tasks.pinyin2hanzi.vocab import BEGIN, COPY, END, PAD, SPECIALS, UNKNOWN, Vocabulary, input_id

BATCH_TOKENS = 2048
EXTRA_STEPS = 10  # free generation may write so many tokens more than it read
SENTENCE_ENDS = frozenset("。！？!?；;…")


class TaggerBackend(Protocol):
    def log_p(self, source_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        """Log-probabilities [B, T, C] of each position's candidate pairs."""


class EncoderDecoderBackend(Protocol):
    def start(self, source_BT: np.ndarray) -> Any:
        """State with a row a sentence."""

    def step(self, token_R: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Scores [R, V] of what follows, and the next state."""

    def reorder(self, state: Any, rows_R: np.ndarray) -> Any:
        """The state whose row i is the old row `rows_R[i]`."""


class Reading(NamedTuple):
    """One way to write an example: a hanzi a position, None where a copy stands."""

    hanzi: tuple[str | None, ...]
    log_probability: float


@dataclass(frozen=True)
class Translation:
    """One line of output. `n_best` is (text, probability), best first; `unread` are copied words that look like mistyped pinyin."""

    text: str
    n_best: list[tuple[str, float]]
    unread: list[str] = field(default_factory=list)


class _Grid:
    """Candidates of every position of a batch, as one table: `pairs` [B, T, C], -1 where there is none. Column C is the end.

    A copy has one candidate, number 0, that stands for the copy.
    """

    def __init__(self, vocabulary: Vocabulary, sources: list[np.ndarray]):
        self.lengths = np.array([len(source) for source in sources])
        self.source = np.zeros((len(sources), self.lengths.max()), np.int64)
        for row, source in zip(self.source, sources):
            row[: len(source)] = source
        start = vocabulary.pair_start[self.source]
        size = vocabulary.pair_start[self.source + 1] - start
        column = np.arange(max(1, size.max()))
        self.pairs = np.where(column < size[..., None], start[..., None] + column, -1)
        self.is_copy = (size == 0) & (self.source != PAD)
        self.end = len(column)

    def close(self, log_p_BTC: np.ndarray) -> np.ndarray:
        """Log-probabilities [B, T + 1, C + 1] with copies certain and the end certain behind each sentence."""
        batch, length, size = log_p_BTC.shape
        table = np.full((batch, length + 1, size + 1), -np.inf)
        table[:, :length, :size] = np.where(self.pairs >= 0, log_p_BTC, -np.inf)
        table[:, :length, 0] = np.where(self.is_copy, 0.0, table[:, :length, 0])
        table[np.arange(batch), self.lengths, self.end] = 0.0
        return table


class _TaggerStepper:
    """The tagger's table of independent positions; the state is (position, rows of the table)."""

    def __init__(self, table: np.ndarray, end: int):
        self.table, self.end = table, end

    def start(self) -> tuple[int, np.ndarray]:
        return 0, np.arange(len(self.table))

    def step(self, tokens_R: np.ndarray, state: tuple[int, np.ndarray]) -> tuple[np.ndarray, tuple[int, np.ndarray]]:
        position, rows = state
        return self.table[rows, position], (position + 1, rows)

    def reorder(self, state: tuple[int, np.ndarray], rows_R: np.ndarray) -> tuple[int, np.ndarray]:
        return state[0], state[1][rows_R]


class _ConstrainedStepper:
    """An encoder-decoder that may write, for each syllable, one of its candidates only, and then the end."""

    def __init__(self, grid: _Grid, targets_BTC: np.ndarray, backend: EncoderDecoderBackend):
        self.grid, self.targets, self.backend, self.end = grid, targets_BTC, backend, grid.end

    def start(self) -> tuple[int, np.ndarray, Any]:
        return 0, np.arange(len(self.targets)), self.backend.start(self.grid.source)

    def step(
        self, tokens_R: np.ndarray, state: tuple[int, np.ndarray, Any]
    ) -> tuple[np.ndarray, tuple[int, np.ndarray, Any]]:
        position, rows, inner = state
        if position == 0:
            written = np.full(len(rows), BEGIN)
        else:
            written = self.targets[rows, position - 1, np.minimum(tokens_R, self.end - 1)]
        score_RV, inner = self.backend.step(written, inner)
        out = np.full((len(rows), self.end + 1), -np.inf)
        here = rows[position < self.grid.lengths[rows]]
        at = np.flatnonzero(position < self.grid.lengths[rows])
        if len(at):
            scores = np.where(
                self.grid.pairs[here, position] >= 0,
                np.take_along_axis(score_RV[at], self.targets[here, position], 1),
                -np.inf,
            )
            scores[self.grid.is_copy[here, position], 0] = 0.0
            out[at, : self.end] = _log_softmax(scores)
        out[position >= self.grid.lengths[rows], self.end] = 0.0
        return out, (position + 1, rows, inner)

    def reorder(self, state: tuple[int, np.ndarray, Any], rows_R: np.ndarray) -> tuple[int, np.ndarray, Any]:
        position, rows, inner = state
        return position, rows[rows_R], self.backend.reorder(inner, rows_R)


class _FreeStepper:
    """An encoder-decoder that may write any hanzi."""

    end = END

    def __init__(self, source_BT: np.ndarray, backend: EncoderDecoderBackend):
        self.source, self.backend = source_BT, backend

    def start(self) -> tuple[bool, Any]:
        return True, self.backend.start(self.source)

    def step(self, tokens_R: np.ndarray, state: tuple[bool, Any]) -> tuple[np.ndarray, tuple[bool, Any]]:
        first, inner = state
        score_RV, inner = self.backend.step(np.full_like(tokens_R, BEGIN) if first else tokens_R, inner)
        score_RV = score_RV.astype(np.float64)
        score_RV[:, [PAD, BEGIN, UNKNOWN]] = -np.inf
        return _log_softmax(score_RV), (False, inner)

    def reorder(self, state: tuple[bool, Any], rows_R: np.ndarray) -> tuple[bool, Any]:
        return state[0], self.backend.reorder(state[1], rows_R)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class Predictor:
    """A trained model with what it needs to read pinyin and write text."""

    def __init__(
        self, vocabulary: Vocabulary, backend: TaggerBackend | EncoderDecoderBackend, decode: dict, max_length: int
    ):
        self.vocabulary, self.backend, self.decode, self.max_length = vocabulary, backend, decode, max_length
        self._is_tagger = hasattr(backend, "log_p")
        self._free = not self._is_tagger and not decode["constrained"]

    def translate(self, lines: list[str], n_best: int = 1) -> list[Translation]:
        """Each line of typed pinyin as text, with up to `n_best` ways to write it. An empty line stays empty."""
        tokens = [list(map(self._readable, pinyin.tokenise_pinyin(line))) for line in lines]
        parts = [list(_parts(line, self.max_length)) for line in tokens]
        readings = iter(self.readings([[input_id(t) for t in part] for line in parts for part in line], n_best))
        return [self._translation(line, [next(readings) for _ in line], n_best) for line in parts]

    def _readable(self, token: Token) -> Token:
        """The token itself, or a copy of it when it is a syllable that no hanzi of this vocabulary is read with."""
        if token.is_copy or self.vocabulary.candidate_count(input_id(token)):
            return token
        return Token(token.text, "latin", token.spaced)

    def _translation(self, parts: list[list[Token]], readings: list[list[Reading]], n_best: int) -> Translation:
        n_best_texts: dict[str, float] = {}
        for choice, log_p in search.merge(readings, n_best):
            written = [
                pair for part, options, i in zip(parts, readings, choice) for pair in _write(part, options[i].hanzi)
            ]
            n_best_texts.setdefault(pinyin.join(written), float(np.exp(log_p)))
        unread = [token.text for part in parts for token in part if pinyin.looks_mistyped(token)]
        return Translation(next(iter(n_best_texts)), list(n_best_texts.items()), unread)

    def readings(self, sources: list[list[int]], n_best: int) -> list[list[Reading]]:
        """The best readings of each example (input numbers), best first."""
        beam = max(n_best, 1 if self._is_tagger else self.decode["beam"])
        out = [[Reading((), 0.0)] for _ in sources]
        for numbers, batch in _batches(sources):
            for number, found in zip(numbers, self._search(batch, beam)):
                out[number] = found[:n_best]
        return out

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        """Log-probability of every reference hanzi given those before it; NaN under a copy, -inf where it is no candidate."""
        out: list[np.ndarray] = [np.zeros(0)] * len(sources)
        for numbers, batch in _batches(sources):
            grid = _Grid(self.vocabulary, batch)
            forced = np.full((len(batch), grid.source.shape[1]), -1)
            for row, number in zip(forced, numbers):
                row[: len(sources[number])] = self._indices(sources[number], references[number])
            log_p = self._force(self._constrained_stepper(grid), forced)
            log_p[grid.is_copy] = np.nan
            for row, number in zip(log_p, numbers):
                out[number] = row[: len(sources[number])]
        return out

    def _indices(self, source: list[int], reference: list[str | None]) -> list[int]:
        """The candidate number of each reference hanzi, -1 when it is none."""
        starts = self.vocabulary.pair_start[source]
        pairs = [
            start if h is None else self.vocabulary.pair_id(n, h) for n, h, start in zip(source, reference, starts)
        ]
        return [int(pair - start) if pair >= 0 else -1 for pair, start in zip(pairs, starts)]

    def _force(self, stepper: Any, forced_BT: np.ndarray) -> np.ndarray:
        state, rows = stepper.start(), np.arange(len(forced_BT))
        out, last = np.zeros(forced_BT.shape), np.zeros(len(forced_BT), np.int64)
        for position in range(forced_BT.shape[1]):
            log_p, state = stepper.step(last, state)
            last = np.maximum(forced_BT[:, position], 0)
            out[:, position] = np.where(forced_BT[:, position] >= 0, log_p[rows, last], -np.inf)
        return out

    def _constrained_stepper(self, grid: _Grid) -> "_TaggerStepper | _ConstrainedStepper":
        if self._is_tagger:
            return _TaggerStepper(grid.close(self.backend.log_p(grid.source, grid.pairs)), grid.end)
        targets = np.where(grid.pairs >= 0, self.vocabulary.pair_target[grid.pairs], PAD)
        targets[grid.is_copy, 0] = COPY
        return _ConstrainedStepper(grid, targets, self.backend)

    def _search(self, sources: list[np.ndarray], beam: int) -> list[list[Reading]]:
        grid = _Grid(self.vocabulary, sources)
        stepper = _FreeStepper(grid.source, self.backend) if self._free else self._constrained_stepper(grid)
        found = search.beam_search(
            stepper, stepper.start(), batch=len(sources), beam=beam,
            max_steps=grid.source.shape[1] + (EXTRA_STEPS if self._free else 1), length_penalty=self.decode["length_penalty"],
        )  # fmt: skip
        name = self._free_hanzi if self._free else self._grid_hanzi
        return [
            [Reading(name(grid, row, h.tokens), h.log_probability) for h in found[row]] for row in range(len(sources))
        ]

    def _grid_hanzi(self, grid: _Grid, row: int, tokens: tuple[int, ...]) -> tuple[str | None, ...]:
        copies, pairs = grid.is_copy[row], grid.pairs[row]
        return tuple(
            None if copies[t] else self.vocabulary.pair_hanzi[pairs[t, token]] for t, token in enumerate(tokens)
        )

    def _free_hanzi(self, grid: _Grid, row: int, tokens: tuple[int, ...]) -> tuple[str | None, ...]:
        return tuple(None if token == COPY else self.vocabulary.hanzi[token - SPECIALS] for token in tokens)


def _parts(tokens: Iterable[Token], max_length: int) -> Iterator[list[Token]]:
    """A line as the examples the model was trained on: sentences, and no longer than `max_length`. An empty line is one part."""
    part: list[Token] = []
    ended = False
    for token in tokens:
        ends = token.is_copy and token.text in SENTENCE_ENDS
        if part and ((ended and not token.is_copy) or len(part) == max_length):
            yield part
            part = []
        part.append(token)
        ended = ends or (ended and token.is_copy)
    yield part


def _write(part: list[Token], hanzi: tuple[str | None, ...]) -> list[tuple[str, Token]]:
    """The hanzi of a reading with the part's copies put back in their order, each beside the token it stands for."""
    copies = [token for token in part if token.is_copy]
    out, used = [], 0
    for h in hanzi:
        if h is not None:
            out.append((h, Token(h, "hanzi", False)))
        elif used < len(copies):
            out.append((copies[used].text, copies[used]))
            used += 1
    return out + [(copy.text, copy) for copy in copies[used:]]


def _batches(sources: list[list[int]]) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """(numbers, examples) of similar length, about BATCH_TOKENS a batch; empty examples are left out."""
    order = sorted((number for number, source in enumerate(sources) if source), key=lambda number: len(sources[number]))
    numbers: list[int] = []
    for number in order:
        if numbers and (len(numbers) + 1) * len(sources[number]) > BATCH_TOKENS:
            yield numbers, [np.asarray(sources[n], np.int64) for n in numbers]
            numbers = []
        numbers.append(number)
    if numbers:
        yield numbers, [np.asarray(sources[n], np.int64) for n in numbers]


class OnnxTagger:
    def __init__(self, session: Any):
        self.session = session

    def log_p(self, source_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        return self.session.run(["log_p"], {"source": source_BT, "pairs": pairs_BTC})[0]


class OnnxEncoderDecoder:
    """One file with both halves: the input `start` says whether the state is made from `source` or taken from the inputs."""

    def __init__(self, session: Any, empty: dict[str, list], moving: list[str]):
        self.session, self.moving = session, moving
        self.empty = {
            name: np.zeros(shape, np.bool_ if name == "keep" else np.float32) for name, shape in empty.items()
        }

    def start(self, source_BT: np.ndarray) -> dict[str, np.ndarray]:
        return {"source": source_BT}

    def step(self, token_R: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        starting = "source" in state
        wanted = list(self.empty) if starting else self.moving
        feeds = (
            self.empty
            | {"source": np.zeros((1, 1), np.int64)}
            | state
            | {"token": token_R, "start": np.array(starting)}
        )
        scores, *values = self.session.run(["scores", *(f"next_{name}" for name in wanted)], feeds)
        kept = {} if starting else state
        return scores, kept | dict(zip(wanted, values))

    def reorder(self, state: dict[str, np.ndarray], rows_R: np.ndarray) -> dict[str, np.ndarray]:
        return {name: value[rows_R] for name, value in state.items()}


def from_onnx(session: Any, metadata: dict) -> Predictor:
    """The predictor of an exported model."""
    vocabulary = Vocabulary.from_dict(metadata["vocabulary"], "the model's metadata")
    if metadata["kind"] == "tagger":
        backend: TaggerBackend | EncoderDecoderBackend = OnnxTagger(session)
    else:
        backend = OnnxEncoderDecoder(session, metadata["state"], metadata["moving"])
    return Predictor(vocabulary, backend, metadata["decode"], metadata["max_length"])
