"""How much each part of a blend counts. Shapes: B users, I items, P parts."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from bmtool.measure.topn import PLACES
from bmtool.tables.interactions.store import Interactions
from bmtool.tasks.recommendation.predict import padded

MOST = 1 << 26  # numbers of scores that are weighed: so many users of the validation
TRIED = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
ROUNDS = 3
BLOCK = 64  # users


def weigh(parts: Sequence[nn.Module], held: Interactions, given: Sequence[float] | None) -> np.ndarray:
    """float32 [P]: `given` weights, or those with the best NDCG@10 of the validation, each divided by the spread of its part's scores."""
    train, valid = held.split("train"), held.split("valid")
    known = np.flatnonzero((valid.counts > 0) & (train.counts > 0))
    users = known[:: max(1, len(known) * len(parts) * len(held.items) // MOST)]
    scores = np.stack([_scores(part, [train.of(user) for user in users.tolist()]) for part in parts])
    spread = np.maximum(scores.std(axis=(1, 2)), 1e-12)
    if given is not None:
        return (np.array(given) / spread).astype(np.float32)
    scores /= spread[:, None, None]
    for row, user in enumerate(users.tolist()):
        scores[:, row, train.of(user)] = -np.inf
    return (_best(scores, [valid.of(user) for user in users.tolist()]) / spread).astype(np.float32)


def _scores(part: nn.Module, histories: list[np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        found = [
            part(torch.from_numpy(padded(histories[start : start + BLOCK])))
            for start in range(0, len(histories), BLOCK)
        ]
    return torch.cat(found).numpy()


def _best(scores: np.ndarray, right: list[np.ndarray]) -> np.ndarray:
    """One weight after the other, as often as ROUNDS; the first part keeps 1 unless nothing of it helps."""
    weights = np.ones(len(scores))
    for _ in range(ROUNDS):
        for part in range(1, len(scores)):
            tried = [np.where(np.arange(len(scores)) == part, weight, weights) for weight in TRIED]
            weights = max(tried, key=lambda one: _ndcg(scores, one, right))
    return weights


def _ndcg(scores: np.ndarray, weights: np.ndarray, right: list[np.ndarray]) -> float:
    """Ranks by how many items have a higher score; what was seen has none in any part that counts."""
    total = np.zeros(scores.shape[1:], np.float32)
    for weight, part in zip(weights.tolist(), scores):
        total += np.float32(weight) * part if weight else 0
    found = 0.0
    for row, items in zip(total, right):
        ranks = np.sort([(row > row[item]).sum() for item in items.tolist()])[: len(items)]
        ranks = ranks[ranks < PLACES]
        found += (1 / np.log2(ranks + 2)).sum() / (1 / np.log2(np.arange(min(len(items), PLACES)) + 2)).sum()
    return found / max(1, len(right))
