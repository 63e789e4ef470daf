"""What is written about items as weighted words: TF-IDF (Spärck Jones 1972), by which items are compared whatever was taken with them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from bmtool.measure.topn import Words

# Words of letters and digits; of hanzi and the like, which are not spaced, single ones and pairs.
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿豈-﫿가-힯]+")
MOST = 50_000  # different words that are kept, the commonest


def words(text: str) -> Iterator[str]:
    for found in _WORD.findall(text.lower()):
        at = 0
        for piece in _UNSPACED.finditer(found):
            yield from filter(None, [found[at : piece.start()]])
            run = piece.group()
            yield from run
            yield from map("".join, pairwise(run))
            at = piece.end()
        yield from filter(None, [found[at:]])


def weigh(texts: Sequence[str]) -> tuple[Words, list[str]] | None:
    """Words of each text with their weights, whose squares add up to 1, and what the words are; None where no text says anything.

    A word weighs 1 + log(how often), times log(texts / texts that have it); one that only a single text has compares with nothing, and
    one that all have says nothing.
    """
    counted = [Counter(words(text)) for text in texts]
    there = Counter(word for one in counted for word in one)
    kept = sorted(
        (word for word, count in there.items() if 1 < count < len(texts)), key=lambda word: (-there[word], word)
    )
    number = {word: place for place, word in enumerate(kept[:MOST])}
    if not number:
        return None
    rows = [sorted((number[word], count) for word, count in one.items() if word in number) for one in counted]
    lengths = np.array([len(row) for row in rows])
    flat = np.array([pair for row in rows for pair in row]).reshape(-1, 2)
    rarity = np.log(len(texts) / np.array([there[word] for word in number]))
    weights = (1 + np.log(flat[:, 1])) * rarity[flat[:, 0]]
    owner = np.repeat(np.arange(len(rows)), lengths)
    norm = np.sqrt(np.bincount(owner, weights**2, len(rows)))
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Words(bounds, flat[:, 0].astype(np.int32), (weights / norm[owner]).astype(np.float32)), list(number)
