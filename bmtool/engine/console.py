"""What a training says: a live line on a terminal, plain lines elsewhere, everything in the run's log.txt. All on stderr."""

import sys
import time
from pathlib import Path

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table


class Console:
    """Silent unless `speaks` (data-parallel: rank 0 only)."""

    def __init__(self, log: Path | None = None, speaks: bool = True):
        self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._log, self._speaks = log, speaks
        self._progress: Progress | None = None

    def say(self, message: str, *, style: str = "") -> None:
        if not self._speaks:
            return
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")
        self._rich.print(escape(message), style=style)

    def warn(self, message: str) -> None:
        self.say(f"warning: {message}", style="yellow")

    def table(self, table: Table) -> None:
        if self._speaks:
            self._rich.print(table)

    def start_progress(self, done: int, total: int) -> None:
        if self._speaks and sys.stderr.isatty():
            columns = (
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, TextColumn("{task.description}"), console=self._rich, transient=True)
            self._progress.add_task("", total=total, completed=done)
            self._progress.start()

    def advance(self, done: int, description: str) -> None:
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, description=description)

    @property
    def is_live(self) -> bool:
        return self._progress is not None

    def stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
