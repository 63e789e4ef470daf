"""Beam search over `step(tokens, state) -> (log-probabilities, state)`. Numpy only: the same search serves PyTorch and ONNX.

Shapes: B sentences, K beams, R = B x K rows, V vocabulary.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np


class Stepper(Protocol):
    """What can be searched: a model, or a table of scores."""

    end: int  # the token that ends a sequence

    def step(self, tokens_R: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Log-probabilities [R, V] of the next token after `tokens_R` (ignored at the first step), and the next state."""

    def reorder(self, state: Any, rows_R: np.ndarray) -> Any:
        """The state whose row i is the old row `rows_R[i]`."""


class Hypothesis(NamedTuple):
    tokens: tuple[int, ...]  # without the end token
    log_probability: float


def beam_search(  # noqa: PLR0913
    stepper: Stepper, state: Any, *, batch: int, beam: int, max_steps: int, length_penalty: float = 0.0
) -> list[list[Hypothesis]]:
    """Up to `beam` best sequences of each of `batch` sentences, best first; equal scores keep the lower token first.

    `state` has one row a sentence. A sequence is complete after `stepper.end`; after `max_steps` whatever is there is taken.
    Sequences are ranked by log-probability / length ** length_penalty (Wu et al. 2016, equation 14, simplified).
    """
    scores_BK = np.zeros((batch, 1))
    tokens_BKT = np.zeros((batch, 1, 0), np.int64)
    done_BK = np.zeros((batch, 1), bool)
    last_R = np.full(batch, stepper.end)
    for _ in range(max_steps):
        log_p, state = stepper.step(last_R, state)
        choice = _extend(scores_BK, done_BK, log_p.reshape(*done_BK.shape, -1), stepper.end, beam)
        parent_BK, token_BK, scores_BK = choice
        kept = np.take_along_axis(tokens_BKT, parent_BK[:, :, None], axis=1)
        tokens_BKT = np.concatenate([kept, token_BK[:, :, None]], axis=2)
        done_BK = np.take_along_axis(done_BK, parent_BK, axis=1) | (token_BK == stepper.end)
        if done_BK.all():
            break
        rows_R = (parent_BK + np.arange(batch)[:, None] * (len(last_R) // batch)).ravel()
        state, last_R = stepper.reorder(state, rows_R), token_BK.ravel()
    return [_ranked(tokens, scores, stepper.end, length_penalty) for tokens, scores in zip(tokens_BKT, scores_BK)]


def _extend(
    scores_BK: np.ndarray, done_BK: np.ndarray, log_p_BKV: np.ndarray, end: int, beam: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parent, token and score [B, K'] of the best continuations; a complete sequence continues only as itself."""
    batch, beams, size = log_p_BKV.shape
    grown = np.where(done_BK[:, :, None], -np.inf, log_p_BKV)
    grown[:, :, end] = np.where(done_BK, 0.0, grown[:, :, end])
    total = (scores_BK[:, :, None] + grown).reshape(batch, beams * size)
    width = min(beam, total.shape[1])
    if width < total.shape[1]:
        best = np.argpartition(-total, width - 1, axis=1)[:, :width]
    else:
        best = np.tile(np.arange(width), (batch, 1))
    best.sort(axis=1)
    picked = np.take_along_axis(total, best, axis=1)
    order = np.argsort(-picked, axis=1, kind="stable")
    best, picked = np.take_along_axis(best, order, axis=1), np.take_along_axis(picked, order, axis=1)
    return best // size, best % size, picked


def _ranked(tokens_KT: np.ndarray, scores_K: np.ndarray, end: int, length_penalty: float) -> list[Hypothesis]:
    found = []
    for row, score in zip(tokens_KT, scores_K):
        if np.isfinite(score):
            stop = np.flatnonzero(row == end)
            found.append(Hypothesis(tuple(row[: stop[0]].tolist() if len(stop) else row.tolist()), float(score)))
    if length_penalty:
        found.sort(key=lambda h: -h.log_probability / max(len(h.tokens) + 1, 1) ** length_penalty)
    return found


def merge(lists: list[list[Hypothesis]], size: int) -> list[tuple[tuple[int, ...], float]]:
    """The `size` best ways to take one hypothesis from each list (independent parts of one line): (choice, log-probability)."""
    best: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for hypotheses in lists:
        grown = [((*c, i), p + h.log_probability) for c, p in best for i, h in enumerate(hypotheses)]
        best = sorted(grown, key=lambda item: -item[1])[:size]
    return best
