"""Examples whose label is likely wrong: confident learning (Northcutt, Jiang and Chuang 2021)."""

from typing import NamedTuple

import numpy as np


class Suspects(NamedTuple):
    """The likeliest errors first: numbers of examples, the class that each is more likely of, and its normalised margin [suspects].

    The margin is (p of the given label - the largest p of another + 1) / 2: 0 where the model is sure of another, below 0.5 for all.
    """

    examples: np.ndarray
    suggested: np.ndarray
    margin: np.ndarray


def thresholds(given: np.ndarray, said: np.ndarray) -> np.ndarray:
    """[classes]: how sure the model is, on average, of a class where it is the given label; infinite for one that is given nowhere."""
    count = np.bincount(given, minlength=said.shape[1])
    total = np.bincount(given, said[np.arange(len(said)), given], minlength=said.shape[1])
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def confident(given: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The class [N] that each example is confidently of: the likeliest of those that reach their threshold; -1 where none does."""
    # What is added up in another order differs in the last digits.
    reached = said >= thresholds(given, said) - 1e-6
    likeliest = np.where(reached, said, -1).argmax(axis=1)
    return np.where(reached.any(axis=1), likeliest, -1)


def suspects(given: np.ndarray, said: np.ndarray) -> Suspects:
    """Of given labels [N] and probabilities [N, classes] that a model says of examples it has not learned from.

    An example is one when it is confidently of another class than its label, and the label is not the likeliest class either.
    """
    said = said.astype(np.float64)
    rows, classes = np.arange(len(given)), confident(given, said)
    own, others = said[rows, given], said.copy()
    others[rows, given] = -np.inf
    margin = (own - others.max(axis=1) + 1) / 2
    found = np.flatnonzero((classes >= 0) & (classes != given) & (said.argmax(axis=1) != given))
    ranked = found[np.argsort(margin[found], kind="stable")]
    return Suspects(ranked, classes[ranked], margin[ranked])
