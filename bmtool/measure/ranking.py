"""Areas under ROC curves (Fawcett 2006) and average precision (Davis and Goadrich 2006), one class against the rest."""

from typing import NamedTuple

import numpy as np

from bmtool.measure.bootstrap import BLOCK, RESAMPLES, weights

RESAMPLED = 400_000  # examples x classes up to which an area gets an interval; it takes some seconds then
_POINTS = 200  # of a curve


class Curve(NamedTuple):
    """Rates at falling thresholds, and the areas of column 0."""

    false: np.ndarray
    true: np.ndarray
    precision: np.ndarray
    auc: float
    average_precision: float


class Areas(NamedTuple):
    """`auc` and `average_precision` [columns] of each class that has positive and negative examples, and its curve."""

    auc: dict[int, np.ndarray]
    average_precision: dict[int, np.ndarray]
    curves: dict[int, Curve]


def areas(
    labels: np.ndarray, scores: np.ndarray, *, columns: int = 1 + RESAMPLES, parts: np.ndarray | None = None
) -> Areas:
    """Of labels [N] and scores [N, classes]. Examples count as `bootstrap.weights` draws them; of many, and with one column, only once.

    The columns are those of one set of weights after the other: `parts` bool [N, sets] says which examples have any (`counted`); None:
    all, in the only one.
    """
    count, classes = scores.shape
    resampled = columns > 1 and count * classes <= RESAMPLED
    weight = resampled_weights(count) if resampled else np.ones((count, 1), np.float32)
    chosen = np.ones((1, count), bool) if parts is None else parts.T
    found = Areas({}, {}, {})
    for number in range(classes):
        positive = labels == number
        if positive.any() and not positive.all():
            order = np.argsort(-scores[:, number], kind="stable")
            ranked = positive[order], scores[order, number], weight[order]
            each = [_areas(*(one[part] for one in ranked)) for part in (_rows(part[order]) for part in chosen)]
            width = columns // len(chosen)
            found.auc[number] = np.concatenate([padded(area, width) for area, _, _ in each])
            found.average_precision[number] = np.concatenate([padded(precision, width) for _, precision, _ in each])
            found.curves[number] = each[0][2]
    return found


def _rows(chosen: np.ndarray) -> np.ndarray | slice:
    """As an index that copies nothing where all are chosen."""
    return slice(None) if chosen.all() else chosen


def counted(weight: np.ndarray) -> np.ndarray:
    """bool [B, sets] of weights [B, columns]: which sets of 1 + RESAMPLES columns count an example at all."""
    return weight[:, :: 1 + RESAMPLES] > 0


def mean(values: list[np.ndarray], columns: int) -> np.ndarray:
    """[columns], NaN where no class has a value."""
    out = np.full(columns, np.nan)
    if values:
        stacked = np.stack(values)
        some = np.isfinite(stacked).any(axis=0)
        out[some] = np.nanmean(stacked[:, some], axis=0)
    return out


def padded(values: np.ndarray, columns: int) -> np.ndarray:
    """[columns], NaN behind."""
    return np.append(values, np.full(columns - len(values), np.nan))


def resampled_weights(count: int) -> np.ndarray:
    """[N, 1 + RESAMPLES] of all examples."""
    stream = weights()
    return np.concatenate([next(stream)[: min(BLOCK, count - start)] for start in range(0, count, BLOCK)])


def _areas(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, Curve]:
    """Both areas [columns of weight] and the curve, for examples in order of falling score; equal scores count as one threshold."""
    if not len(scores):
        nothing = np.full(weight.shape[1], np.nan)
        return nothing, nothing, Curve(nothing, nothing, nothing, float("nan"), float("nan"))
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    hit = np.add.reduceat(weight * positive[:, None], starts, axis=0, dtype=np.float64)
    miss = np.add.reduceat(weight * ~positive[:, None], starts, axis=0, dtype=np.float64)
    hits, misses = np.cumsum(hit, axis=0), np.cumsum(miss, axis=0)
    pairs = hits[-1] * misses[-1]
    area = np.divide((miss * (hits - hit / 2)).sum(0), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    precision = hits / np.maximum(hits + misses, 1e-12)
    summed = (hit * precision).sum(0)
    average = np.divide(summed, hits[-1], out=np.full(len(pairs), np.nan), where=hits[-1] > 0)
    with np.errstate(invalid="ignore"):  # a part of the data may have examples of one side alone
        false, true = (np.append(0, part[:, 0]) / part[-1, 0] for part in (misses, hits))
    shown = np.unique(np.linspace(0, len(true) - 1, _POINTS).astype(int))
    drawn = np.append(1.0, precision[:, 0])[shown]
    return area, average, Curve(false[shown], true[shown], drawn, float(area[0]), float(average[0]))
