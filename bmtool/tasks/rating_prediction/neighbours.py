"""Which items are rated alike by the same users, or which users rate the same items alike. Shapes: R rows, C columns, K kept."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from bmtool.tasks.rating_prediction.config import Knn
from bmtool.tasks.rating_prediction.ratings import EPSILON, Arrays, Ratings, sparse

BLOCK = 1 << 22  # numbers of a block of similarities


def nearest(ratings: Ratings, left: np.ndarray, settings: Knn) -> Arrays:
    """`near` int64 [R + 1, K], the most similar rows of each row, the most similar first, and `alike` float32 [R + 1, K], 0 for what is no
    neighbour; nothing is near the last row, which stands for unknown ones. `left` [N] is what the biases leave of the ratings."""
    count = ratings.shape[0]
    kept = min(settings.kept, count)
    near, alike = np.zeros((count + 1, kept), np.int64), np.zeros((count + 1, kept), np.float32)
    for first, block in _similar(ratings, left, settings):
        own = torch.arange(len(block))
        block[own, first + own] = 0
        # Equal ones are in the order of their numbers.
        found, places = torch.sort(block.clamp(min=0), dim=1, descending=True, stable=True)
        alike[first : first + len(block)], near[first : first + len(block)] = found[:, :kept], places[:, :kept]
    return {"near": near, "alike": alike}


def _similar(ratings: Ratings, left: np.ndarray, settings: Knn) -> Iterator[tuple[int, Tensor]]:
    """(first row, similarities float32 [b, R]) of b rows after the other, by the columns that both have."""
    values = left if settings.similarity == "pearson_baseline" else ratings.values
    whole, square, there = (sparse(ratings, held) for held in (values, values**2, np.ones_like(values)))
    size = max(1, BLOCK // max(ratings.shape))
    bounds = ratings.bounds
    for first in range(0, ratings.shape[0], size):
        part = slice(bounds[first], bounds[min(first + size, ratings.shape[0])])
        width = min(size, ratings.shape[0] - first)
        dense = torch.zeros(ratings.shape[1], width)
        place = torch.from_numpy(ratings.columns[part]), torch.from_numpy(ratings.rows[part] - first)
        mine = dense.clone().index_put_(place, torch.from_numpy(values[part]))
        mask = dense.index_put_(place, torch.ones(len(place[0])))
        yield first, _of_sums(whole @ mine, there @ mine**2, square @ mask, there @ mask, settings).T


def _of_sums(product: Tensor, mine: Tensor, theirs: Tensor, both: Tensor, settings: Knn) -> Tensor:
    """Similarities from the sums over what both have: of products, of squares of the one and of the other, and how many there are."""
    if settings.similarity == "msd":
        found = 1 / (1 + (mine + theirs - 2 * product).clamp(min=0) / both.clamp(min=1))
    else:
        found = product / (mine * theirs).clamp(min=EPSILON).sqrt()
    return torch.where(both > 0, found * both / (both + settings.shrink).clamp(min=1), torch.zeros_like(found))
