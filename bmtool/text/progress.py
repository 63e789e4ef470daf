"""How far a pass over a corpus is."""

import time
from collections.abc import Iterator

from bmtool.base.console import Console
from bmtool.base.units import duration
from bmtool.data.jobs import Job


class Steps:
    """Says how far a step is and how long it will take: a bar on a terminal, a line every SECONDS elsewhere."""

    SECONDS, LIVE_SECONDS = 10.0, 0.5

    def __init__(self, console: Console, label: str, total: int):
        self.console, self.label, self.total = console, label, total
        self.started = self._said = time.monotonic()
        self.reached = self._characters = 0

    def __enter__(self) -> "Steps":
        self.console.start_progress(0, self.total)
        return self

    def __exit__(self, *_: object) -> None:
        self.console.stop_progress()

    def over(self, jobs: Iterator[Job]) -> Iterator[Job]:
        with self:
            for job in jobs:
                self.reached += 1
                self.say()
                yield job

    def say(self, characters: int = 0) -> None:
        self._characters += characters
        now = time.monotonic()
        if now - self._said < (self.LIVE_SECONDS if self.console.is_live else self.SECONDS) or not self.total:
            return
        self._said, spent = now, now - self.started
        share = min(1.0, self.reached / self.total)
        rate = f"  {self._characters / spent / 1e6:.1f} M characters/s" if self._characters else ""
        left = f"  left {duration(spent / share - spent)}" if share else ""
        self.console.progress(self.reached, f"{self.label}: {share:.0%}{rate}{left}")
