"""Factors drawn from all that ratings allow (Salakhutdinov and Mnih 2008), by Gibbs sampling. Shapes: K users or
items, D = F + 1, S draws.

The mean of what the draws say is a product of factors, too: those of all draws beside each other.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.linalg import cholesky, solve_triangular

from bmtool.tasks.rating_prediction.config import Bpmf
from bmtool.tasks.rating_prediction.factors import Side, arrays, sides
from bmtool.tasks.rating_prediction.ratings import Arrays, Ratings

BEFORE = 2.0  # vectors that the prior of the mean counts as
NOISE = 1.5  # precision of a rating, until it is drawn
FIRST = 4  # rounds after which it is


def bpmf(settings: Bpmf, ratings: Ratings, seed: int) -> Iterator[Arrays]:
    """After each draw: what the draws so far say in the mean."""
    mean, users, items = sides(ratings, settings.factors, seed)
    generator, precision = torch.Generator().manual_seed(seed + 1), NOISE
    kept = list[tuple[Tensor, Tensor]]()
    for round_ in range(settings.burn_in + settings.draws):
        _draw(users, items.vectors, precision, generator)
        _draw(items, users.vectors, precision, generator)
        if round_ >= FIRST:
            precision = _precision(users, items, ratings, generator)
        if round_ >= settings.burn_in:
            kept.append((users.vectors.clone(), items.vectors.clone()))
            yield _mean(mean, kept)


def _mean(mean: float, kept: list[tuple[Tensor, Tensor]]) -> Arrays:
    """Factors of all draws beside each other, and the means of the biases."""
    scale = len(kept) ** -0.5
    users, items = (
        torch.cat(
            [*(one[:, :-1] * scale for one in side), torch.stack([one[:, -1] for one in side]).mean(0)[:, None]], dim=1
        )
        for side in zip(*kept)
    )
    return arrays(mean, users, items)


def _draw(side: Side, others: Tensor, precision: float, generator: torch.Generator) -> None:
    """All vectors of a side, given those of the other; one without ratings as the others of its side are."""
    centre, spread = _prior(side.vectors, generator)
    noise = torch.randn(side.vectors.shape, generator=generator)
    drawn = centre + _backwards(cholesky(spread), noise.T).T
    for block, features, wanted in side.systems(others):
        root = cholesky(spread + precision * features.mT @ features)
        pull = spread @ centre + precision * (features.mT @ wanted[..., None])[..., 0]
        half = solve_triangular(root, pull[..., None], upper=False) + noise[block.rows][..., None]
        drawn[block.rows] = solve_triangular(root.mT, half, upper=True)[..., 0]
    side.vectors = drawn


def _backwards(root: Tensor, values: Tensor) -> Tensor:
    """Normal numbers [D, ...] as those whose precision has this root."""
    return solve_triangular(root.mT, values, upper=True)


def _prior(vectors: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mean [D] and precision [D, D] of the vectors of a side, drawn from a normal-Wishart distribution."""
    count, width = vectors.shape
    mean = vectors.mean(0)
    scatter = (vectors - mean).T @ (vectors - mean) + count * BEFORE / (count + BEFORE) * torch.outer(mean, mean)
    root = cholesky(torch.linalg.inv(torch.eye(width) + scatter))
    # The Bartlett decomposition: roots of chi-squared numbers, normal ones below them.
    drawn = torch.randn(width, width, generator=generator).tril(-1)
    freedom = width + count - torch.arange(width)
    squares = [(torch.randn(int(one), generator=generator) ** 2).sum() for one in freedom]
    half = root @ (drawn + torch.diag(torch.stack(squares).sqrt()))
    spread = half @ half.T
    noise = torch.randn(width, 1, generator=generator)
    centre = count * mean / (count + BEFORE) + _backwards(cholesky((count + BEFORE) * spread), noise)[:, 0]
    return centre, spread


def _precision(users: Side, items: Side, ratings: Ratings, generator: torch.Generator) -> float:
    """Of a rating, drawn given what all vectors leave of them."""
    mine, theirs = users.vectors[torch.from_numpy(ratings.rows)], items.vectors[users.columns]
    left = users.left - (mine[:, :-1] * theirs[:, :-1]).sum(1) - mine[:, -1] - theirs[:, -1]
    drawn = torch.randn(len(left), generator=generator)
    return float((drawn**2).sum() / (left**2).sum())
