"""`runs`: the runs there are, one of them in full, several side by side."""

import json
import logging
import os
import sys
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from bmtool import registry
from bmtool.base.console import Terminal, answer, warn
from bmtool.base.needs import needs
from bmtool.base.suggest import suggest
from bmtool.base.units import age, duration, short
from bmtool.commands import refusals, serve
from bmtool.engine.record import Record
from bmtool.engine.series import series
from bmtool.errors import ConfigError, DataError
from bmtool.measure.meter import is_lower_better
from bmtool.measure.report import show as number
from bmtool.runs import finding, page
from bmtool.runs.comparison import PAIRED, compared
from bmtool.runs.contents import contents, plain
from bmtool.runs.summary import Summary, best, summed_up

if TYPE_CHECKING:  # matplotlib, which most of them do without
    from bmtool.engine.plots import Drawn

DEFAULT = "runs"
SHORT = 8  # digits of a hash


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
        Terminal().print(_table(held, sort))
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


def _table(held: list[Summary], sort: str | None) -> Table:
    """Two lines a run: it fits a terminal, and what belongs together stands together."""
    table = Table(show_edge=False)
    for heading in ("run, task", "figure", "data", "steps", "age", "state, parent"):
        table.add_column(heading, justify="right" if heading in ("steps", "age") else "left", overflow="fold")
    now = datetime.now(timezone.utc)
    for one in held:
        steps = f"{one.step:,}" + (f"/{one.steps:,}" if one.steps is not None else "")
        since = age((now - one.started).total_seconds()) if one.started else ""
        table.add_row(
            f"{one.path}\n{one.task}", _figure(one, sort or one.key), f"{one.data}\n{one.data_hash[:SHORT]}", steps, since,
            f"{one.state}\n{f'from {one.parent}' if one.parent else ''}",
        )  # fmt: skip
    return table


def _figure(one: Summary, name: str) -> str:
    """Its name, of what it is, and below the value with its interval."""
    return f"{name}, {one.of}\n{interval(one.figures[name])}" if name in one.figures else ""


def interval(figure: dict[str, float | None]) -> str:
    """`0.9123 (0.8901 - 0.9321)`; without an interval the value alone."""
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    shown = "-" if value is None else number(value)
    return shown if low is None or high is None else f"{shown} ({number(low)} - {number(high)})"


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
        _print(found)
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


def _print(found: dict[str, Any]) -> None:
    terminal, why = Terminal(), f" ({found['why']})" if found["why"] else ""
    steps = f"{found['step']:,}" + (f" of {found['steps']:,}" if found["steps"] else "")
    terminal.print(escape(f"{found['path']}: {found['task']}, {found['state']}{why}"), style="bold", soft_wrap=True)
    data, time = found["data"], found["time"]
    lines = {
        "data": f"{data['prepared'] or data['name']} (hash {data['data_hash'][:12]})",
        "from": found["parent"],
        "steps": steps,
    }
    lines |= {name: _written(value) for name, value in found["facts"].items()}
    lines |= {"time": _spent(time) if time["whole_s"] else None}
    lines |= {"exports": ", ".join(f"{one['name']} ({short(one['bytes'])}B)" for one in found["exports"]) or None}
    for name, value in lines.items():
        if value is not None:
            terminal.print(escape(f"  {name:<12} {value}"), soft_wrap=True)
    for table in _tables(found):
        terminal.print()
        terminal.print(table)


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {held}" for name, held in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _spent(time: dict[str, Any]) -> str:
    rates = "".join(f", {value:,g} {name.removesuffix('_per_s')}/s" for name, value in time["per_second"].items())
    return f"{duration(time['whole_s'])}, of which validation about {duration(time['validating_s'])}{rates}"


