"""What letters may stand for that are no syllables as typed: slips of one key, initials, Latin words, capitals. Each has a cost in nats."""

import re
import string
from collections.abc import Callable, Container
from functools import lru_cache

from bmtool.chinese.syllables import ALONE_ONLY, INITIALS, LONGEST, SYLLABLES, canonical
from bmtool.chinese.variants import LATIN
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc
from bmtool.tasks.pinyin2hanzi.typed.spelling import Spelled
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID

INITIAL = 4.0
SLIP = 6.0
# A word that is no pinyin is kept as it is, at so much and so much a letter, unless a slip explains it better.
KEPT, KEPT_LETTER = 6.0, 2.2
KEPT_KNOWN = 1.0  # one of variants.LATIN
# Latin among other letters: such a word, one of two letters (ok, id), and capitals in a row.
AMONG, AMONG_SHORT, CAPITALS = 3.0, 5.0, 0.0

_COPY = INPUT_ID["<latin>"]
_LONGEST_LATIN = max(map(len, LATIN))
_CAPITALS = re.compile("[A-Z]{2,}")
_VOWELS = frozenset("aeiouvê")
_BEGINNING = {
    i: tuple(s for s in SYLLABLES if s.startswith(i) and s not in ALONE_ONLY) for i in (*INITIALS, "a", "e", "o")
}

Known = Callable[[str], bool]  # whether some hanzi of the vocabulary is read as a syllable


def kept(spelled: Spelled) -> Arc:
    """The whole word as it is."""
    return Arc(0, spelled.size, _COPY, KEPT + KEPT_LETTER * spelled.size)


def latin(spelled: Spelled) -> list[Arc]:
    """Usual Latin words, alone and among other letters."""
    return [
        Arc(start, end, _COPY, _latin_cost(end - start, alone=end - start == spelled.size))
        for start, end in spelled.spans(_LONGEST_LATIN, least=2)
        if spelled.written(start, end).lower() in LATIN
    ]


def _latin_cost(size: int, *, alone: bool) -> float:
    if alone:
        return KEPT_KNOWN
    return AMONG if size > 2 else AMONG_SHORT


def capitals(spelled: Spelled) -> list[Arc]:
    """Capitals in a row beside small letters."""
    number = {place: letter for letter, place in enumerate(spelled.offset)}
    runs = [(number[run.start()], run.end()) for run in _CAPITALS.finditer(spelled.word)]
    return [Arc(start, number[end], _COPY, CAPITALS) for start, end in runs if end in number]


def initials(spelled: Spelled, known: Known) -> list[Arc]:
    """Every syllable that begins with the letter or the two letters."""
    return [
        Arc(start, end, INPUT_ID[syllable], INITIAL)
        for start, end in spelled.spans(2)
        for syllable in _BEGINNING.get(spelled.letters[start:end], ())
        if known(syllable)
    ]


def slips(spelled: Spelled, known: Known, starts: Container[int], ends: Container[int]) -> list[Arc]:
    """Syllables one slip away from the letters between a place of `starts` and one of `ends`; none in a word without a vowel."""
    if _VOWELS.isdisjoint(spelled.letters):
        return []
    return [
        Arc(start, end, INPUT_ID[syllable], SLIP)
        for start, end in spelled.spans(LONGEST + 1, least=2)
        if start in starts and end in ends and not spelled.forced(start, end)
        for syllable in _one_edit(spelled.letters[start:end])
        if known(syllable)
    ]


@lru_cache(maxsize=1 << 14)
def _one_edit(letters: str) -> tuple[str, ...]:
    """Syllables one slip away: a letter too many, too few, another, or two exchanged."""
    cuts = [(letters[:i], letters[i:]) for i in range(len(letters) + 1)]
    edits = {a + b[1:] for a, b in cuts if b} | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    for letter in string.ascii_lowercase:
        edits |= {a + letter + b for a, b in cuts} | {a + letter + b[1:] for a, b in cuts if b}
    return tuple(sorted({s for edit in edits if (s := canonical(edit)) and s not in ALONE_ONLY} - {letters}))
