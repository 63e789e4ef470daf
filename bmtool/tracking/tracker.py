"""The protocol of a tracker, and those of one training as one of them.

A tracker that cannot begin stops a training before its first step; one that fails later is said once and told nothing more.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from bmtool.errors import ResourceError

LONGEST = 200  # characters of what a tracker's package says


class Subject(NamedTuple):
    """What a training is, to those who track it; `settings` are its configuration, key -> value."""

    folder: Path
    task: str
    settings: dict[str, Any]
    # what was changed when it went on
    changes: list[str]
    # steps that lie behind it
    step: int
    # the name that the tracker gave it when it began; None for one that begins
    name: str | None


class Tracker(Protocol):
    """One that follows a training from its start, or from where it goes on: a class with this constructor.

    `name` is what a tracker needs to find what it has kept of the training so far, None where that is the run directory.
    """

    name: str | None

    def __init__(self, subject: Subject): ...

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures of a step."""

    def end(self, step: int, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """What came of it: figures of the best checkpoint, and files to keep."""

    def close(self) -> None:
        """The last call, whether the training came to its end or not."""


class Trackers:
    """All that a configuration names. `begin` before the first figure; nothing is open until then."""

    def __init__(self, names: Sequence[str], warn: Callable[[str], None]):
        self._names, self._warn = names, warn
        self._open: dict[str, Tracker] = {}
        self._has_begun = False

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._each(lambda tracker: tracker.close())

    def begin(self, subject: Subject, known: Mapping[str, str]) -> dict[str, str]:
        """Open all of them, once; `known` are the names they gave the training before. Returns their names now.

        ResourceError that says how to train without one that cannot begin.
        """
        if self._has_begun:
            return dict(known)
        for name in self._names:
            self._open[name] = _opened(name, subject._replace(name=known.get(name)))
            if known.get(name) not in (None, self._open[name].name):
                self._warn(
                    f"tracking: {name} does not know {known[name]} any more; it follows this training as another"
                )
        self._has_begun = True
        return {name: tracker.name for name, tracker in self._open.items() if tracker.name is not None}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._each(lambda tracker: tracker.log(step, figures))

    def end(self, step: int, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self._each(lambda tracker: tracker.end(step, figures, files))

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            try:
                tell(tracker)
            except Exception as error:  # of somebody else's package, which may raise anything
                del self._open[name]
                self._warn(f"tracking: {name} has failed and is told nothing more: {_first_line(error)}")


def _opened(name: str, subject: Subject) -> Tracker:
    try:
        return importlib.import_module(f"bmtool.tracking.{name}").Tracker(subject)
    except Exception as error:  # of somebody else's package, which may raise anything
        why = f"tracking: {name} cannot begin: {_first_line(error)}"
        raise ResourceError(f"{why}; train without it: --set 'tracking=[]'") from error


def _first_line(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return said[:LONGEST]