def _tables(found: dict[str, Any]) -> Iterator[Table]:
    changed = [one for one in found["settings"] if not one["is_default"]]
    yield _rows(
        "what differs from the defaults", ("key", "value", "default"),
        [(one["key"], _cell(one["value"]), "" if one["default"] is None else _cell(one["default"])) for one in changed],
    )  # fmt: skip
    for one in found["evaluations"]:
        of = {
            True: "",
            False: ", of other weights than those that are used now",
            None: ", of weights that it does not name",
        }
        title = f"evaluation {one['name']}: {one['examples']:,} examples{of[one['is_current']]}"
        yield _rows(title, ("figure", "value"), [(name, interval(figure)) for name, figure in one["metrics"].items()])
    name, best = found["best_metric"], found["best"] or {}
    yield _rows(
        "checkpoints", ("checkpoint", "step", name, "size"),
        [
            (one["name"] + (" (best)" if one["name"] == best.get("name") else ""), f"{one['step']:,}",
             _number(one["metrics"].get(name)), f"{short(one['bytes'])}B")
            for one in found["checkpoints"]
        ],
    )  # fmt: skip


def _rows(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, show_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


# --- compare ---


def compare(paths: Sequence[str | Path], *, as_json: bool = False) -> dict[str, Any]:
    """What differs between runs, against the first of them. Printed and returned.

    ConfigError for fewer than two runs; DataError for runs of different tasks, or that cannot be read.
    """
    found = compared(paths, warn)
    if as_json:
        answer(_json(found))
        return found
    terminal, names = Terminal(), _distinct(found["runs"])
    rows = [("data", *(f"{run['data']} {run['data_hash'][:SHORT]}" for run in found["runs"]))]
    rows += [(one["key"], *map(_cell, one["values"])) for one in found["settings"]]
    terminal.print(_rows("what differs in data and settings", ("key", *names), rows))
    for one in found["evaluations"]:
        terminal.print()
        terminal.print(_beside(one, names))
        for name, why in list(zip(names, one["not_compared"]))[1:]:
            if why:
                warn(f"{one['name']}: {name} is not compared with {names[0]}: {why}")
    terminal.print(
        "*: significant at 5 %, in pairs over the same examples (p); apart, overlap: of intervals, where there are no pairs.",
        style="dim",
    )
    return found


def _distinct(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Names, or paths where two have the same name."""
    names = [run["name"] for run in runs]
    return names if len(set(names)) == len(names) else [run["path"] for run in runs]


def _beside(one: dict[str, Any], names: Sequence[str]) -> Table:
    counts = {count for count in one["examples"] if count is not None}
    title = f"{one['name']}: {', '.join(f'{count:,}' for count in sorted(counts))} examples" if counts else one["name"]
    rows = []
    for figure in one["figures"]:
        cells = [interval(value) if value else "" for value in figure["values"]]
        said = [_verdict(found) for found in figure["differences"]]
        rows.append((figure["name"], *(f"{cell}\n{word}" if word else cell for cell, word in zip(cells, said))))
    return _rows(title, ("figure", *names), rows)


def _verdict(found: dict[str, Any] | None) -> str:
    """How a run differs from the first, in a few words."""
    if found is None:
        return ""
    if "value" not in found:
        return f"not compared: {found['why']}"
    if found["by"] is None:
        return f"{found['value']:+.4f}, no interval"
    if found["by"] == PAIRED:
        return f"{found['value']:+.4f}{' *' if found['significant'] else ''}, p {found['p']:.3f}"
    return f"{found['value']:+.4f}, {'apart' if found['significant'] else 'overlap'}"


# --- plot ---


def plot(paths: Sequence[str | Path], *, figures: Sequence[str] = (), output: str | Path = "runs.png") -> Path:
    """Curves of runs over each other, in one PNG: those of `figures`, or those of the validation. Returns where it lies.

    ConfigError for a figure that no run has; DataError where there is no curve at all.
    """
    from bmtool.engine import plots

    refusals.require_file(output, "--output")
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
        serve.listen(app, taken, f"{path} (Ctrl-C ends this)", lambda: None)
