"""A text cut into the units that people read it by, and the same text without some of them. Numpy only."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bmtool.text.characters import WORD, Text, unit_kinds


class Unit(NamedTuple):
    """A word, or a character of a script without spaces, or a sign: from where to where in which of the texts of an example."""

    text: int
    start: int
    stop: int

    def shares(self, other: "Unit") -> bool:
        """Whether a character is in both."""
        return self.text == other.text and self.start < other.stop and other.start < self.stop


def units(texts: Sequence[str]) -> list[Unit]:
    """Of all texts of an example; white space belongs to none."""
    return [Unit(number, start, stop) for number, text in enumerate(texts) for start, stop in _spans(text)]


def _spans(text: str) -> list[tuple[int, int]]:
    in_word = unit_kinds()[Text([text.replace("\n", " ")]).codes[:-1]] == WORD
    begins = np.flatnonzero(~in_word | ~np.append(False, in_word[:-1]))
    ends = np.append(begins[1:], len(text))
    return [(start, stop) for start, stop in zip(begins.tolist(), ends.tolist()) if text[start:stop].strip()]


def without(texts: Sequence[str], held: Sequence[Unit], left: np.ndarray) -> tuple[str, ...]:
    """The texts with those units alone that are `left`, bool [units]; a text that would be empty stays as it is."""
    pieces: list[list[str]] = [[] for _ in texts]
    done = [0] * len(texts)
    for unit, is_left in zip(held, left.tolist()):
        if not is_left:
            pieces[unit.text].append(texts[unit.text][done[unit.text] : unit.start])
            done[unit.text] = unit.stop
    made = ("".join([*held_, text[at:]]) for held_, text, at in zip(pieces, texts, done))
    return tuple(new if new.strip() else text for new, text in zip(made, texts))
