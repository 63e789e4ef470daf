"""How unsure a classifier is of an input, from its probabilities: what active learning chooses by (Settles 2009)."""

import numpy as np


def margin(said: np.ndarray) -> np.ndarray:
    """[N]: the largest probability less the second (Scheffer, Decomain and Wrobel 2001), of [N, classes]; 0 is the least sure."""
    second, first = np.partition(said.astype(np.float64), -2, axis=1)[:, -2:].T
    return first - second


def entropy(said: np.ndarray) -> np.ndarray:
    """[N] in nats, of probabilities [N, classes]: 0 where one class is certain, log(classes) where all are as likely."""
    held = said.astype(np.float64)
    return -(held * np.log(np.maximum(held, 1e-300))).sum(axis=1)
