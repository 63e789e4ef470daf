"""What a training says: a live line on a terminal, plain lines elsewhere, everything in the run's log.txt. All on stderr."""

import sys
import time
from pathlib import Path

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table


class Console:
    """Silent unless `speaks` (data-parallel: rank 0 only)."""

    def __init__(self, log: Path | None = None, speaks: bool = True):
        width = None if sys.stderr.isatty() else 120  # a file or pipe has no width to fit
        self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True, width=width)
        self._log, self._speaks = log, speaks
        self._progress: Progress | None = None

    def say(self, message: str, *, style: str = "") -> None:
        if self._speaks:
            self._record(message)
            self._rich.print(escape(message), style=style)

    def _record(self, message: str) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def warn(self, message: str) -> None:
        self.say(f"warning: {message}", style="yellow")

    def table(self, table: Table) -> None:
        if self._speaks:
            self._rich.print(table)

    def start_progress(self, done: int, total: int) -> None:
        if self._speaks and sys.stderr.isatty():
            self._progress = Progress(
                BarColumn(bar_width=20), TextColumn("{task.description}"), console=self._rich, transient=True
            )
            self._progress.add_task("", total=total, completed=done)
            self._progress.start()

    @property
    def is_live(self) -> bool:
        """Whether a bar is shown, which may be moved as often as one likes."""
        return self._progress is not None

    def progress(self, done: int, line: str) -> None:
        """A bar with `line` on a terminal, `line` alone elsewhere."""
        if self._progress is None:
            self.say(line)
        else:
            self._record(line)
            self._progress.update(self._progress.task_ids[0], completed=done, description=escape(line))

    def stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
