"""Which parts of an input an answer rests on, and whether it does. Any model that can be asked about the input without some of its parts.

Shapes: U units of an input, such as the characters and words of a text; N variants of it that lack some.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# bool [N, U], which units each variant has -> what is said of it, such as the probability of a class, [N]
Say = Callable[[np.ndarray], np.ndarray]

SIZES = (1, 2, 4)  # units that are taken away together
MOST = 256  # variants of one size; of an input with more units, several beside each other are one
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the units, which a deletion test takes away
ORDERS = 10  # at random, that it compares with


def occlusion(say: Say, units: int, sizes: Sequence[int] = SIZES) -> np.ndarray:
    """[U]: what is lost when a unit is taken away (Zeiler and Fergus 2014), by itself and, an equal part each, with those beside it.

    A word of several characters is often understood from those that are left: hence more sizes than one. Of one unit it is all that is
    said, as there is nothing without it.
    """
    if units < 2:
        return say(np.ones((1, units), bool))[:units].astype(np.float64)
    whole = float(say(np.ones((1, units), bool))[0])
    found = [_occluded(say, whole, _stretches(units, size)) for size in sizes if size < units]
    return np.mean(found, axis=0)


def _stretches(units: int, size: int) -> np.ndarray:
    """bool [N, U]: every stretch of `size` units, or as many longer ones as there may be."""
    size = max(size, -(-units // MOST))
    step = max(1, -(-(units - size + 1) // MOST))
    starts = np.unique(np.append(np.arange(0, units - size + 1, step), units - size))
    place = np.arange(units)
    return (place >= starts[:, None]) & (place < starts[:, None] + size)


def _occluded(say: Say, whole: float, taken: np.ndarray) -> np.ndarray:
    """[U]: the mean over the stretches [N, U] that a unit is part of, each as much as is lost by one of its units."""
    lost = (whole - say(~taken).astype(np.float64)) / taken.sum(axis=1)
    return (taken * lost[:, None]).sum(axis=0) / np.maximum(taken.sum(axis=0), 1)


class Deletion(NamedTuple):
    """What is said of an input, and without SHARES of its units: the first ones by attribution, and as many at random (the mean)."""

    whole: float
    top: np.ndarray
    random: np.ndarray

    @property
    def gain(self) -> float:
        """How much faster the answer falls than at random, on average over SHARES: above 0 attributions say something."""
        return float((self.random - self.top).mean())


def deletion(say: Say, added: np.ndarray) -> Deletion:
    """The deletion test of attributions [U] (Samek et al. 2017; DeYoung et al. 2020), the same at every call."""
    random, units = np.random.default_rng(0), len(added)
    ranks = [np.argsort(np.argsort(-added, kind="stable")), *(random.permutation(units) for _ in range(ORDERS))]
    counts = np.maximum(1, np.round(np.array(SHARES) * units))
    left = np.array(ranks)[:, None, :] >= counts[:, None]  # [1 + ORDERS, SHARES, U]
    said = say(np.concatenate([np.ones((1, units), bool), left.reshape(-1, units)])).astype(np.float64)
    table = said[1:].reshape(left.shape[:2])
    return Deletion(float(said[0]), table[0], table[1:].mean(axis=0))
