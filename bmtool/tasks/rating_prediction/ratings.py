"""Ratings as models are fitted to them. Shapes: N ratings, U users, I items."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bmtool.tables.interactions.models import Arrays
from bmtool.tables.interactions.store import Rows

CELLS = 1 << 16  # ratings of users or items that are looked at together, with what fills up rows
ROUNDS = 20  # of biases, after which they no longer move
EPSILON = 1e-12


class Ratings(NamedTuple):
    """`rows` and `columns` int64 [N] are users and items, or the other way round; `values` float32 [N]; `shape` how many of each."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, rows: Rows, items: int) -> "Ratings":
        """In the order of users."""
        return cls(rows.users, np.asarray(rows.items, np.int64), np.asarray(rows.values), (len(rows.counts), items))

    def turned(self) -> "Ratings":
        """Rows as columns, in the order of the new rows."""
        order = np.argsort(self.columns, kind="stable")
        return Ratings(self.columns[order], self.rows[order], self.values[order], self.shape[::-1])

    @property
    def counts(self) -> np.ndarray:
        """Of each row."""
        return np.bincount(self.rows, minlength=self.shape[0])

    @property
    def bounds(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.counts)])

    def with_values(self, values: np.ndarray) -> "Ratings":
        return self._replace(values=values)


class Block(NamedTuple):
    """Rows [b] of like lengths together: `place` [b, L] of their ratings, `there` float32 [b, L], 0 behind the last."""

    rows: Tensor
    place: Tensor
    there: Tensor


def blocks(ratings: Ratings) -> Iterator[Block]:
    """All rows that have a rating, the shortest first; ratings are in the order of rows."""
    lengths, bounds = ratings.counts, ratings.bounds
    order = np.argsort(lengths, kind="stable")
    order, start = order[lengths[order] > 0], 0
    while start < len(order):
        left = lengths[order[start:]]
        fits = np.flatnonzero(left * np.arange(1, len(left) + 1) <= CELLS)
        rows = order[start : start + max(1, len(fits))]
        width = np.arange(lengths[rows].max())
        there = width < lengths[rows][:, None]
        place = np.where(there, bounds[rows][:, None] + width, 0)
        yield Block(torch.from_numpy(rows), torch.from_numpy(place), torch.from_numpy(there.astype(np.float32)))
        start += len(rows)


def sparse(ratings: Ratings, values: np.ndarray) -> Tensor:
    """[rows, columns], of `values` [N] at the places of the ratings."""
    places = torch.from_numpy(np.stack([ratings.rows, ratings.columns]))
    return torch.sparse_coo_tensor(places, torch.from_numpy(values), ratings.shape, check_invariants=False).coalesce()


def biases(ratings: Ratings, l2_users: float, l2_items: float) -> Arrays:
    """`mean`, `user_bias` [U], `item_bias` [I]: each in turn the mean of what the other leaves, pulled to 0."""
    mean = float(ratings.values.mean(dtype=np.float64))
    left = ratings.values - mean
    users, items = (np.zeros(count) for count in ratings.shape)
    for _ in range(ROUNDS):
        items = _means(left - users[ratings.rows], ratings.columns, len(items), l2_items)
        users = _means(left - items[ratings.columns], ratings.rows, len(users), l2_users)
    return {"mean": np.array(mean), "user_bias": users, "item_bias": items}


def _means(values: np.ndarray, of: np.ndarray, count: int, l2: float) -> np.ndarray:
    sums, counts = np.bincount(of, values, count), np.bincount(of, minlength=count)
    return sums / np.maximum(counts + l2, EPSILON)


def baseline(held: Arrays, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """float32 [N]."""
    return (held["mean"] + held["user_bias"][users] + held["item_bias"][items]).astype(np.float32)


def with_typical(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float32 [K + 1, ...]: values [K, ...] and behind them their mean, which also stands for those of whom there is no rating."""
    typical = values[counts > 0].mean(axis=0, keepdims=True)
    found = np.concatenate([values, typical]).astype(np.float32)
    found[:-1][counts == 0] = typical
    return found
