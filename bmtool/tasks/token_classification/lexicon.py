"""A list of words as a feature: which of its words begin, go on, end or stand alone at a character. numpy only."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from bmtool.errors import DataError
from bmtool.nn.tags import BEGIN, END, INSIDE, PARTS, SINGLE

FILE = "lexicon.tsv"  # in a run and in an export
ANY = ""  # the type of words that have none
LONGEST = 64  # characters of a word


class Lexicon:
    """Words by their types. `features` is the number of columns of `marks`: PARTS for each type."""

    def __init__(self, lines: Iterable[str], origin: str):
        """Lines of `word` or `word<tab>type`. DataError for a line that is neither, and where there is no word."""
        by_type: dict[str, set[str]] = defaultdict(set)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                word, label = _cells(line, f"{origin}:{number}")
                by_type[label].add(word)
        if not by_type:
            raise DataError(
                f"{origin} holds no word: write one a line, with a tab and its type behind it where it has one"
            )
        self.words = {label: frozenset(by_type[label]) for label in sorted(by_type)}
        self.features = PARTS * len(self.words)
        self._lengths = {label: sorted({len(word) for word in words}) for label, words in self.words.items()}

    @property
    def count(self) -> int:
        return sum(map(len, self.words.values()))

    def lines(self) -> str:
        """As `Lexicon` reads it again, the same whatever the order of the lines was."""
        return "".join(f"{word}\t{label}\n" for label, words in self.words.items() for word in sorted(words))

    def marks(self, text: str) -> np.ndarray:
        """1 where a word begins, goes on, ends or stands alone, float32 [characters, features]; words may overlap."""
        out = np.zeros((len(text), self.features), np.float32)
        for number, label in enumerate(self.words):
            each = out[:, PARTS * number : PARTS * (number + 1)]
            for start, end in self._matches(text, label):
                if end - start == 1:
                    each[start, SINGLE] = 1
                    continue
                each[start, BEGIN] = each[end - 1, END] = 1
                each[start + 1 : end - 1, INSIDE] = 1
        return out

    def of_tokens(self, text: str, spans: np.ndarray) -> np.ndarray:
        """What is marked at any character of each token, which stand from where to where [T, 2], float32 [T, features]."""
        marks, out = self.marks(text), np.zeros((len(spans), self.features), np.float32)
        for row, (start, end) in zip(out, spans.tolist()):
            row[:] = marks[start:end].max(axis=0, initial=0)
        return out

    def _matches(self, text: str, label: str) -> Iterator[tuple[int, int]]:
        words = self.words[label]
        for length in self._lengths[label]:
            yield from ((at, at + length) for at in range(len(text) - length + 1) if text[at : at + length] in words)


def _cells(line: str, place: str) -> tuple[str, str]:
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) > 2 or not cells[0].strip() or len(cells[0]) > LONGEST:
        raise DataError(
            f"{place}: expected a word of up to {LONGEST} characters, with a tab and its type behind it where it has one"
        )
    return cells[0].strip(), cells[1].strip() if len(cells) == 2 else ANY
