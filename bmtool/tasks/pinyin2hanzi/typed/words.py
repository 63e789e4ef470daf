"""The words of one line as arcs: exact readings first; slips and, where they are switched on, initials only where letters have none."""

from collections.abc import Iterable
from typing import NamedTuple

from bmtool.chinese import pinyin
from bmtool.chinese.pinyin import Token, copy_class
from bmtool.chinese.syllables import ALONE_ONLY, LONGEST, alike, canonical
from bmtool.chinese.variants import ERHUA, LATIN
from bmtool.tasks.pinyin2hanzi.typed import guesses
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc
from bmtool.tasks.pinyin2hanzi.typed.spelling import Spelled
from bmtool.tasks.pinyin2hanzi.typed.ways import between, cut, reached, squeezed, through
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, Vocabulary

JOINED = 1024  # letters written together that are read in every way; longer ones as the fewest syllables
GUESSED = 256  # letters of a line that are guessed at
SEVERAL = 48  # letters written together in which more than one guess may be needed, or that may stay as they are
SHORTENED = 16  # letters in which initials may stand for syllables
# Costs in nats.
SPLIT = 4.0  # a syllable typed apart that is read as two (xian: xi'an)
FUZZY_COST = 4.0  # typing exactly loses 0.1 % of characters with it, typing z for zh and so on loses 2 %


class Piece(NamedTuple):
    """A stretch of a word between two places that every way goes through: arcs from 0 to `size`, read from `token`."""

    arcs: list[Arc]
    size: int
    token: Token


def copy(token: Token) -> Piece:
    """What stands in input and output alike."""
    return Piece([Arc(0, 1, INPUT_ID[copy_class(token)])], 1, token)


