"""Pinyin as people type it and Chinese as people write it, both cut into the same tokens.

A token is a syllable (or, in text, a hanzi) or a *copy*: punctuation, a number, a Latin word or any other symbol that
stands in input and output alike. Copies are seen by the model as a class (`copy_class`), never translated.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from bmtool.chinese.hanzi import HANZI
from bmtool.chinese.syllables import ALONE_ONLY, LONGEST, TONE_MARKS, canonical
from bmtool.chinese.variants import ERHUA, LATIN, LETTERS

VERSION = 2  # of the rules in this file and of the table of syllables; kept in every prepared data set, run and exported model

# What the model sees in place of a copy.
PUNCTUATION = ("。", "，", "？", "！", "：", "；", "、", "（", "）", "“", "《", "》", "…", "—")
_PUNCTUATION_CLASS = {mark: mark for mark in PUNCTUATION} | dict(
    zip(".,?!:;()\"”‘’'「」『』·-~～", "。，？！：；（）“““““““““、———")
)
COPY_CLASSES = ("<number>", "<latin>", "<symbol>", *PUNCTUATION)

_LETTER = "A-Za-zÀ-ÖØ-öø-ɏǍ-ǜḀ-ỿ\u0300-\u030c"
_WORD = (
    rf"(?P<latin>[{_LETTER}](?:[{_LETTER}0-9]|['’](?=[{_LETTER}])|(?<=[nNlL][uU]):)*)"
    r"|(?P<number>[0-9]+(?:[.,:][0-9]+)*)"
)
WORD = re.compile(_WORD)  # the only tokens of more than one character
_TOKEN = re.compile(rf"(?P<hanzi>[{HANZI}])|{_WORD}|(?P<other>\S)")
_NO_TONE = dict.fromkeys(map(ord, TONE_MARKS))
_TONED_PIECES = re.compile(r"['’]|(?<=[a-zê])[1-5](?![0-9])")


class Token(NamedTuple):
    """`text` is a syllable in canonical spelling, a hanzi, or a copy as it was written."""

    text: str
    kind: str  # "syllable", "hanzi", "number", "latin" or "other"
    spaced: bool  # white space stood before it
    start: int = 0  # where it begins in the line

    @property
    def is_copy(self) -> bool:
        return self.kind not in ("syllable", "hanzi")


def tokenise(text: str) -> Iterator[Token]:
    """Chinese text as hanzi and copies."""
    end = 0
    for match in _TOKEN.finditer(text):
        yield Token(match.group(), str(match.lastgroup), match.start() > end, match.start())
        end = match.end()


def tokenise_pinyin(text: str) -> Iterator[Token]:
    """Typed pinyin as syllables and copies; hanzi that stand in the input are copies of kind "other"."""
    for token in tokenise(unicodedata.normalize("NFC", text)):
        if token.kind == "hanzi":
            yield Token(token.text, "other", token.spaced, token.start)
        elif token.kind != "latin" or (syllables := read_syllables(token.text)) is None:
            yield token
        else:
            for index, syllable in enumerate(syllables):
                yield Token(syllable, "syllable", token.spaced and index == 0, token.start)


def copy_class(token: Token) -> str:
    """The member of COPY_CLASSES that stands for a copy in the model's input."""
    if token.kind in ("number", "latin"):
        return f"<{token.kind}>"
    return _PUNCTUATION_CLASS.get(token.text, "<symbol>")


def looks_mistyped(token: Token) -> bool:
    """Whether a copied word was probably meant as pinyin: small letters only, yet neither a run of syllables nor a word that is usual."""
    return token.kind == "latin" and token.text.isalpha() and token.text.islower() and token.text not in LATIN


@lru_cache(maxsize=1 << 16)
def read_syllables(word: str) -> tuple[str, ...] | None:
    """The canonical syllables of a typed word, or None if it is no pinyin.

    Understands tone marks and tone numbers, the spellings in `variants`, apostrophes, capitals and syllables written together.
    A word in capitals with digits (A4, MP3) is no pinyin.
    """
    if len(word) > 1 and word.isupper() and any(c.isdigit() for c in word):
        return None
    syllables: list[str] = []
    for piece in _TONED_PIECES.split(_bare(word)):
        if piece:
            cut = _segment(piece)
            if cut is None:
                return None
            syllables += cut
    return tuple(syllables) or None


def is_one_syllable(word: str) -> bool:
    """Whether a typed word, without its tone, is a syllable as it stands."""
    return canonical(_bare(word).rstrip("12345")) is not None


def _bare(word: str) -> str:
    """A typed word in small letters without tone marks, ü as v; tone numbers stay."""
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word.lower()).translate(_NO_TONE))
    for written, meant in LETTERS:
        bare = bare.replace(written, meant)
    return bare


def read_toned(typed: str) -> str | None:
    """One syllable in canonical spelling with its tone number, if it was given: `lv4` for lǜ, lü4 and lv4; None for no syllable."""
    decomposed = unicodedata.normalize("NFD", typed.lower())
    marks = [tone for tone, mark in enumerate(TONE_MARKS, start=1) if mark in decomposed]
    syllables = read_syllables(typed)
    if syllables is None or len(syllables) != 1 or len(marks) > 1:
        return None
    digit = typed[-1] if typed[-1] in "12345" else ""
    return syllables[0] + (str(marks[0]) if marks else digit)


def _segment(letters: str) -> list[str] | None:
    """`letters` as the fewest syllables, the longer one first among equals; None if they do not fit."""
    if (whole := canonical(letters)) is not None:
        return [whole]
    best: list[tuple[int, int] | None] = [None] * len(letters) + [(0, 0)]  # from here: syllables needed, first length
    for start in range(len(letters) - 1, -1, -1):
        for size in range(1, min(LONGEST, len(letters) - start) + 1):
            rest = best[start + size]
            syllable = _inside(letters, start, size)
            fits = rest is not None and syllable is not None and syllable not in ALONE_ONLY
            if fits and (best[start] is None or rest[0] + 1 <= best[start][0]):
                best[start] = (rest[0] + 1, size)
    if best[0] is None:
        return None
    cut, start = [], 0
    while start < len(letters):
        size = best[start][1]
        cut.append(_inside(letters, start, size))
        start += size
    return cut


def _inside(letters: str, start: int, size: int) -> str | None:
    """The syllable at a place in joined letters, where `r` after another syllable is erhua."""
    piece = letters[start : start + size]
    return ERHUA[1] if piece == ERHUA[0] and start else canonical(piece)


def join(pieces: list[tuple[str, Token]]) -> str:
    """Output text from (output, input token) pairs: spaces survive only between two copies."""
    out: list[str] = []
    previous_copy = False
    for text, token in pieces:
        if token.spaced and token.is_copy and previous_copy:
            out.append(" ")
        out.append(text)
        previous_copy = token.is_copy
    return "".join(out)
