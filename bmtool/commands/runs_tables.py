"""What is known of runs as tables on a terminal."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bmtool.base.console import Terminal
from bmtool.base.units import age, duration, short
from bmtool.measure.report import show as number
from bmtool.runs.comparison import PAIRED
from bmtool.runs.summary import Summary

SHORT = 8  # digits of a hash
WIDEST = 2000  # characters of a table
OF_WEIGHTS = {
    True: "",
    False: ", of other weights than those that are used now",
    None: ", of weights that it does not name",
}
MARKS = "*: significant at 5 %, in pairs over the same examples (p); apart, overlap: of intervals, where there are no pairs."


def write(table: Table) -> None:
    """As wide as a terminal is; in files and pipes as wide as it is itself, so that no path is broken."""
    terminal = Terminal()
    if not terminal.is_terminal:
        room = terminal.options.update(max_width=WIDEST)
        terminal.width = max(terminal.width, Measurement.get(terminal, room, table).maximum)
    terminal.print(table)


def _rows(
    title: str | None, headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> Table:
    """Cells are text as it comes; columns named in `right` are of numbers."""
    table = Table(title=title and escape(title), show_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(escape(heading), justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def interval(figure: dict[str, float | None]) -> str:
    """`0.9123 (0.8901 - 0.9321)`; without an interval the value alone."""
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    shown = _number(value) or "-"
    return shown if low is None or high is None else f"{shown} ({number(low)} - {number(high)})"


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- list ---


def listed(held: Sequence[Summary], sort: str | None) -> Table:
    """Two lines a run: it fits a terminal, and what belongs together stands together."""
    headings, now = ("run, task", "figure", "data", "steps", "age", "state, parent"), datetime.now(timezone.utc)
    return _rows(None, headings, (_line(one, sort or one.key, now) for one in held), right=("steps", "age"))


def _line(one: Summary, figure: str, now: datetime) -> Sequence[str]:
    shown = f"{figure}, {one.of}\n{interval(one.figures[figure])}" if figure in one.figures else ""
    steps = f"{one.step:,}" + (f"/{one.steps:,}" if one.steps is not None else "")
    since = age((now - one.started).total_seconds()) if one.started else ""
    parent = f"from {one.parent}" if one.parent else ""
    return (
        f"{one.path}\n{one.task}", shown, f"{one.data}\n{one.data_hash[:SHORT]}", steps, since, f"{one.state}\n{parent}",
    )  # fmt: skip


# --- show ---


def whole(found: dict[str, Any]) -> None:
    """Everything of one run."""
    terminal, why = Terminal(), f" ({found['why']})" if found["why"] else ""
    terminal.print(escape(f"{found['path']}: {found['task']}, {found['state']}{why}"), style="bold", soft_wrap=True)
    for name, value in _facts(found):
        if value:
            terminal.print(escape(f"  {name:<12} {value}"), soft_wrap=True)
    for table in _tables(found):
        terminal.print()
        write(table)


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    data, time = found["data"], found["time"]
    yield "data", f"{data['prepared'] or data['name']} (hash {data['data_hash'][:12]})"
    yield "from", found["parent"]
    yield "steps", f"{found['step']:,}" + (f" of {found['steps']:,}" if found["steps"] else "")
    yield from ((name, _written(value)) for name, value in found["facts"].items())
    for change in found["changes"]:
        yield "changed", f"{', '.join(change['changed'])} (from step {change['step']:,} on)"
    yield "time", _spent(time) if time["whole_s"] else None
    yield "exports", ", ".join(f"{one['name']} ({short(one['bytes'])}B)" for one in found["exports"])


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
        [(one["key"], _cell(one["value"]), "" if one["is_required"] else _cell(one["default"])) for one in changed],
    )  # fmt: skip
    for one in found["evaluations"]:
        title = f"evaluation {one['name']}: {one['examples']:,} examples{OF_WEIGHTS[one['is_current']]}"
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


# --- compare ---


def differing(found: dict[str, Any], names: Sequence[str]) -> Table:
    rows = [("data", *(f"{run['data']} {run['data_hash'][:SHORT]}" for run in found["runs"]))]
    rows += [(one["key"], *map(_cell, one["values"])) for one in found["settings"]]
    return _rows("what differs in data and settings", ("key", *names), rows)


def distinct(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Names, or paths where two have the same name."""
    names = [run["name"] for run in runs]
    return names if len(set(names)) == len(names) else [run["path"] for run in runs]


def beside(one: dict[str, Any], names: Sequence[str]) -> Table:
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
