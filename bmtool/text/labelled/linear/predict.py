"""Texts to scores of a linear model: n-grams are looked up here, in numpy, and what they weigh is a graph."""

from collections.abc import Iterator, Sequence

import numpy as np

from bmtool.predict.backends import Backend
from bmtool.text.grams import Table

# Features of texts that are asked about together, what fills them up included.
MOST = 1 << 18


def scores(table: Table, backend: Backend, texts: Sequence[str]) -> np.ndarray:
    """float32 [N, S], whatever else is asked about with a text."""
    rows, parts = table.features(texts), []
    for places in _alike(np.diff(rows.start)):
        feature, value = rows.taken(places).padded()
        found = backend.run("model", {"feature": feature, "value": value})["scores"]
        parts.append((places, backend.numpy(found)))
    out = np.zeros((len(texts), parts[0][1].shape[1] if parts else 0), np.float32)
    for places, found in parts:
        out[places] = found
    return out


def _alike(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Places of rows of similar length; MOST features at once, or one row."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    for last in range(1, len(order) + 1):
        if last == len(order) or lengths[order[last]] * (last + 1 - first) > MOST:
            yield order[first:last]
            first = last
