"""Factors of users and items, solved for in turn. Shapes: N ratings, U users, I items, F factors, D = F + 1 (a bias behind the factors)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bmtool.tasks.rating_prediction.config import Svd, SvdPp
from bmtool.tasks.rating_prediction.ratings import Arrays, Block, Ratings, blocks, sparse

STEPS = 4  # of conjugate gradients on what having rated says, from where the last round ended
SPREAD = 0.1  # of factors at the start


@dataclass
class Side:
    """Users or items: `vectors` [K, D], their ratings by block; `columns` [N] and `left` [N], ratings less the mean, by row."""

    vectors: Tensor
    plan: list[Block]
    columns: Tensor
    left: Tensor

    @classmethod
    def of(cls, ratings: Ratings, mean: float, factors: int, generator: torch.Generator) -> "Side":
        vectors = torch.randn(ratings.shape[0], factors + 1, generator=generator) * SPREAD
        vectors[:, -1] = 0
        left = torch.from_numpy(ratings.values - np.float32(mean))
        return cls(vectors, list(blocks(ratings)), torch.from_numpy(ratings.columns), left)

    def systems(self, others: Tensor) -> Iterator[tuple[Block, Tensor, Tensor]]:
        """(block, features [b, L, D] of what its rows rated, what is to be explained [b, L]), 0 behind the last."""
        for block in self.plan:
            given = others[self.columns[block.place]]
            features = torch.cat([given[..., :-1], torch.ones_like(given[..., :1])], dim=-1) * block.there[..., None]
            yield block, features, (self.left[block.place] - given[..., -1]) * block.there


def sides(ratings: Ratings, factors: int, seed: int) -> tuple[float, Side, Side]:
    """The mean of all ratings, users, items."""
    generator, mean = torch.Generator().manual_seed(seed), float(ratings.values.mean(dtype=np.float64))
    users, items = (Side.of(one, mean, factors, generator) for one in (ratings, ratings.turned()))
    return mean, users, items


def arrays(mean: float, users: Tensor, items: Tensor) -> Arrays:
    """Of vectors [U, D] and [I, D]."""
    return {
        "mean": np.array(mean), "user_bias": users[:, -1].numpy().copy(), "item_bias": items[:, -1].numpy().copy(),
        "left": users[:, :-1].numpy().copy(), "right": items[:, :-1].numpy().copy(),
    }  # fmt: skip


# --- svd and SVD++ ---


def svd(settings: Svd, ratings: Ratings, seed: int) -> Iterator[Arrays]:
    """After each round."""
    mean, users, items = sides(ratings, settings.factors, seed)
    for _ in range(settings.rounds):
        _solve(users, items.vectors, settings.l2)
        _solve(items, users.vectors, settings.l2)
        yield arrays(mean, users.vectors, items.vectors)


def _solve(side: Side, others: Tensor, l2: float) -> None:
    """Ridge regression of each row's ratings on the vectors of what it rated, l2 for each of its ratings (Zhou et al. 2008)."""
    for block, features, wanted in side.systems(others):
        gram = features.mT @ features
        gram.diagonal(dim1=1, dim2=2).add_(l2 * block.there.sum(1, keepdim=True))
        side.vectors[block.rows] = torch.linalg.solve(gram, features.mT @ wanted[..., None])[..., 0]


def svdpp(settings: SvdPp, ratings: Ratings, seed: int) -> Iterator[Arrays]:
    """After each round: as `svd`, with `said` [I, F], of which a user's mean by root of their number is added to the factors."""
    mean, users, items = sides(ratings, settings.factors, seed)
    rated = _rated(ratings)
    said, users_own = torch.zeros(ratings.shape[1], settings.factors), users.left
    rows, columns = torch.from_numpy(ratings.rows), users.columns
    for _ in range(settings.rounds):
        implicit = rated @ said
        users.left = users_own - (implicit[rows] * items.vectors[columns, :-1]).sum(1)
        _solve(users, items.vectors, settings.l2)
        whole = torch.cat([users.vectors[:, :-1] + implicit, users.vectors[:, -1:]], dim=1)
        _solve(items, whole, settings.l2)
        own = (users.vectors[rows, :-1] * items.vectors[columns, :-1]).sum(1)
        users.left = users_own - own - users.vectors[rows, -1]
        said = _said(said, rated, users, items.vectors, settings.l2_implicit)
        yield arrays(mean, users.vectors, items.vectors) | {
            "said": said.numpy().copy(),
            "implicit": (rated @ said).numpy(),
        }


def _rated(ratings: Ratings) -> Tensor:
    """[U, I]: 1 / root of how many a user rated, where they did."""
    weights = 1 / np.sqrt(np.maximum(ratings.counts, 1)).astype(np.float32)
    return sparse(ratings, weights[ratings.rows])


def _said(said: Tensor, rated: Tensor, users: Side, items: Tensor, l2: float) -> Tensor:
    """[I, F]: a few steps of conjugate gradients from `said` on, to what explains best what all else leaves."""
    count, factors = rated.shape[0], said.shape[1]
    grams, wanted = torch.zeros(count, factors, factors), torch.zeros(count, factors)
    for block, features, left in users.systems(items):
        inner = features[..., :-1]
        grams[block.rows] = inner.mT @ inner
        wanted[block.rows] = (inner.mT @ left[..., None])[..., 0]
    back = rated.t()
    return _conjugate(
        lambda found: back @ (grams @ (rated @ found)[..., None])[..., 0] + l2 * found, back @ wanted, said
    )


def _conjugate(times: Callable[[Tensor], Tensor], wanted: Tensor, start: Tensor) -> Tensor:
    """Nearer to what `times` makes `wanted` of (Hestenes and Stiefel 1952)."""
    found, left = start, wanted - times(start)
    direction, size = left, (left * left).sum()
    for _ in range(STEPS):
        product = times(direction)
        step = size / (direction * product).sum().clamp(min=1e-20)
        found, left = found + step * direction, left - step * product
        after = (left * left).sum()
        direction, size = left + after / size.clamp(min=1e-20) * direction, after
    return found