class WordParser:
    """Arcs over the words of one line."""

    def __init__(
        self, vocabulary: Vocabulary, max_length: int, *, fuzzy: Iterable[str] = (), initials: bool = False, apart: bool = False
    ):  # fmt: skip
        """`apart` says that the line is typed syllable by syllable, so that a word that is one syllable is not read as two."""
        self.vocabulary, self.max_length = vocabulary, max_length
        self.fuzzy, self.initials, self.apart = tuple(fuzzy), initials, apart
        self.left = GUESSED  # letters of the line that may still be guessed at

    def hanzi(self, token: Token) -> Piece:
        """A hanzi that is there already stays, and helps to choose the others."""
        number, word = self.vocabulary.usual_input(token.text), token.text
        if number is None:
            number, word = INPUT_ID[copy_class(token)], ""
        return Piece([Arc(0, 1, number, word=word, span=(token.start, token.start + 1))], 1, token)

    def letters(self, token: Token, spelled: Spelled) -> list[Piece]:
        """The pieces of a word, cut where every reading is cut; a copy when it cannot be read."""
        whole = self._syllables(spelled, 0, spelled.size)
        if whole and self.apart:
            return [_piece(token, spelled, whole)]
        readable = spelled.size <= JOINED
        pieces = [_piece(token, spelled, arcs) for arcs in cut(self._ways(spelled))] if readable else []
        if pieces and all(piece.size <= self.max_length for piece in pieces):
            return pieces
        simplest = self._simplest(token) if pieces or not readable else []
        return simplest or [copy(token)]

    def _simplest(self, token: Token) -> list[Piece]:
        """The word as the fewest syllables; none where these are not all known."""
        syllables = pinyin.read_syllables(token.text) or ()
        if not all(map(self._known, syllables)):
            return []
        span = (token.start, token.start + len(token.text))
        return [Piece([Arc(0, 1, INPUT_ID[syllable], span=span)], 1, _syllable(token)) for syllable in syllables]

    def _known(self, syllable: str) -> bool:
        return self.vocabulary.candidate_count(INPUT_ID[syllable]) > 0

    def _ways(self, spelled: Spelled) -> list[Arc]:
        """Every exact reading of the letters; where there is none, readings with guesses, and the word as it is."""
        whole = canonical(spelled.letters)
        if whole and not self._known(whole):  # a syllable that no hanzi of this vocabulary is read with
            return []
        exact = [arc for start, end in spelled.spans(LONGEST) for arc in self._syllables(spelled, start, end)]
        starts, ends = reached(exact, spelled.size)
        capitals = guesses.capitals(spelled)
        if spelled.size in starts:
            useful = through(exact + capitals, spelled.size) if capitals else between(exact, starts, ends)
            return _whole_first(useful, spelled.size)
        self.left -= spelled.size
        if self.left < 0:
            return []
        latin = guesses.latin(spelled)
        if spelled.word != spelled.word.lower():
            return through(_small(exact, spelled) + latin + capitals, spelled.size)
        guessed = self._guessed(spelled, exact, latin, starts=starts, ends=ends)
        keeps = guessed and spelled.word not in LATIN and not self.initials and spelled.size <= SEVERAL
        return [*guessed, guesses.kept(spelled)] if keeps else guessed

    def _guessed(
        self, spelled: Spelled, exact: list[Arc], latin: list[Arc], *, starts: frozenset[int], ends: frozenset[int]
    ) -> list[Arc]:
        """Ways with slips, Latin words and initials: with one of these, from `starts` to `ends`, where one is enough."""
        size, anywhere = spelled.size, range(spelled.size + 1)
        if self.initials and size <= SHORTENED:
            slips = guesses.slips(spelled, self._known, anywhere, anywhere)
            return through(exact + latin + guesses.initials(spelled, self._known) + slips, size)
        if one := guesses.slips(spelled, self._known, starts, ends) + between(latin, starts, ends):
            return through(exact + one, size)
        if size > SEVERAL:
            return []
        return through(exact + latin + guesses.slips(spelled, self._known, anywhere, anywhere), size)

    def _syllables(self, spelled: Spelled, start: int, end: int) -> list[Arc]:
        """The syllable that the letters start ... end write, and those that fuzzy sounds make of it."""
        if spelled.forced(start, end):
            return []
        letters = spelled.letters[start:end]
        syllable = ERHUA[1] if letters == ERHUA[0] and start else canonical(letters)
        if syllable is None or (syllable in ALONE_ONLY and not spelled.alone(start, end)) or not self._known(syllable):
            return []
        marks = spelled.tones(start, end)
        if len(marks) > 1:
            return []
        exact = Arc(start, end, INPUT_ID[syllable], tone=spelled.ends.get(end, 0) or sum(marks))
        others = [other for other in alike(syllable, self.fuzzy) if self._known(other)]
        return [exact, *(exact._replace(number=INPUT_ID[other], cost=FUZZY_COST) for other in others)]


def _whole_first(arcs: list[Arc], size: int) -> list[Arc]:
    """The arcs; where one of them is the whole word, the first arcs of other ways cost SPLIT more."""
    if not any(arc.start == 0 and arc.end == size for arc in arcs):
        return arcs
    return [arc._replace(cost=arc.cost + SPLIT) if arc.start == 0 and arc.end < size else arc for arc in arcs]


def _small(arcs: list[Arc], spelled: Spelled) -> list[Arc]:
    """Of a word with capitals, the syllables of several letters that are all small."""
    return [arc for arc in arcs if arc.end > arc.start + 1 and spelled.written(arc.start, arc.end).islower()]


def _piece(token: Token, spelled: Spelled, arcs: list[Arc]) -> Piece:
    """Arcs between letters as a piece; a span takes the tone and apostrophe behind the letters too."""
    at, offset = token.start, spelled.offset
    arcs = [arc._replace(span=(at + offset[arc.start], at + offset[arc.end])) for arc in arcs]
    return Piece(*squeezed(arcs), _syllable(token))


def _syllable(token: Token) -> Token:
    return token._replace(kind="syllable")
