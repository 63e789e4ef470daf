"""Which token comes next, drawn from what a model gives all of them. Numpy only. Shapes: R rows, V vocabulary.

Ari Holtzman et al.: The Curious Case of Neural Text Degeneration (top p), ICLR 2020. Nguyen et al.: Min-p Sampling, 2024. Nitish Shirish
Keskar et al.: CTRL (the penalty on repetitions), 2019.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """How a token is drawn; as it stands here, from all tokens as the model gives them."""

    temperature: float = 1.0  # 0: the likeliest
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, float64."""
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def penalised(scores_RV: np.ndarray, seen: Sequence[np.ndarray], penalty: float) -> np.ndarray:
    """Scores of tokens that a row has seen made smaller."""
    out = scores_RV.astype(np.float64)
    for row, tokens in zip(out, seen):
        here = np.unique(tokens)
        row[here] = np.where(row[here] > 0, row[here] / penalty, row[here] * penalty)
    return out


def drawn(scores_RV: np.ndarray, how: Draw, even_R: np.ndarray) -> np.ndarray:
    """A token for each row, int64 [R]; `even_R` are numbers of 0 .. 1 that decide."""
    if how.temperature == 0:
        return scores_RV.argmax(axis=1)
    p_RV = np.exp(log_softmax(scores_RV / how.temperature))
    p_RV = np.where(_allowed(p_RV, how), p_RV, 0.0)
    sums = p_RV.cumsum(axis=1)
    places = (sums <= (even_R * sums[:, -1])[:, None]).sum(axis=1)
    # What stands behind the last token that is allowed is rounding.
    last = p_RV.shape[1] - 1 - (p_RV[:, ::-1] > 0).argmax(axis=1)
    return np.minimum(places, last)


def _allowed(p_RV: np.ndarray, how: Draw) -> np.ndarray:
    allowed = p_RV >= how.min_p * p_RV.max(axis=1, keepdims=True)
    if 0 < how.top_k < p_RV.shape[1]:
        allowed &= p_RV >= np.partition(p_RV, -how.top_k, axis=1)[:, -how.top_k, None]
    if how.top_p < 1:
        order = np.argsort(-p_RV, axis=1, kind="stable")
        before = np.take_along_axis(p_RV, order, axis=1).cumsum(axis=1) - np.take_along_axis(p_RV, order, axis=1)
        within = np.zeros_like(allowed)
        np.put_along_axis(within, order, before < how.top_p, axis=1)
        allowed &= within
    return allowed
