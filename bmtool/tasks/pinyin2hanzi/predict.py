"""Typed pinyin to text, whatever the model. Numpy only: the same code serves PyTorch runs and exported models, a line or a test set.

Shapes: B sentences, T positions, C candidates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import Token
from bmtool.nn import search
from bmtool.tasks.pinyin2hanzi import typed
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice, linear
from bmtool.tasks.pinyin2hanzi.typed.lexicon import Lexicon
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary

BATCH_TOKENS = 2048


class Reading(NamedTuple):
    """One way to write an example: a hanzi a position, None where a copy stands."""

    hanzi: tuple[str | None, ...]
    log_probability: float


class Written(NamedTuple):
    """One way to write a part: arcs with the text that stands on each, None for the copy of the arc's token."""

    arcs: tuple[Arc, ...]
    texts: tuple[str | None, ...]
    log_probability: float


@dataclass(frozen=True)
class Translation:
    """One line of output.

    `n_best` is (text, probability), best first; `unread` are copied words that look like mistyped pinyin; `ways` are the parts of the
    line, each with what the best text was made of.
    """

    text: str
    n_best: list[tuple[str, float]]
    unread: list[str] = field(default_factory=list)
    ways: list[tuple[typed.Part, Written]] = field(default_factory=list)

    @property
    def confidence(self) -> float:
        """The probability of the best text."""
        return self.n_best[0][1]


@dataclass(frozen=True)
class Options:
    """What a user may want beyond plain reading."""

    fuzzy: tuple[str, ...] = ()  # names of typed.FUZZY
    initials: bool = False  # initials may stand for syllables
    lexicon: Lexicon | None = None
    context: str = ""  # text that stands before the line


class Predictor(Protocol):
    """A trained model with what it needs to read pinyin and write text."""

    vocabulary: Vocabulary
    max_length: int

    def write(self, lattices: list[Lattice], n_best: int) -> list[list[Written]]:
        """Up to `n_best` ways to write each, best first."""

    def log_probabilities(self, sources: list[list[int]], references: list[list[str | None]]) -> list[np.ndarray]:
        """What the network gives every reference hanzi; NaN under a copy, -inf where it is no candidate."""


def best_readings(predictor: Predictor, sources: list[list[int]], n_best: int) -> list[list[Reading]]:
    """The best readings of each example (input numbers), best first."""
    found = predictor.write([linear(source) for source in sources], n_best)
    return [[Reading(w.texts, w.log_probability) for w in ways] for ways in found]


def translate(
    predictor: Predictor, lines: Sequence[str], n_best: int = 1, options: Options = Options()
) -> list[Translation]:
    """Each line of typed pinyin as text, with up to `n_best` ways to write it. An empty line stays empty."""
    parts = [
        typed.read(
            line, predictor.vocabulary, max_length=predictor.max_length, fuzzy=options.fuzzy, initials=options.initials,
            lexicon=options.lexicon, context=options.context,
        )
        for line in lines
    ]  # fmt: skip
    written = iter(predictor.write([part.lattice for line in parts for part in line], n_best))
    return [_translation(line, [next(written) for _ in line], n_best) for line in parts]


def _translation(parts: list[typed.Part], written: list[list[Written]], n_best: int) -> Translation:
    texts: dict[str, float] = {}
    best: list[tuple[typed.Part, Written]] = []
    for choice, log_p in search.merge(written, n_best):
        ways = [(part, options[i]) for part, options, i in zip(parts, written, choice)]
        best = best or ways
        text = pinyin.join([piece for way in ways for piece in _pieces(*way)])
        texts[text] = texts.get(text, 0.0) + float(np.exp(log_p))
    unread = [token.text for way in best for _, token in _pieces(*way) if pinyin.looks_mistyped(token)]
    return Translation(next(iter(texts)), list(texts.items()), unread, best)


def _pieces(part: typed.Part, written: Written) -> Iterator[tuple[str, Token]]:
    """(text, token) of everything that a way writes, without the context; copies that it lacks stand at the end."""
    copies = [unit for unit, token in enumerate(part.tokens) if token.is_copy and unit >= part.given]
    for arc, text in zip(written.arcs, written.texts):
        token = part.tokens[arc.unit]
        if arc.unit < part.given:
            continue
        if text is not None:
            yield text, Token(text, "hanzi", False, token.start)
        else:
            if arc.unit in copies:
                copies.remove(arc.unit)
            copy = token if token.is_copy else _inside(token, *arc.span)
            yield copy.text, copy
    for unit in copies:
        yield part.tokens[unit].text, part.tokens[unit]


def _inside(token: Token, start: int, end: int) -> Token:
    """The letters of a word from `start` to `end` of the line, that are copied."""
    text = token.text[start - token.start : end - token.start]
    return Token(text, "latin", token.spaced and start == token.start, start)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of items of similar length, about BATCH_TOKENS a batch; those of length 0 are left out."""
    order = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: lengths[number])
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * lengths[number] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def answers(
    predictor: Predictor, inputs: Sequence[str], *, top: int, bad: Callable[[str, str], None]
) -> Iterator[tuple[str, dict]]:
    """(line, record) for each line of pinyin: the `top` likeliest ways to write it. Any line can be read, so `bad` hears nothing."""
    for line, found in zip(inputs, translate(predictor, list(inputs), top)):
        ways = [{"text": text, "probability": round(p, 6)} for text, p in found.n_best]
        yield "\t".join([line, *(f"{text} {p:.4f}" for text, p in found.n_best)]), {"input": line, "ways": ways}
