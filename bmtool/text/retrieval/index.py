"""Finding the passages that a question is about: by words, by vectors, or by both. Numpy only."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bmtool.text.retrieval.bm25 import Bm25
from bmtool.text.retrieval.passages import Passage

How = Literal["hybrid", "words", "vectors"]
Embed = Callable[[Sequence[str]], np.ndarray]  # texts to vectors [texts, width]
DEPTH = 100  # of each ranking, that count when two are made one
SOFT = 60  # of reciprocal ranks (Cormack et al. 2009)


class Vectors:
    """The directions of texts from their common mean: without it the vectors of a language model all point one way."""

    def __init__(self, vectors: np.ndarray):
        """Of each text, [texts, width]."""
        self._mean = vectors.mean(axis=0)
        self._held = self._directions(vectors)

    def _directions(self, vectors: np.ndarray) -> np.ndarray:
        apart = vectors - self._mean
        return (apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)).astype(np.float32)

    def scores(self, vector: np.ndarray) -> np.ndarray:
        """The cosine of the angle to every text, [texts]."""
        return self._held @ self._directions(vector[None])[0]


class Index:
    """Some passages, held in memory. Without `embed` they are found by words alone."""

    def __init__(self, passages: Sequence[Passage], embed: Embed | None = None):
        self.passages, self._embed = passages, embed
        self._words = Bm25([f"{passage.title} {passage.text}" for passage in passages])
        self._vectors = Vectors(embed([passage.text for passage in passages])) if embed else None

    def search(self, question: str, count: int, how: How = "hybrid") -> list[Passage]:
        """The passages, the best first; fewer where fewer have anything to do with the question."""
        return [self.passages[number] for number in self.ranked(question, how)[:count]]

    def ranked(self, question: str, how: How = "hybrid") -> list[int]:
        """The numbers of the passages, the best first, DEPTH of each ranking at most."""
        rankings = [] if how == "vectors" else [best(self._words.scores(question), above=0)]
        if how != "words" and self._vectors is not None and self._embed is not None:
            rankings.append(best(self._vectors.scores(self._embed([question])[0])))
        return fused(rankings) if len(rankings) > 1 else rankings[0].tolist()


def best(scores: np.ndarray, above: float = -np.inf) -> np.ndarray:
    """The numbers of the highest scores, DEPTH at most."""
    order = np.argsort(-scores, kind="stable")[:DEPTH]
    return order[scores[order] > above]


def fused(rankings: Sequence[np.ndarray]) -> list[int]:
    """Several rankings as one, by the sum of reciprocal ranks (Cormack, Clarke and Buettcher 2009)."""
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking.tolist(), 1):
            total[number] = total.get(number, 0.0) + 1 / (SOFT + rank)
    return sorted(total, key=lambda number: -total[number])
