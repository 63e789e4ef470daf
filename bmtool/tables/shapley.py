"""What each column of a row adds to a model's answer (Shapley values, sampled: Strumbelj and Kononenko 2014)."""

from collections.abc import Callable

import numpy as np

ORDERS = 32


def contributions(
    say: Callable[[np.ndarray], np.ndarray], row: np.ndarray, typical: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """[columns], whose sum is what `say` gives for `row` less what it gives for `typical`, both float32 [width].

    The mean over ORDERS orders, half of them the others reversed, of what changes when a column takes the row's value after those before
    it. `say` takes [N, width] and gives [N]; `owner` int [width] says of which column each number is.
    """
    random, columns = np.random.default_rng(0), int(owner[-1]) + 1
    drawn = [random.permutation(columns) for _ in range(ORDERS // 2)]
    orders = np.array([*drawn, *(order[::-1] for order in drawn)])
    rank = np.argsort(orders, axis=1)  # [orders, columns]
    steps = np.arange(columns + 1)[None, :, None]
    mixed = np.where(rank[:, None, owner] < steps, row, typical)  # [orders, columns + 1, width]
    said = say(mixed.reshape(-1, len(row))).reshape(len(orders), columns + 1)
    added = np.diff(said.astype(np.float64), axis=1)  # in each order's order
    return np.take_along_axis(added, rank, axis=1).mean(axis=0)
