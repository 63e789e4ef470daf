"""Words of the user's own, which win where they fit, without training."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bmtool.chinese import pinyin
from bmtool.chinese.hanzi import hanzi_runs
from bmtool.errors import DataError
from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID

COST = 9.0  # nats of a word of weight 1, however long and however strange its hanzi


@dataclass
class _Node:
    following: dict[int, "_Node"] = field(default_factory=dict)
    words: list[tuple[str, float]] = field(default_factory=list)  # (word, cost)


class Lexicon:
    """Words by how they are read."""

    def __init__(self, entries: Iterable[tuple[str, tuple[str, ...], float]] = ()):
        """Entries are (word, one canonical syllable a hanzi, weight); twice the weight costs log 2 less."""
        self._root, self.words = _Node(), 0
        for word, syllables, weight in entries:
            node = self._root
            for syllable in syllables:
                node = node.following.setdefault(INPUT_ID[syllable], _Node())
            node.words.append((word, COST - math.log(weight)))
            self.words += 1

    def arcs(self, arcs: list[Arc]) -> Iterator[Arc]:
        """The words that fit along the given arcs, each as one arc."""
        begin: dict[int, list[Arc]] = {}
        for arc in arcs:
            if not arc.word:
                begin.setdefault(arc.start, []).append(arc)
        for place in begin:
            yield from self._walk(begin, self._root, place, [])

    def _walk(self, begin: dict[int, list[Arc]], node: _Node, place: int, path: list[Arc]) -> Iterator[Arc]:
        for word, cost in node.words:
            yield Arc(
                path[0].start, place, path[0].number, cost=cost + sum(arc.cost for arc in path), word=word,
                numbers=tuple(arc.number for arc in path), unit=path[0].unit, span=(path[0].span[0], path[-1].span[1]),
            )  # fmt: skip
        for arc in begin.get(place, ()):
            if arc.number in node.following:
                yield from self._walk(begin, node.following[arc.number], arc.end, [*path, arc])


def load(path: Path) -> Lexicon:
    """A file of lines: word, and optionally after tabs its pinyin and its weight (1 unless given). DataError names a broken line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the lexicon {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                entries.append(_entry(line))
            except ValueError as error:
                raise DataError(f"{path}:{number}: {error}") from error
    return Lexicon(entries)


def _entry(line: str) -> tuple[str, tuple[str, ...], float]:
    word, *rest = (cell.strip() for cell in line.split("\t"))
    if hanzi_runs(word) != [word]:
        raise ValueError(f"expected a word in hanzi, got {word!r}")
    typed, weight = ([*rest, "", ""])[:2]
    if len(rest) > 2:
        raise ValueError("expected at most three columns: word, pinyin, weight")
    if typed and not weight and _number(typed) is not None:
        typed, weight = "", typed
    value = _number(weight) if weight else 1.0
    if value is None or not 0 < value < math.inf:
        raise ValueError(f"expected a weight above 0, got {weight!r}")
    syllables = _syllables(typed) if typed else _usual(word)
    if syllables is None or len(syllables) != len(word):
        raise ValueError(
            f"the pinyin {typed!r} is not one syllable a hanzi of {word}"
            if typed
            else f"no reading is known of {word}: add its pinyin"
        )
    return word, syllables, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _syllables(typed: str) -> tuple[str, ...] | None:
    pieces = [pinyin.read_syllables(piece) for piece in typed.split()]
    return None if None in pieces else tuple(s for piece in pieces for s in piece)


def _usual(word: str) -> tuple[str, ...] | None:
    from bmtool.chinese.readings import labeller  # loads the dictionary

    found = tuple(labeller().lazy(word))
    return found if all(found) else None
