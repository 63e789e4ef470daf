"""What stands under the masks of a text, on any back end. Numpy only. Shapes: R rows, M masks, V vocabulary."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bmtool.nn import sampling, search
from bmtool.predict.backends import Arrays, Backend
from bmtool.text.generation import hidden
from bmtool.text.tokenizer import Tokenizer


def padded(rows: Sequence[np.ndarray], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Tokens int64 [R, longest], and which of them are of their row, bool."""
    width = max(map(len, rows))
    token, keep = np.full((len(rows), width), tokenizer.pad, np.int64), np.zeros((len(rows), width), bool)
    for number, row in enumerate(rows):
        token[number, : len(row)], keep[number, : len(row)] = row, True
    return token, keep


def scores(
    backend: Backend, tokenizer: Tokenizer, rows: Sequence[np.ndarray], places: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    """Scores [M, V] at some places of each row."""
    found, _ = _run(backend, tokenizer, rows, places)
    given_R = backend.numpy(found["scores"])
    return (given[: len(place), : tokenizer.size] for given, place in zip(given_R, places))


def means(backend: Backend, tokenizer: Tokenizer, rows: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of what stands at the tokens of each row, float64 [R, width]. DataError for an export that does not give it."""
    found, keep = _run(backend, tokenizer, rows, [np.zeros(1, np.int64) for _ in rows])
    x_RTD = hidden(backend, found) * keep[:, :, None]
    return x_RTD.sum(axis=1, dtype=np.float64) / keep.sum(axis=1)[:, None]


def _run(
    backend: Backend, tokenizer: Tokenizer, rows: Sequence[np.ndarray], places: Sequence[np.ndarray]
) -> tuple[Arrays, np.ndarray]:
    """What the graph gives, and which tokens [R, T] are of their row."""
    token, keep = padded(rows, tokenizer)
    at = np.zeros((len(rows), max(1, *map(len, places))), np.int64)
    for number, place in enumerate(places):
        at[number, : len(place)] = place
    return backend.run("model", {"token": token, "keep": keep, "at": at}), keep


class Filled(NamedTuple):
    """A text without masks, with what the likeliest ways to fill them come to; and of each mask its words with their probabilities."""

    texts: dict[str, float]
    words: list[list[tuple[str, float]]]


def filled(text: str, mask: str, given: np.ndarray, tokenizer: Tokenizer, top: int) -> Filled:
    """The `top` ways to fill a text by the scores [M, V] at its masks, likeliest first."""
    log_p_MV = sampling.log_softmax(given)
    order = np.argsort(-log_p_MV, axis=1, kind="stable")[:, :top]
    words = [[tokenizer.decode([token]) for token in row] for row in order.tolist()]
    log_p = np.take_along_axis(log_p_MV, order, axis=1).tolist()
    ways = search.merge([[search.Hypothesis((), p) for p in row] for row in log_p], top)
    parts = text.split(mask)
    texts: dict[str, float] = {}
    for choice, total in ways:
        way = parts[0] + "".join(words[n][i] + part for n, (i, part) in enumerate(zip(choice, parts[1:])))
        texts[way] = texts.get(way, 0.0) + float(np.exp(total))
    return Filled(texts, [[(w, float(np.exp(p))) for w, p in zip(row, each)] for row, each in zip(words, log_p)])
