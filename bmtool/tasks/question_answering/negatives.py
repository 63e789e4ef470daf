"""Questions read with texts that do not answer them: a reader of documents must know them when it sees them. Numpy only."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from bmtool.errors import DataError
from bmtool.text.labelled.kind import Draft
from bmtool.text.labelled.store import Texts
from bmtool.text.retrieval.bm25 import Bm25
from bmtool.text.retrieval.index import best
from bmtool.text.tokenizer import Tokenizer


class WithNegatives:
    """A split as `Texts` has it, and after its examples each question again with `count` texts of others: those that are nearest to it by
    their words and hold none of its answers (Karpukhin et al. 2020)."""

    def __init__(self, texts: Texts, count: int):
        """DataError where there is no other text."""
        self._inner, self.texts = texts, texts.texts
        pairs = list(_pairs(texts.drafts, count))
        if not pairs:
            raise DataError("negatives: the training questions are all of one text: give others, or leave it out")
        own = np.arange(len(texts))
        self._question, self._context = np.array([*zip(own, own), *pairs], np.int64).T

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    @cached_property
    def lengths(self) -> np.ndarray:
        lengths = self._inner.lengths
        return np.stack([lengths[self._question, 0], lengths[self._context, 1]], axis=1)

    def tokens(self, example: int, text: int) -> np.ndarray:
        return self._inner.tokens(int((self._question, self._context)[text][example]), text)

    @cached_property
    def drafts(self) -> list[Draft]:
        held = self._inner.drafts
        return held + [
            held[question]._replace(
                texts=(held[question].texts[0], held[context].texts[1]), target={"spans": [], "notes": []}
            )
            for question, context in zip(self._question[len(held) :].tolist(), self._context[len(held) :].tolist())
        ]


def _pairs(drafts: Sequence[Draft], count: int) -> Iterator[tuple[int, int]]:
    """(example of the question, example of another text) for each negative."""
    first: dict[str, int] = {}
    for number, draft in enumerate(drafts):
        first.setdefault(draft.texts[1], number)
    contexts = list(first)
    index = Bm25(contexts)
    for number, draft in enumerate(drafts):
        question, own = draft.texts
        answers = [own[start:end] for start, end in draft.target["spans"]]
        near = (contexts[place] for place in best(index.scores(question)).tolist())
        others = [text for text in near if text != own and not any(answer in text for answer in answers)]
        yield from ((number, first[text]) for text in others[:count])
