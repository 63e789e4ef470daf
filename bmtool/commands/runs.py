"""`runs`: the runs there are, one of them in full, several side by side."""

import json
import logging
import os
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmtool import registry
from bmtool.base.console import answer, warn
from bmtool.base.needs import needs
from bmtool.base.suggest import suggest
from bmtool.commands import refusals, serve
from bmtool.commands import runs_tables as tables
from bmtool.engine.record import Record
from bmtool.engine.series import series
from bmtool.errors import ConfigError, DataError
from bmtool.measure.meter import is_lower_better
from bmtool.runs import finding, page
from bmtool.runs.comparison import compared
from bmtool.runs.contents import contents, plain
from bmtool.runs.summary import Summary, best, summed_up

if TYPE_CHECKING:  # matplotlib, which most of them do without
    from bmtool.engine.plots import Drawn

DEFAULT = "runs"


# --- list ---


def list_runs(
    places: Sequence[str | Path] = (), *, task: str | None = None, sort: str | None = None, as_json: bool = False
) -> list[Summary]:
    """The runs at and under `places` (runs/ unless some are given), newest first, or the best of a figure first. Printed and returned.

    A damaged or failed run is among them and says so. DataError when there is none; ConfigError for a task or figure that none has.
    """
    held = [summed_up(path) for path in finding.found(places or [DEFAULT])]
    if task is not None:
        held = _of_task(held, task)
    held = _sorted(held, sort)
    if as_json:
        for one in held:
            answer(_json(one.as_dict()))
    else:
        tables.write(tables.listed(held, sort))
        for one in (one for one in held if one.why):
            warn(f"{one.path}: {one.state}: {one.why}")
    return held


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _of_task(held: list[Summary], task: str) -> list[Summary]:
    registry.find(task)
    left = [one for one in held if one.task == task]
    if not left:
        there = ", ".join(sorted({one.task for one in held if one.task})) or "no task that can be read"
        raise DataError(f"no run of {task} among {len(held):,} (they are of {there})")
    return left


def _sorted(held: list[Summary], sort: str | None) -> list[Summary]:
    if sort is None:
        return sorted(held, key=lambda one: -one.started.timestamp() if one.started else 0.0)
    names = sorted({name for one in held for name in one.figures})
    if sort not in names:
        raise ConfigError(
            f"--sort: no run has a figure {sort!r}{suggest(sort, names)} (there are {', '.join(names) or 'none'})"
        )
    sign = 1 if is_lower_better(sort) else -1
    return sorted(held, key=lambda one: sign * value if (value := _value(one, sort)) is not None else float("inf"))


def _value(one: Summary, figure: str) -> float | None:
    return one.figures.get(figure, {}).get("value")


# --- show ---


def show(path: str | Path, *, as_json: bool = False, html: bool = False, open_it: bool = False) -> dict[str, Any]:
    """Everything that a run has to say: printed, or written as its page, which is opened where there is something to open it with.

    Returns what is printed as JSON. DataError for a run that cannot be read.
    """
    found = contents(path, warn)
    if html or open_it:
        _page(path, open_it)
    elif as_json:
        answer(_json(found))
    else:
        tables.whole(found)
    return found


def _page(path: str | Path, open_it: bool) -> None:
    place = page.write(path, warn)
    answer(str(place))
    if open_it and not _opened(place):
        warn(f"no browser here could be started: open {place.resolve()} in one")


def _opened(place: Path) -> bool:
    """Whether a browser was started: where nobody looks at a screen there is none, and one of text would take the terminal."""
    has_screen = sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    return has_screen and webbrowser.open(place.resolve().as_uri())


# --- compare ---


def compare(paths: Sequence[str | Path], *, as_json: bool = False) -> dict[str, Any]:
    """What differs between runs, against the first of them. Printed and returned.

    ConfigError for fewer than two runs; DataError for runs of different tasks, or that cannot be read.
    """
    found = compared(paths, warn)
    if as_json:
        answer(_json(found))
        return found
    names = tables.distinct(found["runs"])
    tables.write(tables.differing(found, names))
    for one in found["evaluations"]:
        print()
        tables.write(tables.beside(one, names))
        _remark(one, names)
    print(tables.MARKS)
    return found


def _remark(one: dict[str, Any], names: Sequence[str]) -> None:
    """What to know of a report of several runs."""
    for name, is_current in zip(names, one["is_current"]):
        if is_current is False:
            warn(f"{one['name']}: {name}{tables.OF_WEIGHTS[is_current]}: evaluate it again")
    for name, why in list(zip(names, one["not_compared"]))[1:]:
        if why:
            warn(f"{one['name']}: {name} is not compared with {names[0]}: {why}")


# --- plot ---


def plot(paths: Sequence[str | Path], *, figures: Sequence[str] = (), output: str | Path = "runs.png") -> Path:
    """Curves of runs over each other, in one PNG: those of `figures`, or those of the validation. Returns where it lies.

    ConfigError for a figure that no run has; DataError where there is no curve at all.
    """
    from bmtool.engine import plots

    refusals.require_file(output, "--output")
    if Path(output).suffix.lower() not in ("", ".png"):
        raise ConfigError(f"--output: {output}: a picture is written as .png")
    runs = [_drawn(path) for path in paths]
    there = list(dict.fromkeys(figure for run in runs for figure in run.curves))
    if not there:
        raise DataError("no curves: metrics.jsonl of these runs holds no figures yet")
    for figure in figures:
        if figure not in there:
            raise ConfigError(f"--figure: no run has {figure!r}{suggest(figure, there)} (there are {', '.join(there)})")
    validated = [figure for figure in there if any("valid" in run.curves.get(figure, {}) for run in runs)]
    path = plots.overlaid(runs, list(figures) or validated or there, Path(output))
    answer(str(path))
    return path


def _drawn(path: str | Path) -> "Drawn":
    from bmtool.engine.plots import Drawn

    record = Record.open(path)
    chosen = best(record, warn)
    return Drawn(record.name, series(record.events(warn)), chosen.step if chosen else None)


# --- watch ---


def watch(path: str | Path, *, port: int) -> None:
    """A page that follows a run, for this machine alone, until a signal comes.

    DataError for what is no run; ResourceError when the port is taken.
    """
    with needs(serve.PACKAGES, "watching a run takes packages of its own"):
        from bmtool.serve.watching import Watched, create
    app = create(Watched(path, warn))
    serve.log_to_stderr(logging.WARNING)
    with closing(serve.bound(serve.LOOPBACK[0], port)) as taken:
        serve.listen(app, taken, f"watching {path}", lambda: None)
