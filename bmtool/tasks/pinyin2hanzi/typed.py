"""Typed pinyin to lattices: letters written together, tones, apostrophes, initials for syllables, slips of one key, fuzzy sounds.

Exact readings come first: slips and, where they are switched on, initials are tried only where letters have no exact reading, and
whatever is guessed has a cost.
"""

import re
import string
import unicodedata
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import ALONE_ONLY, SYLLABLES, Token, canonical, copy_class
from bmtool.chinese.variants import ERHUA, LATIN, SPELLINGS
from bmtool.tasks.pinyin2hanzi.lattice import Arc, Lattice
from bmtool.tasks.pinyin2hanzi.lexicon import Lexicon
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, INPUTS, Vocabulary

JOINED = 1024  # letters written together that are read in every way; longer ones as the fewest syllables
GUESSED = 256  # letters of a line that are guessed at
SEVERAL = 48  # letters written together in which more than one guess may be needed, or that may stay as they are
CONTEXT = 16  # tokens of the context that are read
SHORTENED = 16  # letters in which initials may stand for syllables
# Costs in nats.
SPLIT = 4.0  # a syllable typed apart that is read as two (xian: xi'an)
INITIAL = 4.0
SLIP = 6.0
FUZZY_COST = 4.0  # typing exactly loses 0.1 % of characters with it, typing z for zh and so on loses 2 %
KEPT, KEPT_LETTER = (
    6.0,
    2.2,
)  # a word that is no pinyin is kept as it is, at so much and so much a letter, unless a slip explains it better
KEPT_KNOWN = 1.0  # one of variants.LATIN
# Latin among other letters: such a word, one of two letters (ok, id), and capitals in a row.
AMONG, AMONG_SHORT, CAPITALS = 3.0, 5.0, 0.0
_LONGEST_LATIN = max(map(len, LATIN))
_CAPITALS = re.compile("[A-Z]{2,}")
_NAME = re.compile("[A-Z][a-z]+[A-Z]{2,}")
SENTENCE_ENDS = frozenset("。！？!?；;…")

