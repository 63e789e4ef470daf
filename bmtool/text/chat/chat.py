"""Dialogues as tokens: a prompt that the assistant goes on from, or all of a dialogue with what the assistant says marked.

The names of special tokens are obeyed in what a template writes, and are text in what people say, so nobody can end a turn by naming what
ends it.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.text.chat import template
from bmtool.text.chat.child import Child
from bmtool.text.chat.template import PLAIN, Ask
from bmtool.text.chat.turns import ASSISTANT, USER, Turn, turn
from bmtool.text.tokenizer import REPLACEMENT, Tokenizer, plain

# A noncharacter, which no text should hold: it stands inside of a name of a special token that somebody said.
APART = "\ufdd0"
SAID = "\u7b54"  # what an assistant says to find out how a template ends it
ANEW = "the chat template writes earlier turns anew when others follow"


class Dialogue(NamedTuple):
    """`tokens` int64 [tokens]; `answers` bool [tokens], what the assistant says, up to what ends its turn."""

    tokens: np.ndarray
    answers: np.ndarray


class Ending(NamedTuple):
    """What ends a turn of the assistant: a token, or, where a template has none for it, text."""

    token: int
    stop: tuple[str, ...] = ()


def with_template(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokens, with our own template where there is none."""
    if template.of(tokenizer.config, tokenizer.origin) is not None:
        return tokenizer
    names = {"bos_token": tokenizer.name(tokenizer.begin), "eos_token": tokenizer.name(tokenizer.end)}
    return Tokenizer(tokenizer.text, names | tokenizer.config | {template.KEY: PLAIN}, tokenizer.origin)


class Chat:
    """The template of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        """ConfigError for a tokenizer without a template."""
        found = template.of(tokenizer.config, tokenizer.origin)
        if found is None:
            raise ConfigError(
                f"{tokenizer.origin} has no chat template: it learned no dialogues; finetune it on some (configs/language-model/chat.yaml)"
            )
        self._tokenizer, self._template = tokenizer, found
        self._names = {key: name for key in template.NAMED if (name := tokenizer.named(key)) is not None}
        self._child = None if found == PLAIN else Child(found, self._names, tokenizer.origin)

    def prompt(self, turns: Sequence[Turn]) -> np.ndarray:
        """Tokens up to where the assistant speaks, int64. BadInput for turns that the template refuses."""
        (text,) = self._rendered([Ask(turns, True)])
        return self._encoded(text).tokens

    def dialogue(self, turns: Sequence[Turn]) -> Dialogue:
        """A dialogue to learn from. It ends with the assistant's last turn."""
        places = [place for place, one in enumerate(turns) if one["role"] == ASSISTANT]
        asks = [ask for place in places for ask in (Ask(turns[:place], True), Ask(turns[: place + 1]))]
        texts = self._rendered(asks)
        whole = texts[-1]
        spans = [self._span(whole, before, upto) for before, upto in zip(texts[::2], texts[1::2])]
        tokens, starts = self._encoded(whole[: spans[-1][1]])
        answers = np.zeros(len(tokens), bool)
        for begin, end in spans:
            answers |= (starts >= begin) & (starts < end)
        return Dialogue(tokens, answers)

    def _span(self, whole: str, before: str, upto: str) -> tuple[int, int]:
        """From where to where a turn stands in the text of all: up to the last special token behind it, if there is one."""
        end = _common(whole, upto)
        if not whole.startswith(before) or end <= len(before):
            raise BadInput(ANEW)
        special = [found.end() for found in self._special.finditer(upto, len(before), end)]
        return len(before), special[-1] if special else end

    @cached_property
    def ending(self) -> Ending:
        asked = [turn(USER, SAID)]
        (whole,) = self._rendered([Ask([*asked, turn(ASSISTANT, SAID)])])
        if (place := whole.rfind(SAID)) < 0:
            raise DataError(f"{self._tokenizer.origin}: the chat template does not write what the assistant says")
        behind = whole[place + 1 :]
        if found := self._special.search(behind):
            return Ending(int(self._tokenizer.inner.token_to_id(found[0])))
        stop = (behind,) if behind.strip() else ()
        return Ending(self._tokenizer.end, stop)

    def _rendered(self, asks: Sequence[Ask]) -> list[str]:
        quoted = [
            Ask([turn(one["role"], self._quoted(one["content"])) for one in ask.turns], ask.answers) for ask in asks
        ]
        if self._child is not None:
            return self._child.rendered(quoted)
        return template.rendered(self._template, self._names, quoted, self._tokenizer.origin)

    def _quoted(self, said: str) -> str:
        """What somebody said, where names of special tokens are no longer whole."""
        said = plain(said).replace(APART, REPLACEMENT)
        return self._special.sub(lambda found: found[0][0] + APART + found[0][1:], said)

    def _encoded(self, text: str) -> "Encoded":
        """Tokens, and where in the text each begins."""
        tokens, starts, first = [], [], 0
        for piece in text.split(APART):
            found = self._library.encode(piece, add_special_tokens=False)
            tokens += found.ids
            starts += [first + start for start, _ in found.offsets]
            first += len(piece) + 1
        return Encoded(np.array(tokens, np.int64), np.array(starts, np.int64))

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = self._tokenizer.inner.get_added_tokens_decoder().values()
        names = sorted((one.content for one in added if one.special and len(one.content) > 1), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names)) or r"(?!)")

    @cached_property
    def _library(self):
        """Of the tokenizer, obeying the names of special tokens."""
        return self._tokenizer.obeying()


def _common(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


class Encoded(NamedTuple):
    tokens: np.ndarray
    starts: np.ndarray
