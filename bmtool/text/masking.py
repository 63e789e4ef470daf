"""Which tokens a masked language model has to guess, and what it sees in their place (Devlin et al. 2019): drawn by position.

Shapes: B rows, T tokens.
"""

import zlib
from typing import NamedTuple

import numpy as np

from bmtool.data.batching import hashed
from bmtool.text.tokenizer import Tokenizer

HIDDEN, STRANGE = (
    0.8,
    0.9,
)  # up to where a share of the chosen tokens is hidden, and up to where another token stands for it


class Masked(NamedTuple):
    tokens: np.ndarray  # int64 [B, T]: what is seen
    target: np.ndarray  # int64 [B, T]: what is to be guessed, -1 elsewhere


def mask(
    tokens_BT: np.ndarray, tokenizer: Tokenizer, *, share: float, key: tuple[int, int], words_BT: np.ndarray | None = None
) -> Masked:  # fmt: skip
    """For training: `share` of the tokens, or of the words that `words_BT` marks the first tokens of. `key` is (seed, position)."""
    draws = [_even(tokens_BT.size, *key, number).reshape(tokens_BT.shape) for number in range(3)]
    chosen = (draws[0] if words_BT is None else _of_words(draws[0], words_BT)) < share
    chosen &= ~_is_special(tokens_BT, tokenizer)
    seen = np.where(draws[1] < HIDDEN, tokenizer.special.mask, tokens_BT)
    seen = np.where((draws[1] >= HIDDEN) & (draws[1] < STRANGE), (draws[2] * tokenizer.size).astype(np.int64), seen)
    return Masked(np.where(chosen, seen, tokens_BT), np.where(chosen, tokens_BT, -1))


def mask_to_measure(tokens_T: np.ndarray, tokenizer: Tokenizer, share: float) -> Masked:
    """Of one row: `share` of its tokens, one at least, all hidden. Which these are is a function of the tokens."""
    draws = _even(len(tokens_T), zlib.crc32(tokens_T.astype("<i8").tobytes()))
    draws[_is_special(tokens_T, tokenizer)] = 1.0
    chosen = (draws <= max(share, float(draws.min(initial=1.0)))) & (draws < 1.0)
    return Masked(np.where(chosen, tokenizer.special.mask, tokens_T), np.where(chosen, tokens_T, -1))


def _even(count: int, *key: int) -> np.ndarray:
    """Numbers in 0 .. 1, float64 [count]."""
    return hashed(np.arange(count), *key) / 2.0**64


def _of_words(draws_BT: np.ndarray, words_BT: np.ndarray) -> np.ndarray:
    """The draw of each word's first token, for all of its tokens."""
    first = np.where(words_BT, np.arange(words_BT.shape[1]), 0)
    return np.take_along_axis(draws_BT, np.maximum.accumulate(first, axis=1), axis=1)


def _is_special(tokens: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    return np.isin(tokens, [number for number in tokenizer.special if number is not None])
