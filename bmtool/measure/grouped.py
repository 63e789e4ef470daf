"""The mean over groups, such as users, of the area under the ROC curve of each, by its examples (GAUC: Zhou et al. 2018, section 6.2).

What a group's examples are shown against is its own: who clicks on everything does not raise it.
"""

from collections.abc import Iterator

import numpy as np

from bmtool.measure.ranking import RESAMPLED, padded, resampled_weights

ROWS = 8192  # whose weights are looked at together
NOBODY = -1


def mean_area(
    positive: np.ndarray, scores: np.ndarray, group: np.ndarray, *, columns: int, parts: np.ndarray | None = None
) -> np.ndarray:
    """[columns] for positive bool, scores and group [N]; examples of NOBODY, and groups of positives or negatives alone, are left out.

    Examples count as `bootstrap.weights` draws them; of many, and with one column, only once. `parts` as `ranking.areas` has them.
    """
    count = len(scores)
    weight = resampled_weights(count) if columns > 1 and 2 * count <= RESAMPLED else np.ones((count, 1), np.float32)
    sets = np.ones((1, count), bool) if parts is None else parts.T
    order = np.lexsort((-scores, group))
    found = []
    for chosen in sets:
        rows = order[(chosen & (group != NOBODY))[order]]
        found.append(padded(_mean(positive[rows], scores[rows], group[rows], weight, rows), columns // len(sets)))
    return np.concatenate(found)


def _mean(
    positive: np.ndarray, scores: np.ndarray, group: np.ndarray, weight: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """[columns of weight], for examples in order of group and falling score; `rows` are their places in `weight`."""
    summed, counted = np.zeros((2, weight.shape[1]))
    for part in _chunks(group):
        areas, sizes = _areas(positive[part], scores[part], group[part], weight[rows[part]].astype(np.float64))
        summed += areas
        counted += sizes
    return np.divide(summed, counted, out=np.full(len(counted), np.nan), where=counted > 0)


def _chunks(group: np.ndarray) -> Iterator[slice]:
    """Slices of about ROWS that part no group."""
    starts = np.append(np.flatnonzero(_changes(group)), len(group))
    begin = 0
    for end in starts[1:]:
        if end - begin >= ROWS or end == len(group):
            yield slice(begin, int(end))
            begin = int(end)


def _areas(
    positive: np.ndarray, scores: np.ndarray, group: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The areas of groups times their sizes, and their sizes, each summed [columns]. Equal scores of a group count as one threshold."""
    ties = np.flatnonzero(_changes(group) | _changes(scores))
    first = np.flatnonzero(_changes(group[ties]))  # of each group
    hit = np.add.reduceat(weight * positive[:, None], ties, axis=0)
    miss = np.add.reduceat(weight * ~positive[:, None], ties, axis=0)
    hits, misses = (np.add.reduceat(part, first, axis=0) for part in (hit, miss))
    own = np.cumsum(_changes(group[ties])) - 1  # the group of each tie
    above = np.cumsum(hit, axis=0) - (np.cumsum(hits, axis=0) - hits)[own]  # hits of the group up to and with a tie
    pairs, size = hits * misses, hits + misses
    area = np.divide(
        np.add.reduceat(miss * (above - hit / 2), first, axis=0), pairs, out=np.zeros_like(pairs), where=pairs > 0
    )
    return (area * size).sum(axis=0), np.where(pairs > 0, size, 0).sum(axis=0)


def _changes(values: np.ndarray) -> np.ndarray:
    """bool [N]: the first one, and those that differ from the one before."""
    return np.append(np.ones(min(1, len(values)), bool), values[1:] != values[:-1])
