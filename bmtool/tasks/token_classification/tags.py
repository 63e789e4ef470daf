"""Tags as files have them: which scheme they follow is recognised from all of them, and what spans they stand for."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bmtool.measure.spans import Span

UNTYPED = "word"  # the type of tags that name none, as word segmentation has them
_SAME = {"M": "I", "L": "E", "U": "S", "W": "S"}  # BMES, BILOU, BMEWO
_NOTHING = ("O", "", "_")


class Scheme(NamedTuple):
    """How tags are to be read. `name` is for people."""

    name: str
    has_ends: bool  # E and S say where a span ends
    begins_only_apart: bool = False  # IOB1: B stands only where a span follows another of its type


PLAIN = Scheme("BIO", False)
IOB1 = Scheme("IOB1", False, True)


def split(written: str) -> tuple[str, str]:
    """(B, I, E, S or O, type) of a tag. ValueError for what is none."""
    if written in _NOTHING:
        return "O", ""
    head, dash, label = written.partition("-")
    head = _SAME.get(head.upper(), head.upper())
    if head not in tuple("BIES") or (dash and not label):
        raise ValueError("no tag: write B-TYPE, I-TYPE, E-TYPE, S-TYPE or O (M may stand for I)")
    return head, label or UNTYPED


def recognised(sequences: Collection[Sequence[tuple[str, str]]]) -> Scheme:
    """The scheme of tags that were split, by all sequences of a file."""
    heads = {head for sequence in sequences for head, _ in sequence}
    if heads & {"E", "S"}:
        return Scheme("BIOES" if "O" in heads else "BMES", True)
    return IOB1 if "I" in heads and all(map(_is_iob1, sequences)) and any(map(_opens_inside, sequences)) else PLAIN


def _opens_inside(sequence: Sequence[tuple[str, str]]) -> bool:
    """Whether a span begins with I."""
    return any(head == "I" and (before[0] == "O" or before[1] != label) for before, (head, label) in _pairs(sequence))


def _is_iob1(sequence: Sequence[tuple[str, str]]) -> bool:
    """Whether B stands only behind a span of its type."""
    return all(head != "B" or (before[0] != "O" and before[1] == label) for before, (head, label) in _pairs(sequence))


def _pairs(sequence: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    return zip([("O", ""), *sequence], sequence)


class BrokenError(ValueError):
    """Tags that their scheme does not have, from the one at `at` on."""

    def __init__(self, at: int, why: str):
        super().__init__(why)
        self.at = at


def read(sequence: Sequence[tuple[str, str]], scheme: Scheme) -> list[Span]:
    """The spans of a sequence. BrokenError for tags that the scheme does not have."""
    found: list[Span] = []
    is_open = False
    for at, (before, (head, label)) in enumerate(_pairs(sequence)):
        goes_on = head in ("I", "E") and is_open and before[1] == label
        if is_open and scheme.has_ends and not goes_on:
            raise BrokenError(at, f"a span without an end, as {scheme.name} has it")
        if head in ("I", "E") and not goes_on and scheme != IOB1:
            raise BrokenError(at, f"a tag that goes on with no span, as {scheme.name} has it")
        if goes_on:
            found[-1] = found[-1]._replace(end=at + 1)
        elif head != "O":
            found.append(Span(at, at + 1, label))
        is_open = head in ("B", "I")
    if is_open and scheme.has_ends:
        raise BrokenError(len(sequence) - 1, f"a span without an end, as {scheme.name} has it")
    return found
