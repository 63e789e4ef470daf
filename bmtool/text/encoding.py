"""Tokens of text for `prepare-data`: what tasks that read tokens share."""

import functools

import numpy as np

from bmtool.text.tokenizer import Tokenizer, open_tokenizer

UNKNOWN = "has characters that the tokenizer does not know"


@functools.lru_cache(maxsize=4)
def opened(folder: str) -> Tokenizer:
    return open_tokenizer(folder)


def kind_of(tokenizer: Tokenizer) -> type[np.unsignedinteger]:
    return np.uint16 if tokenizer.size <= 1 << 16 else np.uint32


def unknown(tokenizer: Tokenizer, flat: np.ndarray, ends: np.ndarray) -> list[tuple[int, str]]:
    """The rows, which end where `ends` says, that hold what the tokenizer does not know."""
    strange = np.flatnonzero(flat == tokenizer.special.unknown) if tokenizer.special.unknown is not None else flat[:0]
    return [(row, UNKNOWN) for row in np.unique(np.searchsorted(ends, strange, side="right")).tolist()]
