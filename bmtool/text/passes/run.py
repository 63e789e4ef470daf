"""What all passes share: the settings, the cache of results, and blocks in their places."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bmtool.base.console import Console
from bmtool.config.text import TextData
from bmtool.data.jobs import Engine, Job, digest
from bmtool.data.tally import EXAMPLE_LENGTH, EXAMPLES_KEPT
from bmtool.text.inventory import Source
from bmtool.text.progress import Steps
from bmtool.text.recipe import CODE
from bmtool.text.task import TextTask

Noted = dict[str, list]  # reason -> [count, the first few (line, text)]


@dataclass
class Run:
    """One preparation; `used` are the results in the cache that it has had a use for."""

    data: TextData
    task: TextTask
    engine: Engine
    console: Console
    cache: Path
    limit: int | None
    used: set[Path] = field(default_factory=set)

    def place(self, step: str, *depends: object) -> Path:
        """Where the result of a job lies, by all that it depends on."""
        place = self.cache / step / digest(CODE, *depends)
        self.used.add(place)
        return place

    def do(self, label: str, jobs: Sequence[Job]) -> list[Path]:
        """The results of all jobs, in their order."""
        return [job.directory for job in Steps(self.console, label, len(jobs)).over(self.engine.run(jobs))]

    def forget_unused(self) -> None:
        """Remove results that this run had no use for."""
        for path in self.cache.glob("*/*"):
            if path not in self.used:
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True)
class Piece:
    """One cleaned block in its place: the source, the number of its first line, and where the result lies."""

    source: Source
    first: int
    directory: Path

    @property
    def key(self) -> str:
        return self.directory.name

    @property
    def measured(self) -> int:
        """The column of its records that is measured."""
        return self.source.file.layout.column

    def place_of(self, row: int) -> str:
        """`file:line` of a sentence."""
        line = int(np.load(self.directory / "line.npy", mmap_mode="r")[row])
        return f"{self.source.name}:{self.first + line}"

    def note(self, noted: Noted, totals: dict[str, int]) -> None:
        """Add what was noted of the block to the totals of its source, with examples."""
        for note, (count, listed) in noted.items():
            totals[note] = totals.get(note, 0) + count
            for line, text in listed:
                self.source.tally.show(note, f"{self.source.name}:{self.first + line}", text)


def listed(found: list[tuple[int, str, str]]) -> Noted:
    """(line, reason, text) by reason."""
    noted: Noted = {}
    for line, reason, text in found:
        entry = noted.setdefault(reason, [0, []])
        entry[0] += 1
        if len(entry[1]) < EXAMPLES_KEPT:
            entry[1].append((line, text[:EXAMPLE_LENGTH]))
    return noted
