"""From scores to what they mean, by what is learned: one class, several, an order of classes, a number. Numpy only.

Shapes: N texts, S scores, C classes.
"""

from collections.abc import Callable

import numpy as np

NEAR = 1e-6  # that of a temperature it is found to


def scores_of(goal: str, classes: int) -> int:
    """How many scores a model gives: of an order one for each step from a class to the next."""
    return {"one": classes, "several": classes, "ordinal": classes - 1, "number": 1}[goal]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def probabilities(goal: str, scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64 [N, C]: of one class and of an order they add up to 1, of several each is by itself."""
    scaled = scores.astype(np.float64) / temperature
    if goal == "several":
        return sigmoid(scaled)
    if goal == "one":
        grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)
    # How likely each class or a higher one is falls from class to class.
    above = np.minimum.accumulate(sigmoid(scaled), axis=1)
    edges = np.concatenate([np.ones((len(above), 1)), above, np.zeros((len(above), 1))], axis=1)
    return edges[:, :-1] - edges[:, 1:]


def nats(goal: str, p: np.ndarray, truth: np.ndarray) -> float:
    """Mean of -log p of what is right, of probabilities [N, C]; `truth` are class numbers [N], or [N, C] of several."""
    right = np.where(truth > 0.5, p, 1 - p) if goal == "several" else p[np.arange(len(p)), truth]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def best_temperature(goal: str, said: Callable[[float], np.ndarray], truth: np.ndarray) -> float:
    """That under which what is right is likeliest (Guo et al. 2017), between 1/20 and 20: by golden sections of its logarithm.

    `said` are the probabilities [N, C] under a temperature.
    """
    low, high, golden = np.log(0.05), np.log(20.0), (5**0.5 - 1) / 2
    while high - low > NEAR:
        a, b = high - golden * (high - low), low + golden * (high - low)
        if nats(goal, said(float(np.exp(a))), truth) <= nats(goal, said(float(np.exp(b))), truth):
            high = b
        else:
            low = a
    return round(float(np.exp((low + high) / 2)), 6)


def best_thresholds(p: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each class the probability from which on it is said, with the best F1 on [N, C]; 0.5 for one that is nowhere."""
    return [_best_threshold(p[:, column], truth[:, column] > 0.5) for column in range(p.shape[1])]


def _best_threshold(p: np.ndarray, true: np.ndarray) -> float:
    if not true.any():
        return 0.5
    order = np.argsort(-p, kind="stable")
    right = np.cumsum(true[order])
    f1 = 2 * right / (np.arange(1, len(p) + 1) + true.sum())
    # Of equal probabilities all are said, or none.
    ends = np.append(np.diff(p[order]) < 0, True)
    best = int(np.where(ends, f1, -1).argmax())
    below = p[order][best + 1] if best + 1 < len(p) else 0.0
    return round(float((p[order][best] + below) / 2), 6)
