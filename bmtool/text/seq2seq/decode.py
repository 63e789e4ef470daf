"""What an encoder-decoder writes: beam search, over everything or within a constraint, and the scores of a given target. Numpy only.

Shapes: B sentences, S sources, T positions, C tokens that are allowed at a position, R rows of a search, V target vocabulary.
"""

from typing import Any, Protocol

import numpy as np

from bmtool.nn import search as nn_search
from bmtool.nn.sampling import log_softmax
from bmtool.predict.backends import Arrays
from bmtool.text.seq2seq.specials import BEGIN, END, PAD, UNKNOWN


class Backend(Protocol):
    """A trained network, in PyTorch or exported. A state is a dict of arrays with a row a sentence or hypothesis."""

    def start(self, source_BS: np.ndarray) -> Arrays:
        """The state before the first written token."""

    def step(self, token_R: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
        """Scores [R, V] of what follows `token_R`, and the next state."""

    def reorder(self, state: Arrays, rows_R: np.ndarray) -> Arrays:
        """The state whose row i is the old row `rows_R[i]`."""


class Stepper(nn_search.Stepper, Protocol):
    """What can be searched and forced; its symbols stand for tokens."""

    source: np.ndarray  # int64 [B, S]

    def start(self) -> Any:
        """The state before the first step."""

    def symbols(self, target_BT: np.ndarray) -> np.ndarray:
        """The symbol of every token [B, T], -1 where it is not allowed."""

    def tokens(self, row: int, symbols: tuple[int, ...]) -> tuple[int, ...]:
        """The tokens that the symbols of a sentence stand for."""


class Free:
    """May write any token but PAD, BEGIN and UNKNOWN, until it writes END. Its symbols are the tokens."""

    end = END

    def __init__(self, backend: Backend, source_BS: np.ndarray):
        self.backend, self.source = backend, source_BS

    def start(self) -> tuple[bool, dict]:
        return True, self.backend.start(self.source)

    def step(self, tokens_R: np.ndarray, state: tuple[bool, dict]) -> tuple[np.ndarray, tuple[bool, dict]]:
        first, inner = state
        score_RV, inner = self.backend.step(np.full_like(tokens_R, BEGIN) if first else tokens_R, inner)
        score_RV = score_RV.astype(np.float64)
        score_RV[:, [PAD, BEGIN, UNKNOWN]] = -np.inf
        return log_softmax(score_RV), (False, inner)

    def reorder(self, state: tuple[bool, dict], rows_R: np.ndarray) -> tuple[bool, dict]:
        return state[0], self.backend.reorder(state[1], rows_R)

    def symbols(self, target_BT: np.ndarray) -> np.ndarray:
        return target_BT

    def tokens(self, row: int, symbols: tuple[int, ...]) -> tuple[int, ...]:
        return symbols


class Constrained:
    """Writes at every position one of the tokens that are allowed there, and the end behind the last such position.

    Its symbols are columns of `allowed_BTC`, which holds tokens, PAD where there is none; only the last positions of a row may be
    without any. Probabilities are among the allowed tokens.
    """

    def __init__(self, backend: Backend, source_BS: np.ndarray, allowed_BTC: np.ndarray):
        self.backend, self.source, self.allowed = backend, source_BS, allowed_BTC
        self.lengths = (allowed_BTC != PAD).any(axis=2).sum(axis=1)
        self.end = allowed_BTC.shape[2]

    def start(self) -> tuple[int, np.ndarray, dict]:
        return 0, np.arange(len(self.allowed)), self.backend.start(self.source)

    def step(
        self, symbols_R: np.ndarray, state: tuple[int, np.ndarray, dict]
    ) -> tuple[np.ndarray, tuple[int, np.ndarray, dict]]:
        position, rows, inner = state
        if position == 0:
            written = np.full(len(rows), BEGIN)
        else:
            written = self.allowed[rows, position - 1, np.minimum(symbols_R, self.end - 1)]
        score_RV, inner = self.backend.step(written, inner)
        out = np.full((len(rows), self.end + 1), -np.inf)
        over = position >= self.lengths[rows]
        out[over, self.end] = 0.0
        if len(at := np.flatnonzero(~over)):
            allowed = self.allowed[rows[at], position]
            out[at, :-1] = log_softmax(np.where(allowed != PAD, np.take_along_axis(score_RV[at], allowed, 1), -np.inf))
        return out, (position + 1, rows, inner)

    def reorder(self, state: tuple[int, np.ndarray, dict], rows_R: np.ndarray) -> tuple[int, np.ndarray, dict]:
        position, rows, inner = state
        return position, rows[rows_R], self.backend.reorder(inner, rows_R)

    def symbols(self, target_BT: np.ndarray) -> np.ndarray:
        found = (self.allowed == target_BT[:, :, None]) & (self.allowed != PAD)
        return np.where(found.any(axis=2), found.argmax(axis=2), -1)

    def tokens(self, row: int, symbols: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.allowed[row, np.arange(len(symbols)), list(symbols)].tolist())


def search(
    stepper: Stepper, *, beam: int, max_steps: int, length_penalty: float = 0.0
) -> list[list[nn_search.Hypothesis]]:
    """Up to `beam` likeliest targets of each sentence, best first. See `nn.search.beam_search`."""
    found = nn_search.beam_search(
        stepper, stepper.start(), batch=len(stepper.source), beam=beam, max_steps=max_steps, length_penalty=length_penalty
    )  # fmt: skip
    return [[h._replace(tokens=stepper.tokens(row, h.tokens)) for h in ways] for row, ways in enumerate(found)]


def force(stepper: Stepper, target_BT: np.ndarray) -> np.ndarray:
    """Log-probability [B, T] of every token of a target after those before it; -inf where it is not allowed, and what follows is
    then scored after the first token that is."""
    symbols_BT = stepper.symbols(target_BT)
    state, rows = stepper.start(), np.arange(len(target_BT))
    out, last = np.zeros(target_BT.shape), np.zeros(len(target_BT), np.int64)
    for position, symbols in enumerate(symbols_BT.T):
        log_p, state = stepper.step(last, state)
        last = np.maximum(symbols, 0)
        out[:, position] = np.where(symbols >= 0, log_p[rows, last], -np.inf)
    return out
