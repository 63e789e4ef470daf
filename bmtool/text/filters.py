"""Which sentences are too short, too long, in other letters or nothing but repetition."""

from collections.abc import Callable

import numpy as np

from bmtool.config.text import Clean
from bmtool.text.characters import LETTERS, Text

NAMES = {"hanzi": "hanzi", "latin": "Latin letters", "any": "letters"}
REASONS: dict[int, Callable[[Clean], str]] = {
    1: lambda s: f"fewer than {s.min_letters} {NAMES[s.letters]}",
    2: lambda s: f"longer than {s.max_characters} characters",
    3: lambda s: f"under {s.min_letters_share:.0%} {NAMES[s.letters]}",
    4: lambda s: f"a character more than {s.max_repeats} times in a row",
}


def unfit(texts: list[str], settings: Clean) -> np.ndarray:
    """For each text the key in REASONS of the first filter that it fails, 0 where it fits; uint8."""
    reasons = np.zeros(len(texts), np.uint8)
    if not texts:
        return reasons
    text = Text(texts)
    letters = text.sums(LETTERS[settings.letters](text.codes))
    visible = text.lengths - text.sums(text.codes == ord(" "))
    reasons[repeated(text, settings.max_repeats)] = 4
    reasons[letters < settings.min_letters_share * visible] = 3
    reasons[text.lengths > settings.max_characters] = 2
    reasons[letters < settings.min_letters] = 1
    return reasons


def repeated(text: Text, limit: int) -> np.ndarray:
    """Mask of texts in which one character other than a space stands more than `limit` times in a row; 0: none."""
    found = np.zeros(len(text.lengths), bool)
    if limit:
        same = (text.codes[1:] == text.codes[:-1]) & (text.codes[1:] != ord(" ")) & (text.codes[1:] != ord("\n"))
        bounds = np.flatnonzero(np.diff(same, prepend=False, append=False)).reshape(-1, 2)
        found[text.row(bounds[bounds[:, 1] - bounds[:, 0] >= limit, 0])] = True
    return found
