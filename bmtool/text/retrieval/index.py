"""Finding the passages that a question is about: by words, by vectors, or by both. Numpy only."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bmtool.text.retrieval.bm25 import Bm25
from bmtool.text.retrieval.passages import Passage

How = Literal["hybrid", "words", "vectors"]
Embed = Callable[[Sequence[str]], np.ndarray]  # texts to vectors [texts, width]
DEPTH = 100  # of a ranking
WEIGHT = 0.2  # of the cosine of vectors beside the scores of words


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
        """The numbers of the passages, the best first, DEPTH at most; found by words those that share one with the question."""
        if how == "vectors" and self._vectors is not None:
            return best(self._near(question)).tolist()
        words = self._words.scores(question)
        if how == "words" or self._vectors is None:
            return best(words, above=0).tolist()
        return best(fused(words, self._near(question))).tolist()

    def _near(self, question: str) -> np.ndarray:
        assert self._vectors is not None and self._embed is not None
        return self._vectors.scores(self._embed([question])[0])


def best(scores: np.ndarray, above: float = -np.inf) -> np.ndarray:
    """The numbers of the highest scores, DEPTH at most."""
    order = np.argsort(-scores, kind="stable")[:DEPTH]
    return order[scores[order] > above]


def fused(words: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Two kinds of scores as one: a convex combination (Bruch et al. 2023), in which the best by words counts 1.

    Sums of reciprocal ranks, which are more usual, lose whatever the weaker of the two does not find."""
    return words / max(words.max(initial=0.0), 1e-12) + WEIGHT * near
