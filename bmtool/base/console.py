"""What a training says: a live line on a terminal, plain lines elsewhere, everything in the run's log.txt. All on stderr.

What comes from data is shown, never obeyed: control characters are written out (`visible`), in answers only where a terminal reads them.
"""

import re
import sys
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

# Control characters but tab and newline, what turns the direction of writing, and half of a surrogate pair.
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Text with its control characters as escapes, so that a terminal shows them: ESC becomes `\\x1b`."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def answer(text: str) -> None:
    """A line of results on stdout, at once: as it is for a file or a pipe, visible for a terminal."""
    print(visible(text) if sys.stdout.isatty() else text, flush=True)


def piece(text: str) -> None:
    """A part of a line of results, as `answer` shows whole ones."""
    print(visible(text) if sys.stdout.isatty() else text, end="", flush=True)


_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def colour(label: str) -> str:
    """Of a kind of thing: the same one in every answer."""
    return _COLOURS[zlib.crc32(label.encode("utf-8", "surrogatepass")) % len(_COLOURS)]


def marked(text: str, marks: Iterable[tuple[int, int, str]]) -> None:
    """A line of results for a terminal: a text with its parts (start, end, label) in colour, each with its label behind it."""
    shown, done = Text(), 0
    for start, end, label in marks:
        style = colour(label)
        shown.append(visible(text[done:start])).append(visible(text[start:end]), f"bold underline {style}")
        shown.append(f"/{visible(label)}", f"dim {style}")
        done = end
    Terminal(soft_wrap=True).print(shown.append(visible(text[done:])))


def warn(message: object) -> None:
    """A line on stderr that says who speaks."""
    print(f"bmtool: {visible(str(message))}", file=sys.stderr)


def record(log: Path, message: str) -> None:
    """A line of a log, with the time."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")


class Terminal(RichConsole):
    """Rich, to which all text that is not its own comes visible; as wide as a terminal, or 120 where there is none."""

    def __init__(self, *, stderr: bool = False, **options: Any):
        stream = sys.stderr if stderr else sys.stdout
        # In a notebook, too, lines are lines.
        plain = {"highlight": False, "force_jupyter": False, "width": None if stream.isatty() else 120}
        super().__init__(stderr=stderr, **plain, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


class Console:
    """Silent unless `speaks` (data-parallel: rank 0 only); one that is `quiet` speaks to its log alone."""

    def __init__(self, log: Path | None = None, speaks: bool = True, *, quiet: bool = False):
        self._rich = Terminal(stderr=True, soft_wrap=True)
        self._log, self._speaks, self._shows = log, speaks, speaks and not quiet
        self._progress: Progress | None = None

    def say(self, message: str, *, style: str = "") -> None:
        if self._speaks:
            message = visible(message)
            self._record(message)
        if self._shows:
            self._rich.print(escape(message), style=style)

    def _record(self, message: str) -> None:
        if self._log is not None:
            record(self._log, message)

    def warn(self, message: str) -> None:
        self.say(f"warning: {message}", style="yellow")

    def table(self, table: Table) -> None:
        if self._shows:
            self._rich.print(table)

    def start_progress(self, done: int, total: int) -> None:
        if self._shows and sys.stderr.isatty():
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
