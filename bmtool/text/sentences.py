"""Cutting lines into sentences: by Chinese rules, which look at marks alone, or by those for any language, which look around them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ENDS = "。！？!?；;…"
_CLOSING = "”’」』）)》】\"'"
_QUOTES = ("“”", "‘’", "「」", "『』", "（）", "()", "《》")
_SPEECH = '“‘「『"'  # quotations that are sentences when they end like one
QUOTE_LENGTH = 200  # a longer quotation is cut like other text

# Marks that end a sentence whatever follows, and marks that may.
_SURE, _MAYBE = "。！？；।॥؟۔", ".!?…"
_OPENING = "“‘「『\"'«¿¡(["
_NEAR = 24  # characters before a full stop in which an abbreviation is looked for
_BEFORE_WORD = re.compile(r"[\s()\[\]{}“‘「\"'«/—–-]")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_FOLLOWING = re.compile(r"(\s*)(\S?)")
_SHORT = (
    "mr mrs ms mx dr prof rev fr sr jr st mt gen col maj capt cmdr lt sgt cpl adm gov sen rep hon pres messrs mme mlle sra dra "
    "fig figs eq eqs ch vol vols pp ed eds al cf vs viz approx dept est ave blvd ph.d"
)
ABBREVIATIONS = frozenset(_SHORT.split())


def _piece(quotes: tuple[str, ...], ends: str) -> re.Pattern:
    """A whole quotation, or a run of marks."""
    whole = (f"{re.escape(a)}[^{re.escape(a + b)}]{{0,{QUOTE_LENGTH}}}{re.escape(b)}" for a, b in quotes)
    return re.compile("|".join(whole) + f"|[{re.escape(ends)}]+")


@dataclass(frozen=True)
class _Rules:
    ends: str  # marks
    piece: re.Pattern
    closing: re.Pattern  # marks, quotes and brackets that close what has ended
    is_end: Callable[[str, int, int, int], bool]  # line, start of the sentence, place of the mark, what comes after it


def _is_end(line: str, start: int, mark: int, after: int) -> bool:
    """Whether the mark at `mark`, with all that closes it up to `after`, ends a sentence of any language.

    A full stop does before a space and a letter that is not lower-case, or a quotation, unless an abbreviation, an initial or the
    number of a list item stands before it; dots in a row do not. "!" and "?" also do directly before an ideograph.
    """
    if line[mark] in _SURE:
        return True
    space, following = _FOLLOWING.match(line, after).groups()
    if not space:
        return line[mark] != "." and "\u3040" <= following <= "\u9fff"  # kana, hanzi
    if line[mark] == "…" or line[max(0, mark - 1) : mark + 1] == "..":
        return False
    if following not in _OPENING and not (following.isalpha() and not following.islower()):
        return False
    return line[mark] != "." or not _is_short_form(line, start, mark)


def _is_short_form(line: str, start: int, mark: int) -> bool:
    """Whether what stands before a full stop is an abbreviation, an initial or the number of a list item."""
    near = line[max(start, mark - _NEAR) : mark]
    word = _BEFORE_WORD.split(near)[-1]
    is_number = len(near) < _NEAR and near.strip().isdigit()  # and nothing else is before it
    if is_number or word.lower() in ABBREVIATIONS:
        return True
    return _INITIALS.fullmatch(word) is not None and word.lower() != word.upper()


def _rules(ends: str, quotes: tuple[str, ...], is_end: Callable[[str, int, int, int], bool]) -> _Rules:
    return _Rules(ends, _piece(quotes, ends), re.compile(f"[{re.escape(ends + _CLOSING)}]*"), is_end)


_CHINESE = _rules(_ENDS, _QUOTES, lambda line, start, mark, after: True)
_ANY = _rules(_SURE + _MAYBE, (*_QUOTES, '""'), _is_end)


def split_sentences(line: str, letters: str = "hanzi") -> Iterator[str]:
    """`line` cut after each sentence end, with the closing quotes and brackets that follow it; never inside a quotation.

    A quotation ends the sentence when it ends with a sentence end itself: “走吧！” is one, 他叫“老王”来了。 is not cut. Text in
    other letters than hanzi is cut by the rules for any language.
    """
    rules = _CHINESE if letters == "hanzi" else _ANY
    start = position = 0
    while match := rules.piece.search(line, position):
        position = match.end()
        piece = match.group()
        is_run = piece[0] in rules.ends
        if not is_run and not (len(piece) > 2 and piece[-2] in rules.ends and piece[0] in _SPEECH):
            continue
        closed = rules.closing.match(line, position).end()
        if rules.is_end(line, start, position - 1 if is_run else position - 2, closed):
            if sentence := line[start:closed].strip():
                yield sentence
            start = position = closed
    if rest := line[start:].strip():
        yield rest


_MARK = re.compile(f"[{_ENDS}][^{re.escape(_ENDS + _CLOSING)}]")
_ANY_MARK = re.compile(f"[{_SURE}{_MAYBE}][^{re.escape(_SURE + _MAYBE)}]")


def may_be_several(line: str, letters: str) -> bool:
    """Whether a line may hold more than one sentence: a quick look, by which most lines are passed over."""
    return (_MARK if letters == "hanzi" else _ANY_MARK).search(line) is not None