INITIALS = (
    "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "zh", "ch", "sh", "r", "z", "c", "s", "y", "w",
)  # fmt: skip
_VOWELS = frozenset("aeiouvê")
_LONGEST = max(map(len, (*SYLLABLES, *SPELLINGS)))
# Name of a switch -> (end or beginning of the syllable, the two sounds).
FUZZY = {
    "z/zh": ("initial", "z", "zh"), "c/ch": ("initial", "c", "ch"), "s/sh": ("initial", "s", "sh"), "n/l": ("initial", "n", "l"),
    "f/h": ("initial", "f", "h"), "r/l": ("initial", "r", "l"), "an/ang": ("final", "an", "ang"), "en/eng": ("final", "en", "eng"),
    "in/ing": ("final", "in", "ing"), "hui/fei": ("syllable", "hui", "fei"),
}  # fmt: skip


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
    """The parts of a line; `context` is text that stands before the first. An empty line has none."""
    builder = _Builder(max_length, lexicon)
    tokens = list(pinyin.tokenise(unicodedata.normalize("NFC", line)))
    words = [token.text for token in tokens if token.kind == "latin" and not _is_name(token.text)]
    apart = len(words) > 1 and all(pinyin.is_one_syllable(word) for word in words)
    reader = _Reader(vocabulary, max_length, tuple(fuzzy), initials, apart)
    for token in list(pinyin.tokenise(unicodedata.normalize("NFC", context)))[-min(CONTEXT, max_length // 2) :]:
        builder.give(reader.hanzi(token) if token.kind == "hanzi" else [Arc(0, 1, INPUT_ID[copy_class(token)])], token)
    for token in tokens:
        if token.kind == "hanzi":
            builder.add(reader.hanzi(token), 1, token)
        elif token.kind == "latin" and not _is_name(token.text) and (spelled := _spell(token.text)) is not None:
            for arcs, size, piece in reader.letters(token, spelled):
                builder.add(arcs, size, piece)
        else:
            builder.add([Arc(0, 1, INPUT_ID[copy_class(token)])], 1, token)
    return builder.finish()


def name(arc: Arc) -> str:
    """What an arc was read as."""
    return " ".join(INPUTS[number] for number in arc.numbers or (arc.number,))


def _is_name(word: str) -> bool:
    """Capitals written together (NASA, IBM, A4, OpenAI) are no pinyin."""
    return (len(word) > 1 and word.isupper()) or _NAME.fullmatch(word) is not None


class _Builder:
    """Puts pieces together to parts: a part ends after a sentence, or when it is as long as the model takes."""

    def __init__(self, max_length: int, lexicon: Lexicon | None):
        self.max_length, self.lexicon, self.parts = max_length, lexicon, []
        self._reset()

    def _reset(self) -> None:
        self.arcs, self.tokens, self.size, self.ended, self.given = [], [], 0, False, 0

    def give(self, arcs: list[Arc], token: Token) -> None:
        """Context: read, but not written."""
        self.add(arcs, 1, token)
        self.given += 1

    def add(self, arcs: list[Arc], size: int, token: Token) -> None:
        """`arcs` are counted from 0."""
        if len(self.tokens) > self.given and ((self.ended and not token.is_copy) or self.size + size > self.max_length):
            self.close()
        moved = {"unit": len(self.tokens)}
        self.arcs += [arc._replace(start=arc.start + self.size, end=arc.end + self.size, **moved) for arc in arcs]
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


@dataclass(frozen=True)
class _Spelled:
    """Letters as the table of syllables writes them, without tones; `offset` says where in the word each begins, and one more."""

    letters: str
    offset: tuple[int, ...]
    marks: dict[int, int]  # letter -> tone, from a mark
    ends: dict[
        int, int
    ]  # letters before a forced end of a syllable -> tone that follows it as a digit, 0 for an apostrophe

    def written(self, word: str, start: int, end: int) -> str:
        """What stands in the word for the letters start ... end."""
        return word[self.offset[start] : self.offset[end]]

    def forced(self, start: int, end: int) -> bool:
        """Whether a syllable has to end between the letters start ... end."""
        return any(place in self.ends for place in range(start + 1, end))


@lru_cache(maxsize=1 << 14)
def _spell(word: str) -> _Spelled | None:
    """None for what cannot be pinyin: digits that are no tones."""
    letters, offset, marks, ends = [], [], {}, {}
    for at, character in enumerate(word):
        base, *accents = unicodedata.normalize("NFD", character.lower())
        if base in "'’":
            ends.setdefault(len(letters), 0)
        elif base.isdigit():
            if base not in "12345" or not letters or len(letters) in ends:
                return None
            ends[len(letters)] = int(base)
        elif base == ":" and letters[-1:] == ["u"]:
            letters[-1] = "v"
        else:
            letters.append(
                "v" if base == "u" and "\u0308" in accents else "ê" if base == "e" and "\u0302" in accents else base
            )
            offset.append(at)
            for accent in accents:
                if accent in _TONE_MARKS:
                    marks[len(letters) - 1] = _TONE_MARKS[accent]
    if not letters or not all(letter in _LETTERS for letter in letters):
        return None
    return _Spelled("".join(letters), (*offset, len(word)), marks, ends)


class _Reader:
    """Arcs over the letters of one line's words."""

    def __init__(self, vocabulary: Vocabulary, max_length: int, fuzzy: tuple[str, ...], initials: bool, apart: bool):
        self.vocabulary, self.max_length = vocabulary, max_length
        self.fuzzy, self.initials, self.apart = fuzzy, initials, apart
        self.guesses = GUESSED

    def hanzi(self, token: Token) -> list[Arc]:
        """A hanzi that is there already stays, and helps to choose the others."""
        number = self.vocabulary.usual_input(token.text)
        span = (token.start, token.start + 1)
        if number is None:
            return [Arc(0, 1, INPUT_ID[copy_class(token)], span=span)]
        return [Arc(0, 1, number, word=token.text, span=span)]

    def letters(self, token: Token, spelled: _Spelled) -> Iterator[tuple[list[Arc], int, Token]]:
        """(arcs, places, token) of the pieces of a word, cut where every reading is cut; a copy when it cannot be read."""
        size = len(spelled.letters)
        whole = self._syllables(spelled, 0, size)
        if whole and self.apart:
            yield [arc._replace(end=1, span=_span(token, spelled, arc)) for arc in whole], 1, _syllable(token)
            return
        ways = self._ways(token.text, spelled) if size <= JOINED else []
        pieces = [_squeezed(arcs) for arcs in _cut(ways)]
        if pieces and all(places <= self.max_length for _, places in pieces):
            for arcs, places in pieces:
                yield [arc._replace(span=_span(token, spelled, at)) for arc, at in arcs], places, _syllable(token)
        elif (pieces or size > JOINED) and (cut := pinyin.read_syllables(token.text)) and all(map(self._known, cut)):
            for syllable in cut:
                yield (
                    [Arc(0, 1, INPUT_ID[syllable], span=(token.start, token.start + len(token.text)))],
                    1,
                    _syllable(token),
                )
        else:
            yield [Arc(0, 1, INPUT_ID[copy_class(token)])], 1, token

    def _known(self, syllable: str) -> bool:
        return self.vocabulary.candidate_count(INPUT_ID[syllable]) > 0

    def _ways(self, word: str, spelled: _Spelled) -> list[Arc]:
        """Every exact reading of the letters; where there is none, readings with guesses, and the word as it is."""
        size = len(spelled.letters)
        whole = canonical(spelled.letters)
        if whole and not self._known(whole):  # a syllable that no hanzi of this vocabulary is read with
            return []
        arcs = [
            arc
            for start in range(size)
            for end in range(start + 1, min(size, start + _LONGEST) + 1)
            for arc in self._syllables(spelled, start, end)
        ]
        capitals = self._capitals(word, spelled)
        starts, ends = _reached(arcs, size)
        if size in starts:
            useful = _through(arcs + capitals, size) if capitals else _between(arcs, starts, ends)
            whole = any(arc.start == 0 and arc.end == size for arc in useful)
            return [
                arc._replace(cost=arc.cost + SPLIT) if whole and arc.start == 0 and arc.end < size else arc
                for arc in useful
            ]
        self.guesses -= size
        if self.guesses < 0:
            return []
        latin = self._latin(word, spelled)
        if word != word.lower():
            small = [
                arc for arc in arcs if arc.end > arc.start + 1 and spelled.written(word, arc.start, arc.end).islower()
            ]
            return _through(small + latin + capitals, size)
        guessed = self._guessed(spelled, arcs, latin, starts, ends)
        if guessed and word not in LATIN and not self.initials and size <= SEVERAL:
            guessed.append(Arc(0, size, INPUT_ID["<latin>"], KEPT + KEPT_LETTER * size))
        return guessed

    def _guessed(
        self, spelled: _Spelled, exact: list[Arc], latin: list[Arc], starts: frozenset[int], ends: frozenset[int]
    ) -> list[Arc]:
        """Ways with slips, Latin words and initials: with one of these, from `starts` to `ends`, where one is enough."""
        size = len(spelled.letters)
        anywhere = range(size + 1)
        if self.initials and size <= SHORTENED:
            return _through(exact + latin + self._initials(spelled) + self._slips(spelled, anywhere, anywhere), size)
        if one := self._slips(spelled, starts, ends) + _between(latin, starts, ends):
            return _through(exact + one, size)
        return _through(exact + latin + self._slips(spelled, anywhere, anywhere), size) if size <= SEVERAL else []

    def _latin(self, word: str, spelled: _Spelled) -> list[Arc]:
        """Usual Latin words, alone and among other letters."""
        size = len(spelled.letters)
        return [
            Arc(start, end, INPUT_ID["<latin>"], _latin_cost(end - start, end - start == size))
            for start in range(size)
            for end in range(start + 2, min(size, start + _LONGEST_LATIN) + 1)
            if spelled.written(word, start, end).lower() in LATIN
        ]

    def _capitals(self, word: str, spelled: _Spelled) -> list[Arc]:
        """Capitals in a row beside small letters."""
        number = {place: letter for letter, place in enumerate(spelled.offset)}
        runs = [(number[run.start()], run.end()) for run in _CAPITALS.finditer(word)]
        return [Arc(start, number[end], INPUT_ID["<latin>"], CAPITALS) for start, end in runs if end in number]

    def _syllables(self, spelled: _Spelled, start: int, end: int) -> list[Arc]:
        """The syllable that the letters start ... end write, and those that fuzzy sounds make of it."""
        if spelled.forced(start, end):
            return []
        tones = [spelled.marks[i] for i in range(start, end) if i in spelled.marks]
        tone = spelled.ends.get(end, 0) or (tones[0] if tones else 0)
        letters = spelled.letters[start:end]
        syllable = ERHUA[1] if letters == ERHUA[0] and start else canonical(letters)
        alone = (start == 0 or start in spelled.ends) and (end == len(spelled.letters) or end in spelled.ends)
        if syllable is None or len(tones) > 1 or (syllable in ALONE_ONLY and not alone) or not self._known(syllable):
            return []
        exact = Arc(start, end, INPUT_ID[syllable], tone=tone)
        return [exact, *(exact._replace(number=INPUT_ID[other], cost=FUZZY_COST) for other in self._fuzzy(syllable))]

    def _fuzzy(self, syllable: str) -> list[str]:
        return [other for other in alike(syllable, self.fuzzy) if self._known(other)]

    def _initials(self, spelled: _Spelled) -> list[Arc]:
        out = []
        for start in range(len(spelled.letters)):
            for size in (1, 2):
                initial = spelled.letters[start : start + size]
                if len(initial) == size and initial in _BEGINNING:
                    out += [
                        Arc(start, start + size, INPUT_ID[s], INITIAL) for s in _BEGINNING[initial] if self._known(s)
                    ]
        return out

    def _slips(self, spelled: _Spelled, starts: Container[int], ends: Container[int]) -> list[Arc]:
        """Syllables one slip away from the letters between a place of `starts` and one of `ends`."""
        if not _VOWELS & set(spelled.letters):
            return []
        size = len(spelled.letters)
        return [
            Arc(start, end, INPUT_ID[syllable], SLIP)
            for start in range(size)
            if start in starts
            for end in range(start + 2, min(size, start + _LONGEST + 1) + 1)
            if end in ends and not spelled.forced(start, end)
            for syllable in _one_edit(spelled.letters[start:end])
            if self._known(syllable)
        ]


def alike(syllable: str, fuzzy: Iterable[str]) -> list[str]:
    """The other syllables that are the same to someone who does not tell the named sounds apart."""
    found = {syllable}
    for name in fuzzy:
        where, one, other = FUZZY[name]
        for known in tuple(found):
            for a, b in ((one, other), (other, one)):
                if where == "syllable":
                    changed = b if known == a else None
                elif where == "initial":
                    changed = b + known.removeprefix(a) if initial_of(known) == a else None
                else:
                    changed = known.removesuffix(a) + b if known.endswith(a) else None
                if changed in _SYLLABLES:
                    found.add(changed)
    return sorted(found - {syllable})


def initial_of(syllable: str) -> str:
    """The consonant a syllable begins with; "" when there is none."""
    return syllable[:2] if syllable[:2] in ("zh", "ch", "sh") else syllable[:1] if syllable[:1] in INITIALS else ""


def _latin_cost(size: int, alone: bool) -> float:
    """What a word of variants.LATIN costs."""
    if alone:
        return KEPT_KNOWN
    return AMONG if size > 2 else AMONG_SHORT


@lru_cache(maxsize=1 << 14)
def _one_edit(letters: str) -> tuple[str, ...]:
    """Syllables one slip away: a letter too many, too few, another, or two exchanged."""
    cuts = [(letters[:i], letters[i:]) for i in range(len(letters) + 1)]
    edits = {a + b[1:] for a, b in cuts if b} | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    for letter in string.ascii_lowercase:
        edits |= {a + letter + b for a, b in cuts} | {a + letter + b[1:] for a, b in cuts if b}
    return tuple(sorted({s for edit in edits if (s := canonical(edit)) and s not in ALONE_ONLY} - {letters}))


def _reached(arcs: list[Arc], size: int) -> tuple[frozenset[int], frozenset[int]]:
    """The places that arcs lead to from 0, and those from which they lead to `size`."""
    forward, backward = {0}, {size}
    for arc in sorted(arcs, key=lambda arc: arc.start):
        if arc.start in forward:
            forward.add(arc.end)
    for arc in sorted(arcs, key=lambda arc: -arc.end):
        if arc.end in backward:
            backward.add(arc.start)
    return frozenset(forward), frozenset(backward)


def _through(arcs: list[Arc], size: int) -> list[Arc]:
    """The arcs that lie on a way from 0 to `size`."""
    return _between(arcs, *_reached(arcs, size))


def _between(arcs: list[Arc], starts: Container[int], ends: Container[int]) -> list[Arc]:
    """The arcs from a place of `starts` to one of `ends`."""
    return [arc for arc in arcs if arc.start in starts and arc.end in ends]


def _cut(arcs: list[Arc]) -> list[list[Arc]]:
    """Arcs in pieces, between the places that every way goes through."""
    pieces: list[list[Arc]] = []
    reach = 0
    for arc in sorted(arcs, key=lambda arc: arc.start):
        if arc.start >= reach:
            pieces.append([])
        pieces[-1].append(arc)
        reach = max(reach, arc.end)
    return pieces


def _squeezed(arcs: list[Arc]) -> tuple[list[tuple[Arc, Arc]], int]:
    """(arc between the places that are used at all, arc as it was), and the number of steps between places."""
    used = sorted({arc.start for arc in arcs} | {arc.end for arc in arcs})
    number = {place: index for index, place in enumerate(used)}
    return [(arc._replace(start=number[arc.start], end=number[arc.end]), arc) for arc in arcs], len(used) - 1


def _span(token: Token, spelled: _Spelled, arc: Arc) -> tuple[int, int]:
    """The characters of the line that the letters of an arc take, with the tone and apostrophe behind them."""
    return token.start + spelled.offset[arc.start], token.start + spelled.offset[arc.end]


def _syllable(token: Token) -> Token:
    return token._replace(kind="syllable")


_TONE_MARKS = {mark: tone for tone, mark in enumerate("\u0304\u0301\u030c\u0300", start=1)}
_LETTERS = frozenset(string.ascii_lowercase) | {"ê"}
_SYLLABLES = frozenset(SYLLABLES)
_BEGINNING = {
    i: tuple(s for s in SYLLABLES if s.startswith(i) and s not in ALONE_ONLY) for i in (*INITIALS, "a", "e", "o")
}
