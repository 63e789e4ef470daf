"""Areas under ROC curves, one class against the rest (Fawcett 2006)."""

import numpy as np

from bmtool.measure.bootstrap import BLOCK, RESAMPLES, weights

RESAMPLED = 400_000  # examples x classes up to which the area gets an interval; it takes some seconds then
_POINTS = 200  # of a curve

Curve = tuple[np.ndarray, np.ndarray, float]  # false positive rate, true positive rate, area


def areas(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, dict[int, Curve]]:
    """Mean area over the classes [1 + RESAMPLES] and each class's curve, of labels [N] and scores [N, classes].

    Classes without a positive or a negative example have no curve. Examples count as `bootstrap.weights` draws them.
    """
    count, classes = scores.shape
    resampled = count * classes <= RESAMPLED
    weight = _weights(count) if resampled else np.ones((count, 1), np.float32)
    found, curves = [], {}
    for number in range(classes):
        positive = labels == number
        if positive.any() and not positive.all():
            order = np.argsort(-scores[:, number], kind="stable")
            area, curve = _area(positive[order], scores[order, number], weight[order])
            found.append(area)
            curves[number] = curve
    out = np.full(1 + RESAMPLES, np.nan)
    if found:
        with np.errstate(invalid="ignore"):
            mean = np.nanmean(np.stack(found), axis=0)
        out[: len(mean)] = mean
    return out, curves


def _weights(count: int) -> np.ndarray:
    """[N, 1 + RESAMPLES] of all examples."""
    stream = weights()
    return np.concatenate([next(stream)[: min(BLOCK, count - start)] for start in range(0, count, BLOCK)])


def _area(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, Curve]:
    """Area [columns of weight] and the curve, for examples in order of falling score; equal scores count half."""
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    hit = np.add.reduceat(weight * positive[:, None], starts, axis=0, dtype=np.float64)
    miss = np.add.reduceat(weight * ~positive[:, None], starts, axis=0, dtype=np.float64)
    before = np.cumsum(hit, axis=0) - hit
    pairs = hit.sum(0) * miss.sum(0)
    area = np.divide((miss * (before + hit / 2)).sum(0), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    rates = [np.append(0, np.cumsum(part[:, 0])) / part[:, 0].sum() for part in (miss, hit)]
    shown = np.unique(np.linspace(0, len(rates[0]) - 1, _POINTS).astype(int))
    return area, (rates[0][shown], rates[1][shown], float(area[0]))
