"""`runs`: the runs there are, one of them in full, several side by side."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from rich.table import Table

from bmtool import registry
from bmtool.base.console import Terminal, answer, warn
from bmtool.base.suggest import suggest
from bmtool.base.units import age
from bmtool.errors import ConfigError, DataError
from bmtool.measure.meter import is_lower_better
from bmtool.measure.report import show as number
from bmtool.runs import finding
from bmtool.runs.summary import Summary, summed_up

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
            answer(json.dumps(one.as_dict(), ensure_ascii=False))
    else:
        Terminal().print(_table(held, sort))
        for one in (one for one in held if one.why):
            warn(f"{one.path}: {one.state}: {one.why}")
    return held


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
