"""Counting what was read, kept and dropped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

EXAMPLES_KEPT, EXAMPLE_LENGTH = 10, 240
KINDS_TOLD = 12  # of files that were passed over


@dataclass
class Tally:
    """What one source gave: lines read, sentences kept, and what was dropped by reason with a few examples (`place: text`).

    `noted` counts what was kept although something was amiss, `ignored` by their kind files that are none of those to be read.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter = field(default_factory=Counter)
    noted: Counter = field(default_factory=Counter)
    ignored: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, reason: str, place: str, text: str = "") -> None:
        self.dropped[reason] += 1
        self.show(reason, place, text)

    def note(self, reason: str, place: str, text: str = "") -> None:
        self.noted[reason] += 1
        self.show(reason, place, text)

    def ignore(self, kind: str, place: str) -> None:
        self.ignored[kind] += 1
        self.show(kind, place)

    def show(self, reason: str, place: str, text: str = "") -> None:
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            text = text.replace("\t", " | ")
            shown.append(f"{place}: {text[:EXAMPLE_LENGTH]}" if text else place)

    def as_dict(self) -> dict:
        dropped = dict(self.dropped.most_common())
        return {"read": self.read, "kept": self.kept, "dropped": dropped, "examples": self.examples}


def passed_over(ignored: Mapping[str, int], examples: Mapping[str, list[str]]) -> str:
    """`ignored 4: 3 x .txt (a.txt), 1 x no suffix (b)`; "" when there was nothing to ignore."""
    ordered = sorted(ignored.items(), key=lambda one: (-one[1], one[0]))
    told = [f"{count:,} x {kind} ({examples[kind][0]})" for kind, count in ordered[:KINDS_TOLD]]
    more = [f"{len(ordered) - KINDS_TOLD:,} kinds more"] if len(ordered) > KINDS_TOLD else []
    return f"ignored {sum(ignored.values()):,}: {', '.join(told + more)}" if ordered else ""
