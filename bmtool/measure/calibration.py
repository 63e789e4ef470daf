"""Whether probabilities can be believed: expected calibration error in equally wide bins (Guo et al. 2017)."""

import numpy as np

from bmtool.measure.bootstrap import ratio

BINS = 10
WIDTH = 3 * BINS  # columns of `rows`


def rows(probability: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each example [N] its place among the bins, [N, WIDTH]: 1, the probability of what was chosen, and whether that is right.

    What is no number (NaN) makes the error none either.
    """
    out = np.zeros((len(probability), BINS, 3))
    bins = np.minimum((np.nan_to_num(probability) * BINS).astype(np.int64), BINS - 1)
    out[np.arange(len(probability)), bins] = np.stack([np.ones(len(probability)), probability, right], axis=1)
    return out.reshape(len(probability), -1)


def error(total: np.ndarray) -> np.ndarray:
    """Expected calibration error [columns] of added-up `rows` [columns, WIDTH]."""
    count, probability, right = np.moveaxis(total.reshape(-1, BINS, 3), 2, 0)
    return ratio(np.abs(probability - right).sum(axis=1), count.sum(axis=1))


def points(total: np.ndarray) -> np.ndarray:
    """[bins that hold any, 3] of added-up `rows` [WIDTH]: the mean probability, the share that is right, and how many."""
    count, probability, right = total.reshape(BINS, 3).T
    some = count > 0
    return np.stack([probability[some] / count[some], right[some] / count[some], count[some]], axis=1)
