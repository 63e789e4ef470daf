"""Products of who took what with itself, in blocks of items. Shapes: U users, I items, N interactions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bmtool.base.memory import free
from bmtool.base.units import gigabytes
from bmtool.errors import ResourceError

BLOCK = 1 << 23  # numbers of a block of a product
PAIRS = 1 << 23  # pairs of interactions that are looked at together
OVER = 32  # vectors beside those that are asked for, so that these are right
TIMES = 12  # products that singular vectors take


@dataclass(frozen=True)
class Matrix:
    """Who took what: the items of user u are `columns[bounds[u] : bounds[u + 1]]`, each once; `weights` float [N] say how much (1)."""

    bounds: np.ndarray
    columns: np.ndarray
    items: int
    weights: np.ndarray | None = None

    @property
    def users(self) -> int:
        return len(self.bounds) - 1

    @property
    def rows(self) -> np.ndarray:
        return np.repeat(np.arange(self.users), np.diff(self.bounds))

    @property
    def counts(self) -> np.ndarray:
        """Of each item, [I]."""
        return np.bincount(self.columns, minlength=self.items)

    def sparse(self) -> Tensor:
        """[U, I]."""
        weights = np.ones(len(self.columns), np.float32) if self.weights is None else self.weights.astype(np.float32)
        places = torch.from_numpy(np.stack([self.rows, self.columns]).astype(np.int64))
        size = (self.users, self.items)
        return torch.sparse_coo_tensor(places, torch.from_numpy(weights), size, check_invariants=False).coalesce()

    def dense(self) -> np.ndarray:
        """uint8 [U, I] of 0 and 1."""
        found = np.zeros((self.users, self.items), np.uint8)
        found[self.rows, self.columns] = 1
        return found


def require_room(numbers: float, what: str, instead: str) -> str:
    """What to say before so many float32 are taken. ResourceError that names the alternative when they do not fit."""
    needed, there = 4 * numbers, free()
    if needed > there:
        raise ResourceError(f"{what} takes {gigabytes(needed)} of memory, and {gigabytes(there)} are free: {instead}")
    return f"{what}: {gigabytes(needed)} of memory"


def gram(matrix: Matrix) -> Iterator[tuple[int, np.ndarray]]:
    """(first item, float32 [b, I]): how much users share of b items after the other with all items, of X'X; all blocks have one size."""
    order = np.argsort(matrix.columns, kind="stable")
    users, starts = matrix.rows[order], np.concatenate([[0], np.cumsum(matrix.counts)])
    weights = None if matrix.weights is None else matrix.weights[order]
    lengths, size = np.diff(matrix.bounds), max(1, BLOCK // matrix.items)
    for first in range(0, matrix.items, size):
        block = np.zeros((min(size, matrix.items - first), matrix.items), np.float32)
        begin, end = starts[first], starts[first + len(block)]
        of_item = np.repeat(np.arange(len(block)), np.diff(starts[first : first + len(block) + 1]))
        for part in _parts(lengths[users[begin:end]], PAIRS):
            here = slice(begin + part.start, begin + part.stop)
            _add(block, matrix, users[here], of_item[part], None if weights is None else weights[here])
        yield first, block


def _parts(sizes: np.ndarray, most: int) -> Iterator[slice]:
    """Slices of things whose sizes add up to at most so much, or that are one."""
    total, start = np.cumsum(sizes), 0
    while start < len(sizes):
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + most, side="right")))
        yield slice(start, end)
        start = end


def _add(block: np.ndarray, matrix: Matrix, users: np.ndarray, rows: np.ndarray, weights: np.ndarray | None) -> None:
    """All that each of the users took, to the row of the item through which they are here."""
    counts = np.diff(matrix.bounds)[users]
    place = np.arange(counts.sum()) + np.repeat(matrix.bounds[users] - (np.cumsum(counts) - counts), counts)
    key = np.repeat(rows, counts) * matrix.items + matrix.columns[place]
    how = None if weights is None else np.repeat(weights, counts) * matrix.weights[place]  # type: ignore[index]
    block += np.bincount(key, how, block.size).reshape(block.shape).astype(np.float32)


def whole_gram(matrix: Matrix) -> Tensor:
    """float32 [I, I]."""
    found = torch.empty(matrix.items, matrix.items)
    for first, block in gram(matrix):
        found[first : first + len(block)] = torch.from_numpy(block)
    return found


def largest(first: int, block: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and values [b, count] of the largest of each row of a block, the largest first; an item is no neighbour of its own.

    What is not above 0 counts nothing.
    """
    block[np.arange(len(block)), first + np.arange(len(block))] = 0
    values, places = torch.topk(torch.from_numpy(block), min(count, block.shape[1]), dim=1)
    return places.numpy().astype(np.int32), values.clamp(min=0).numpy()


def singular(matrix: Matrix, factors: int, seed: int) -> Tensor:
    """float32 [I, F]: the right singular vectors with the largest values, by subspace iteration (Halko et al. 2011)."""
    x = matrix.sparse()
    transposed = x.t().coalesce()
    width = min(factors + OVER, matrix.items, matrix.users)
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(matrix.items, width, generator=generator)
    for _ in range(TIMES):
        found, _ = torch.linalg.qr(transposed @ (x @ found))
    projected = x @ found
    _, turned = torch.linalg.eigh(projected.T @ projected)
    return (found @ turned.flip(1))[:, : min(factors, width)].contiguous()
