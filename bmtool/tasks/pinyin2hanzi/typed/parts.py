"""A line of typed pinyin as parts, each a lattice that is read at once: letters written together, tones, apostrophes, initials for
syllables, slips of one key, fuzzy sounds. Whatever is guessed has a cost."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import Token
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc, Lattice
from bmtool.tasks.pinyin2hanzi.typed.lexicon import Lexicon
from bmtool.tasks.pinyin2hanzi.typed.spelling import spell
from bmtool.tasks.pinyin2hanzi.typed.words import Piece, WordParser, copy
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary

CONTEXT = 16  # tokens of the context that are read
SENTENCE_ENDS = frozenset("。！？!?；;…")
_NAME = re.compile("[A-Z][a-z]+[A-Z]{2,}")


@dataclass(frozen=True)
class Part:
    """A stretch of a line that is read at once: a sentence, or as much as the model takes."""

    lattice: Lattice
    tokens: tuple[Token, ...]  # an arc's `unit` is a position here
    given: int = 0  # tokens at the beginning that are context, not input


def read(  # noqa: PLR0913
    line: str, vocabulary: Vocabulary, *, max_length: int, fuzzy: Iterable[str] = (), initials: bool = False,
    lexicon: Lexicon | None = None, context: str = "",
) -> list[Part]:  # fmt: skip
    """The parts of a line; `context` is text that stands before the first. An empty line has none.

    max_length: places of a part, context included; fuzzy: names in FUZZY; initials: whether initials may stand for syllables.
    """
    tokens, before = _tokens(line), _tokens(context)[-min(CONTEXT, max_length // 2) :]
    parser = WordParser(vocabulary, max_length, fuzzy=fuzzy, initials=initials, apart=_apart(tokens))
    builder = _Builder(max_length, lexicon)
    for token in before:
        builder.give(parser.hanzi(token) if token.kind == "hanzi" else copy(token))
    for token in tokens:
        for piece in _pieces(parser, token):
            builder.add(piece)
    return builder.finish()


def _tokens(text: str) -> list[Token]:
    return list(pinyin.tokenise(unicodedata.normalize("NFC", text)))


def _apart(tokens: list[Token]) -> bool:
    """Whether a line is typed syllable by syllable: several words, each one syllable."""
    words = [token.text for token in tokens if token.kind == "latin" and not _is_name(token.text)]
    return len(words) > 1 and all(pinyin.is_one_syllable(word) for word in words)


def _pieces(parser: WordParser, token: Token) -> list[Piece]:
    if token.kind == "hanzi":
        return [parser.hanzi(token)]
    if token.kind != "latin" or _is_name(token.text) or (spelled := spell(token.text)) is None:
        return [copy(token)]
    return parser.letters(token, spelled)


def _is_name(word: str) -> bool:
    """Capitals written together (NASA, IBM, A4, OpenAI) are no pinyin."""
    return (len(word) > 1 and word.isupper()) or _NAME.fullmatch(word) is not None


class _Builder:
    """Puts pieces together to parts: a part ends after a sentence, or when it is as long as the model takes."""

    def __init__(self, max_length: int, lexicon: Lexicon | None):
        self.max_length, self.lexicon = max_length, lexicon
        self.parts: list[Part] = []
        self._reset()

    def _reset(self) -> None:
        self.arcs: list[Arc] = []
        self.tokens: list[Token] = []
        self.size, self.ended, self.given = 0, False, 0

    def give(self, piece: Piece) -> None:
        """Context: read, but not written."""
        self.add(piece)
        self.given += 1

    def add(self, piece: Piece) -> None:
        arcs, size, token = piece
        if len(self.tokens) > self.given and ((self.ended and not token.is_copy) or self.size + size > self.max_length):
            self.close()
        at, unit = self.size, len(self.tokens)
        self.arcs += [arc._replace(start=arc.start + at, end=arc.end + at, unit=unit) for arc in arcs]
        self.tokens.append(token)
        self.size += size
        self.ended = token.is_copy and (self.ended or token.text in SENTENCE_ENDS)

    def close(self) -> None:
        if self.lexicon is not None:
            self.arcs += list(self.lexicon.arcs(self.arcs))
        lattice = Lattice(tuple(sorted(self.arcs, key=lambda arc: arc.end)), self.size)
        self.parts.append(Part(lattice, tuple(self.tokens), self.given))
        self._reset()

    def finish(self) -> list[Part]:
        if len(self.tokens) > self.given:
            self.close()
        return self.parts
