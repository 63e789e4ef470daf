"""What a typed line can be read as: arcs between places in it, each one syllable, a copy, a hanzi that is there already, or a word.

Segmented pinyin has one way through; letters written together have several, and so has a syllable that may be meant otherwise.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Arc(NamedTuple):
    """`number` is the model's input; `word`, when set, is the only text that may stand here (one hanzi, or a word of the user's)."""

    start: int
    end: int
    number: int
    cost: float = 0.0  # nats
    tone: int = 0  # 0: none was typed
    word: str = ""
    numbers: tuple[int, ...] = ()  # of a word: the input of each of its hanzi
    unit: int = 0  # what it was read from: the position of a token in the part
    span: tuple[int, int] = (0, 0)  # characters of the line


@dataclass(frozen=True)
class Lattice:
    """A way through leads over arcs from 0 to `size`."""

    arcs: tuple[Arc, ...]
    size: int

    @property
    def is_linear(self) -> bool:
        return len(self.arcs) == self.size and all(arc.end == i for i, arc in enumerate(self.arcs, start=1))


def linear(numbers: list[int]) -> Lattice:
    """The lattice of an input whose every position is known."""
    return Lattice(tuple(Arc(i, i + 1, number, unit=i) for i, number in enumerate(numbers)), len(numbers))


def straighten(arcs: list[Arc]) -> Lattice:
    """One way through a lattice as a lattice of its own: a place an arc, and a word's hanzi one by one."""
    out: list[Arc] = []
    for arc in arcs:
        hanzi = zip(arc.numbers, arc.word) if arc.numbers else [(arc.number, arc.word)]
        for index, (number, text) in enumerate(hanzi):
            at, cost = len(out), 0.0 if index else arc.cost
            out.append(arc._replace(start=at, end=at + 1, number=number, word=text, numbers=(), cost=cost))
    return Lattice(tuple(out), len(out))
