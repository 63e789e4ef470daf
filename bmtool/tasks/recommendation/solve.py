"""The fitted models in closed form, or nearly: from who took what to arrays that `modules.Linear` adds up. Shapes as in `products`."""

from collections.abc import Callable

import numpy as np
import torch

from bmtool.base.memory import require_room
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.models import Arrays
from bmtool.tasks.recommendation import config as kinds
from bmtool.tasks.recommendation.modules import alike, solved
from bmtool.tasks.recommendation.products import Matrix, gram, largest, singular, whole_gram

Say = Callable[[str], None]

# What popularity adds to transitions: it decides between items that followed as often, or never.
BACKOFF = 1e-3
FULL = 4  # lists longer than this part of all items are no lists
LISTED = 1 << 26  # entries of all lists of a model
BLOCKWISE = "choose model.kind: item-knn, which is computed in blocks, or als"


def fit(settings: kinds.Part, matrix: Matrix, known: Known, *, seed: int, say: Say) -> Arrays:
    """The arrays of a linear model."""
    made: Arrays = _FITS[settings.kind](settings, matrix, known, seed, say)
    return made


def _popularity(settings: kinds.Popularity, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    return {"bias": matrix.counts.astype(np.float32)}


def _transitions(settings: kinds.Transitions, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    """Pairs of an item and one behind it, of each user."""
    users, total = matrix.rows, dict[str, list[np.ndarray]](keys=[], counts=[])
    for distance in range(1, settings.window + 1):
        same = users[distance:] == users[:-distance]
        pairs = matrix.columns[:-distance][same].astype(np.int64) * matrix.items + matrix.columns[distance:][same]
        total["keys"].append(pairs)
        total["counts"].append(np.full(len(pairs), 1 / distance))
    keys, place = np.unique(np.concatenate(total["keys"]), return_inverse=True)
    counts = np.bincount(place, np.concatenate(total["counts"]), len(keys))
    before, behind = keys // matrix.items, keys % matrix.items
    sums = np.bincount(before, counts, matrix.items)
    weights = counts / (sums[before] + settings.shrink)
    popular = matrix.counts / max(1, matrix.counts.max())
    return _lists(before, behind, weights, matrix.items) | {"bias": (BACKOFF * popular).astype(np.float32)}


def _lists(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, items: int) -> Arrays:
    """Entries of a matrix [I, I] as lists of the largest of each row; places that a short list has left weigh nothing. Where lists would
    be long the matrix itself is quicker."""
    order = np.lexsort((columns, -weights, rows))
    counts = np.bincount(rows, minlength=items)
    width = int(min(LISTED // items + 1, max(1, counts.max(initial=1))))
    if FULL * width >= items:
        dense = np.zeros((items, items), np.float32)
        dense[rows, columns] = weights
        return {"dense": dense}
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = order[place < width]
    neighbours, found = np.zeros((items, width), np.int32), np.zeros((items, width), np.float32)
    at = rows[kept], place[place < width]
    neighbours[at], found[at] = columns[kept], weights[kept]
    return {"neighbours": neighbours, "weights": found}


def _item_knn(settings: kinds.ItemKnn, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    """Of each item the nearest ones vote for it: those that it is near itself may have others that are nearer."""
    taken = torch.from_numpy(matrix.counts.astype(np.float32))
    voters, items, weights = [], [], []
    for first, block in gram(matrix):
        common, mine = torch.from_numpy(block), taken[first : first + len(block), None]
        near = alike(common, mine, taken[None], matrix.users, settings.similarity)
        if settings.shrink:
            near = near * common / (common + settings.shrink)
        places, values = largest(first, near.numpy(), settings.neighbours)
        there = values > 0
        voters.append(places[there])
        items.append(first + np.nonzero(there)[0])
        weights.append(values[there])
    return _lists(*(np.concatenate(part) for part in (voters, items, weights)), matrix.items)


def _content(settings: kinds.Content, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    """Items as users, words as items: the products are the cosines."""
    if known.words is None:
        return {"bias": np.zeros(matrix.items, np.float32)}
    bounds, numbers, weights = known.words
    owner = np.repeat(np.arange(matrix.items), np.diff(bounds))
    order = np.argsort(numbers, kind="stable")
    by_word = np.concatenate([[0], np.cumsum(np.bincount(numbers))]).astype(np.int64)
    texts = Matrix(by_word, owner[order].astype(np.int32), matrix.items, weights[order].astype(np.float64))
    parts = [largest(first, block, settings.neighbours) for first, block in gram(texts)]
    return {
        "neighbours": np.concatenate([one for one, _ in parts]),
        "weights": np.concatenate([one for _, one in parts]),
    }


def _ease(settings: kinds.Ease, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    return _inverted(matrix, lambda taken: torch.full_like(taken, settings.l2), say)


def _edlae(settings: kinds.Edlae, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    odds = settings.dropout / (1 - settings.dropout)
    return _inverted(matrix, lambda taken: odds * taken + settings.l2, say)


def _inverted(matrix: Matrix, pull: Callable[[torch.Tensor], torch.Tensor], say: Say) -> Arrays:
    """1 - P / diag(P) of P = (X'X + pull)^-1, whose diagonal is 0 (Steck 2019)."""
    say(require_room(3.0 * matrix.items**2, f"weights of {matrix.items:,} x {matrix.items:,} items", BLOCKWISE))
    product = whole_gram(matrix)
    taken = product.diagonal().clone()
    product.diagonal().add_(pull(taken).clamp(min=1e-3))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(product))
    del product
    inverse /= -inverse.diagonal()[None].clone()
    inverse.fill_diagonal_(0)
    return {"dense": inverse.numpy()}


def _slim(settings: kinds.Slim, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    """Coordinate descent on the normal equations, over blocks of coordinates for all targets at once."""
    say(require_room(3.0 * matrix.items**2, f"weights of {matrix.items:,} x {matrix.items:,} items", BLOCKWISE))
    product, items = whole_gram(matrix), matrix.items
    weights, step = torch.zeros(items, items), 64
    for _ in range(settings.sweeps):
        for first in range(0, items, step):
            here = slice(first, min(first + step, items))
            left = product[here] - product[here] @ weights
            _descend(weights, left, product[here, here], first, settings)
    parts = [largest(0, weights.fill_diagonal_(0).numpy(), settings.neighbours)]
    return {"neighbours": parts[0][0], "weights": parts[0][1]}


def _descend(weights: torch.Tensor, left: torch.Tensor, among: torch.Tensor, first: int, settings: kinds.Slim) -> None:
    """One round over coordinates from `first` on: `left` [b, I] is what the others leave unexplained, `among` [b, b] their products."""
    for row in range(len(left)):
        own, before = among[row, row], weights[first + row].clone()
        after = ((left[row] + own * before - settings.l1) / (own + settings.l2 + 1e-9)).clamp_(min=0)
        after[first + row] = 0
        weights[first + row] = after
        left -= among[:, row, None] * (after - before)[None]


def _puresvd(settings: kinds.PureSvd, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    vectors = singular(matrix, settings.factors, seed).numpy()
    return {"left": vectors, "right": vectors}


def _gf_cf(settings: kinds.GfCf, matrix: Matrix, known: Known, seed: int, say: Say) -> Arrays:
    mine, theirs = np.diff(matrix.bounds), matrix.counts
    root = np.sqrt(np.maximum(theirs, 1))
    scaled = 1 / (np.sqrt(mine[matrix.rows]) * root[matrix.columns])
    normal = Matrix(matrix.bounds, matrix.columns, matrix.items, scaled)
    parts = []
    for first, block in gram(normal):
        parts.append(largest(first, block, settings.neighbours))
    vectors = singular(normal, settings.factors, seed).numpy()
    scale = np.float32(settings.low_pass)
    root = root.astype(np.float32)
    return {
        "neighbours": np.concatenate([one for one, _ in parts]), "weights": np.concatenate([one for _, one in parts]),
        "left": scale * vectors / root[:, None], "right": vectors * root[:, None],
    }  # fmt: skip


_FITS: dict[str, Callable[..., Arrays]] = {
    "popularity": _popularity, "transitions": _transitions, "item-knn": _item_knn, "content": _content, "ease": _ease, "edlae": _edlae,
    "slim": _slim, "puresvd": _puresvd, "gf-cf": _gf_cf,
}  # fmt: skip


# --- ALS ---

BATCH = 1 << 22  # numbers of the rows of users that are solved for together
ROUNDS = 3  # of conjugate gradients from where the last iteration ended


def factorised(settings: kinds.Als, matrix: Matrix, seed: int) -> np.ndarray:
    """float32 [I, F], of items (Hu et al. 2008)."""
    generator = torch.Generator().manual_seed(seed)
    users, items = (
        torch.randn(count, settings.factors, generator=generator) * 0.01 for count in (matrix.users, matrix.items)
    )
    order = np.argsort(matrix.columns, kind="stable")
    by_item = Matrix(np.concatenate([[0], np.cumsum(matrix.counts)]), matrix.rows[order], matrix.users)
    plans = [list(_padded(one, settings.factors)) for one in (matrix, by_item)]
    for _ in range(settings.iterations):
        for (mine, theirs), plan in zip(((users, items), (items, users)), plans):
            _solve(mine, theirs, plan, settings)
    return items.numpy()


def _padded(matrix: Matrix, factors: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(rows, their columns, -1 behind the last) of rows of like lengths together."""
    lengths = np.diff(matrix.bounds)
    order, start, out = np.argsort(lengths, kind="stable"), 0, []
    order = order[lengths[order] > 0]
    while start < len(order):
        longest = lengths[order[start:]]
        fits = np.flatnonzero(longest * np.arange(1, len(longest) + 1) * factors <= BATCH)
        end = start + max(1, int(fits[-1]) + 1 if len(fits) else 1)
        rows = order[start:end]
        width = lengths[rows].max()
        columns = np.full((len(rows), width), -1)
        at = np.repeat(np.arange(len(rows)), lengths[rows])
        place = np.arange(len(at)) - np.repeat(np.cumsum(lengths[rows]) - lengths[rows], lengths[rows])
        columns[at, place] = matrix.columns[np.repeat(matrix.bounds[rows], lengths[rows]) + place]
        out.append((torch.from_numpy(rows), torch.from_numpy(columns)))
        start = end
    return out


def _solve(mine: torch.Tensor, theirs: torch.Tensor, plan: list, settings: kinds.Als) -> None:
    product = theirs.T @ theirs
    for rows, columns in plan:
        there = (columns >= 0).float()
        given = theirs[columns.clamp(min=0)] * there[..., None]
        mine[rows] = solved(given, there, product, mine[rows], alpha=settings.alpha, l2=settings.l2, rounds=ROUNDS)
