"""Counting what was read, kept and dropped."""

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES_KEPT, EXAMPLE_LENGTH = 10, 240


@dataclass
class Tally:
    """What one source gave: lines read, sentences kept, and what was dropped by reason with a few examples (`place: text`).

    `noted` counts what was kept although something was amiss.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter = field(default_factory=Counter)
    noted: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, reason: str, place: str, text: str = "") -> None:
        self.dropped[reason] += 1
        self.show(reason, place, text)

    def note(self, reason: str, place: str, text: str = "") -> None:
        self.noted[reason] += 1
        self.show(reason, place, text)

    def show(self, reason: str, place: str, text: str = "") -> None:
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            text = text.replace("\t", " | ")
            shown.append(f"{place}: {text[:EXAMPLE_LENGTH]}" if text else place)

    def as_dict(self) -> dict:
        dropped = dict(self.dropped.most_common())
        return {"read": self.read, "kept": self.kept, "dropped": dropped, "examples": self.examples}
