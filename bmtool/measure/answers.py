"""Measuring answers that stand in a text, as those who gave the data sets define it.

A question in hanzi or kana is measured as by CMRC 2018 (Cui et al. 2019): punctuation aside, by character, words of Latin letters whole;
F1 is that of the longest run which two answers share. Any other is measured as by SQuAD (Rajpurkar et al. 2016, 2018): by words without
articles, in any order. Of several right answers the nearest counts. Nothing is the right answer of a question that has none.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from bmtool.measure.bootstrap import ratio
from bmtool.measure.meter import SumMeter

_BY_CHARACTER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
_HANZI = re.compile(r"[\u4e00-\u9fa5]")
# What CMRC 2018 leaves out; other signs are words of their own.
_PUNCTUATION = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_WORD = re.compile(r"\w+(?:[.,']\w+)*|\S")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)


class Match(NamedTuple):
    """How well an answer fits: whether it is the same, 0 or 1, and how much both share, 0 .. 1."""

    exact: float
    f1: float


MISS = Match(0.0, 0.0)


def match(given: str, right: Sequence[str], question: str) -> Match:
    """An answer, "" for none, and those that are right, none of a question without an answer."""
    if not right or not given:
        return Match(1.0, 1.0) if not right and not given else MISS
    compare = _by_character if _BY_CHARACTER.search(question) else _by_word
    each = [compare(given, one) for one in right]
    return Match(max(one.exact for one in each), max(one.f1 for one in each))


# --- by character: CMRC 2018 ---


def _by_character(given: str, right: str) -> Match:
    ours, theirs = segments(given), segments(right)
    exact = float(_bare(given) == _bare(right))
    return Match(exact, _f1(_longest_run(ours, theirs), len(ours), len(theirs)))


def _bare(text: str) -> str:
    return "".join(letter for letter in text.lower().strip() if letter not in _PUNCTUATION)


def segments(text: str) -> list[str]:
    """Hanzi one by one, and the words between them."""
    found: list[str] = []
    word = ""
    for letter in _bare(text):
        if _HANZI.match(letter):
            found += [*_WORD.findall(word), letter]
            word = ""
        else:
            word += letter
    return found + _WORD.findall(word)


def _longest_run(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How long the longest run is that stands in both."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys((*ours, *theirs)))}
    row = np.array([numbers[word] for word in theirs], np.int64)
    lengths, longest = np.zeros(len(theirs) + 1, np.int64), 0
    for word in ours:
        lengths[1:] = np.where(row == numbers[word], lengths[:-1] + 1, 0)
        longest = max(longest, int(lengths.max()))
    return longest


# --- by word: SQuAD ---


def _by_word(given: str, right: str) -> Match:
    ours, theirs = _words(given), _words(right)
    exact = float(ours == theirs)
    if not ours or not theirs:
        return Match(exact, exact)
    return Match(exact, _f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs)))


def _words(text: str) -> list[str]:
    return _ARTICLE.sub(" ", text.lower().translate(_SIGNS)).split()


def _f1(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0


# --- adding up ---

COLUMNS = ("questions", "exact", "f1", "unanswerable", "refused")  # of what is counted of a question


def row(given: str, right: Sequence[str], question: str) -> tuple[float, ...]:
    """COLUMNS of one question. `refused` is 1 where it has no answer, and none was given."""
    found = match(given, right, question)
    return 1.0, found.exact, found.f1, float(not right), float(not right and not given)


class AnswerMeter(SumMeter):
    """`said` are rows [questions, COLUMNS]. `no_answer_accuracy` is the share of the questions without an answer that were given none."""

    names: ClassVar = ("exact_match", "f1", "no_answer_accuracy")

    def __init__(self, columns: int = 1):
        super().__init__(len(COLUMNS), columns)

    @property
    def questions(self) -> int:
        return int(self._totals.total[0, 0])

    def figures(self) -> dict[str, np.ndarray]:
        questions, exact, f1, unanswerable, refused = self._totals.total.T
        found = (ratio(exact, questions), ratio(f1, questions), ratio(refused, unanswerable))
        return dict(zip(self.names, found))
