"""The predictor of the encoder-decoders: they write one hanzi after the other, by beam search.

Shapes: B sentences, T positions, C candidates, R rows of a search, V hanzi ids.
"""

from typing import Any, Protocol

import numpy as np

from bmtool.chinese.pinyin import COPY_CLASSES
from bmtool.nn import search
from bmtool.tasks.pinyin2hanzi.predict import Written, batches
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice
from bmtool.tasks.pinyin2hanzi.vocab import BEGIN, COPY, END, INPUTS, PAD, SPECIALS, UNKNOWN, Vocabulary

EXTRA_STEPS = 10  # free generation may write so many tokens more than it read


class Backend(Protocol):
    def start(self, source_BT: np.ndarray) -> Any:
        """State with a row a sentence."""

    def step(self, token_R: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Scores [R, V] of what follows, and the next state."""

    def reorder(self, state: Any, rows_R: np.ndarray) -> Any:
        """The state whose row i is the old row `rows_R[i]`."""


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


class _ConstrainedStepper:
    """An encoder-decoder that may write, for each syllable, one of its candidates only, and then the end."""

    def __init__(self, grid: _Grid, targets_BTC: np.ndarray, backend: Backend):
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

    def __init__(self, source_BT: np.ndarray, backend: Backend):
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


class SequencePredictor:
    """Reads a lattice in one way, as it was typed: guesses are for models that can weigh them."""

    def __init__(self, vocabulary: Vocabulary, backend: Backend, decode: dict, max_length: int):
        self.vocabulary, self.backend, self.decode, self.max_length = vocabulary, backend, decode, max_length

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        ways = [_as_typed(lattice) for lattice in lattices]
        beam = max(n_best, self.decode["beam"])
        out = [[Written((), (), 0.0)] for _ in lattices]
        for numbers in batches([len(way) for way in ways]):
            sources = [np.array([arc.number for arc in ways[n]], np.int64) for n in numbers]
            for number, found in zip(numbers, self._search(sources, beam)):
                out[number] = [self._written(ways[number], hanzi, log_p) for hanzi, log_p in found[:n_best]]
        return out

    def _written(self, arcs: list[Arc], hanzi: tuple[str | None, ...], log_p: float) -> Written:
        """Free generation may write more or fewer hanzi than there are arcs: each text is laid on an arc of its own kind."""
        if self.decode["constrained"]:
            fixed = tuple(arc.word or text for arc, text in zip(arcs, hanzi))
            return Written(tuple(arcs), fixed, log_p)
        copies = [arc for arc in arcs if not self.vocabulary.candidate_count(arc.number)]
        syllables = [arc for arc in arcs if self.vocabulary.candidate_count(arc.number)] or arcs
        laid, written = [], 0
        for text in hanzi:
            if text is not None:
                laid.append((syllables[min(written, len(syllables) - 1)], text))
                written += 1
            elif copies:
                laid.append((copies.pop(0), None))
        return Written(tuple(arc for arc, _ in laid), tuple(text for _, text in laid), log_p)

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        """Given the reference before each; NaN under a copy, -inf where the hanzi is no candidate."""
        out: list[np.ndarray] = [np.zeros(0)] * len(sources)
        for numbers in batches([len(source) for source in sources]):
            grid = _Grid(self.vocabulary, [np.asarray(sources[n], np.int64) for n in numbers])
            forced = np.full((len(numbers), grid.source.shape[1]), -1)
            for row, number in zip(forced, numbers):
                row[: len(sources[number])] = self._indices(sources[number], references[number])
            log_p = self._force(self._constrained(grid), forced)
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

    def _constrained(self, grid: _Grid) -> _ConstrainedStepper:
        targets = np.where(grid.pairs >= 0, self.vocabulary.pair_target[grid.pairs], PAD)
        targets[grid.is_copy, 0] = COPY
        return _ConstrainedStepper(grid, targets, self.backend)

    def _search(self, sources: list[np.ndarray], beam: int) -> list[list[tuple[tuple[str | None, ...], float]]]:
        grid, free = _Grid(self.vocabulary, sources), not self.decode["constrained"]
        stepper = _FreeStepper(grid.source, self.backend) if free else self._constrained(grid)
        found = search.beam_search(
            stepper, stepper.start(), batch=len(sources), beam=beam,
            max_steps=grid.source.shape[1] + (EXTRA_STEPS if free else 1), length_penalty=self.decode["length_penalty"],
        )  # fmt: skip
        name = self._free_hanzi if free else self._grid_hanzi
        return [[(name(grid, row, h.tokens), h.log_probability) for h in found[row]] for row in range(len(sources))]

    def _grid_hanzi(self, grid: _Grid, row: int, tokens: tuple[int, ...]) -> tuple[str | None, ...]:
        copies, pairs = grid.is_copy[row], grid.pairs[row]
        return tuple(
            None if copies[t] else self.vocabulary.pair_hanzi[pairs[t, token]] for t, token in enumerate(tokens)
        )

    def _free_hanzi(self, grid: _Grid, row: int, tokens: tuple[int, ...]) -> tuple[str | None, ...]:
        return tuple(None if token == COPY else self.vocabulary.hanzi[token - SPECIALS] for token in tokens)


def _as_typed(lattice: Lattice) -> list[Arc]:
    """The way without guesses that has the fewest arcs, and of those the one whose first syllables are longer; or the copy."""
    best: list[tuple[int, tuple[int, ...], list[Arc]] | None] = [(0, (), []), *[None] * lattice.size]
    for arc in lattice.arcs:
        if (before := best[arc.start]) is not None and (not arc.cost or INPUTS[arc.number] in COPY_CLASSES):
            way = (before[0] + 1, (*before[1], arc.start - arc.end), [*before[2], arc])
            if best[arc.end] is None or way[:2] < best[arc.end][:2]:
                best[arc.end] = way
    return best[-1][2]


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
