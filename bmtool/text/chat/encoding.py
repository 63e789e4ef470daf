"""Dialogues as the fields of prepared data: `tokens`, and `turns`, which says what the assistant speaks and where a dialogue begins."""

import functools
from pathlib import Path

import numpy as np

from bmtool.errors import BadInput
from bmtool.text.chat.chat import Chat, with_template
from bmtool.text.chat.turns import ANSWERS, BEGINS
from bmtool.text.encoding import kind_of, opened, unknown
from bmtool.text.records import turns_of
from bmtool.text.task import Encoded


@functools.lru_cache(maxsize=4)
def _chat(folder: str) -> Chat:
    return Chat(with_template(opened(folder)))


def encode(
    sentences: list[str], keys: np.ndarray, training: np.ndarray, *, folder: str | None, learned: Path | None = None
) -> Encoded:
    """Dialogues as the tokens of their chat template, with what the assistant says marked. See `TextTask`."""
    chat, tokenizer = _chat(str(learned or folder)), opened(str(learned or folder))
    made, good, dropped = [], [], []
    for row, sentence in enumerate(sentences):
        try:
            made.append(chat.dialogue(turns_of(sentence)))
            good.append(row)
        except BadInput as error:
            dropped.append((row, str(error)))
    tokens = np.concatenate([np.empty(0, np.int64), *(one.tokens for one in made)])
    lengths = np.array([len(one.tokens) for one in made], np.int64)
    ends, rows = np.cumsum(lengths), np.array(good, np.int64)
    turns = np.concatenate([np.empty(0, bool), *(one.answers for one in made)]).astype(np.uint8) * np.uint8(ANSWERS)
    turns[ends - lengths] |= BEGINS
    fields = {"tokens": tokens.astype(kind_of(tokenizer)), "turns": turns}
    flagged = [(good[at], why) for at, why in unknown(tokenizer, tokens, ends)]
    return Encoded(fields, ends - lengths, lengths, rows, dropped, flagged)
