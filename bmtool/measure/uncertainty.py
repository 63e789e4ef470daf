"""How unsure a classifier is of an input, from its probabilities: what active learning chooses by (Settles 2009)."""

import numpy as np

TINY = 1e-300


def margin(said: np.ndarray) -> np.ndarray:
    """[N]: the largest probability less the second (Scheffer, Decomain and Wrobel 2001); 0 is the least sure."""
    second, first = np.partition(said.astype(np.float64), -2, axis=1)[:, -2:].T
    return first - second


def entropy(said: np.ndarray) -> np.ndarray:
    """[N] in nats: 0 where one class is certain, log(classes) where all are as likely."""
    held = said.astype(np.float64)
    return -(held * np.log(np.maximum(held, TINY))).sum(axis=1)


def margin_of_several(said: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """[N], where each class [N, classes] is said or not by itself: how near the nearest is to its threshold (Brinker 2003)."""
    return np.abs(said.astype(np.float64) - thresholds).min(axis=1)


def entropy_of_several(said: np.ndarray) -> np.ndarray:
    """[N] in nats: the mean over the classes."""
    held = said.astype(np.float64)
    return np.mean([entropy(np.stack([p, 1 - p], axis=1)) for p in held.T], axis=0)
