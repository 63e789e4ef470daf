"""Several runs beside each other: what differs in their settings and data, and which differences of their figures mean something.

The first run is what the others are compared with. Where two were measured on the same examples, the resamples that their reports kept are
compared in pairs, as `evaluate --baseline` does; else it is said whether intervals overlap. What cannot be compared says why.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.config.settings import settings
from bmtool.engine.record import Record
from bmtool.errors import ConfigError, DataError
from bmtool.measure import resamples
from bmtool.measure.groups import GAP
from bmtool.measure.meter import SETTINGS
from bmtool.measure.report import difference_of
from bmtool.runs.contents import Warn, evaluations, plain
from bmtool.runs.summary import DAMAGED, VALIDATION, Summary, best, summed_up

_Pair = tuple[np.ndarray, np.ndarray]
PAIRED, OVERLAP = "paired", "intervals"
PLACES = frozenset({"run", "data.prepared"})  # settings that say where something lies


class _Run(NamedTuple):
    record: Record
    summary: Summary
    settings: dict[str, Any]
    vocabulary: str
    reports: dict[str, dict[str, Any]]


def compared(paths: Sequence[str | Path], warn: Warn) -> dict[str, Any]:
    """As JSON. ConfigError for fewer than two runs; DataError for runs of different tasks, and for one that is damaged."""
    if len(paths) < 2:
        raise ConfigError("compare takes two runs or more: `bmtool runs list` shows which there are")
    runs = [_opened(path, warn) for path in paths]
    first = runs[0].summary
    for other in (run.summary for run in runs[1:]):
        if other.task != first.task:
            raise DataError(
                f"{first.path} is of {first.task}, {other.path} of {other.task}: figures of different tasks cannot be compared"
            )
    return plain(
        {
            "runs": [run.summary.as_dict() for run in runs],
            "settings": _differing(runs),
            "evaluations": [_beside(name, runs) for name in _names(runs)],
        }
    )


def _opened(path: str | Path, warn: Warn) -> _Run:
    record, summary = Record.open(path), summed_up(path)
    if summary.state == DAMAGED:
        raise DataError(summary.why)
    chosen = best(record, warn)
    reports = {one["name"]: one for one in evaluations(record, chosen, warn)}
    if chosen and chosen.metrics:
        figures = {name: {"value": value, "low": None, "high": None} for name, value in chosen.metrics.items()}
        reports[VALIDATION] = {"metrics": figures, "data_hash": summary.data_hash, "is_current": True}
    held = {one.key: one.value for one in settings(record.config())}
    return _Run(record, summary, held, record.info()["vocabulary"], reports)


def _names(runs: Sequence[_Run]) -> list[str]:
    """Of reports, in the order of the runs; figures of the validation, which decided what is best, come last."""
    found = dict.fromkeys(chain.from_iterable(run.reports for run in runs))
    return sorted(found, key=lambda name: name == VALIDATION)


def _differing(runs: Sequence[_Run]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(chain.from_iterable(run.settings for run in runs))
    rows = ((key, [run.settings.get(key) for run in runs]) for key in keys if key not in PLACES)
    return [{"key": key, "values": values} for key, values in rows if any(value != values[0] for value in values)]


def _beside(name: str, runs: Sequence[_Run]) -> dict[str, Any]:
    """A report of this name of every run, and how each differs from that of the first."""
    reports = [run.reports.get(name, {}) for run in runs]
    figures = dict.fromkeys(chain.from_iterable(report.get("metrics", ()) for report in reports))
    why = [_unlike(name, runs[0], run) for run in runs]
    pairs = [{} if reason else _pairs(name, runs[0], run) for reason, run in zip(why, runs)]
    rows = []
    for figure in figures:
        found = [
            None if reason else _difference(name, figure, (runs[0], run), held)
            for reason, run, held in zip(why, runs, pairs)
        ]
        values = [report.get("metrics", {}).get(figure) for report in reports]
        rows.append({"name": figure, "values": values, "differences": found})
    return {
        "name": name, "examples": [report.get("examples") for report in reports],
        "is_current": [report.get("is_current") for report in reports], "not_compared": why, "figures": rows,
    }  # fmt: skip


def _unlike(name: str, first: _Run, run: _Run) -> str:
    """Why a report of a run cannot be compared with that of the first at all; "" where it can."""
    if run is first:
        return "it is what the others are compared with"
    for one in (first, run):
        if name not in one.reports:
            return f"{one.summary.name} has no such report: `bmtool evaluate {one.summary.path}` measures it"
    mine, theirs = first.reports[name], run.reports[name]
    if "data_hash" not in mine or (mine["data_hash"], mine.get("unit")) != (
        theirs.get("data_hash"),
        theirs.get("unit"),
    ):
        return "other data"
    if first.vocabulary != run.vocabulary:
        names = f"{run.summary.path} --baseline {first.summary.path}"
        return f"other classes or another vocabulary: `bmtool evaluate {names}` compares what has the same name"
    return ""


def _difference(name: str, figure: str, runs: tuple[_Run, _Run], pairs: dict[str, _Pair]) -> dict[str, Any] | None:
    """Of a figure of two runs: how it was decided, whether it is significant (None: that is open), and by how much.

    None where one of them does not have it.
    """
    reports = [run.reports[name] for run in runs]
    mine, theirs = (report["metrics"].get(figure) for report in reports)
    if mine is None or theirs is None or mine["value"] is None or theirs["value"] is None:
        return None
    first, run = runs
    if key := next((key for key in SETTINGS.get(figure, ()) if first.settings.get(key) != run.settings.get(key)), None):
        return {"by": None, "why": f"it depends on {key}, which differs"}
    if figure == GAP and _grouped(reports[0]) != _grouped(reports[1]):
        return {"by": None, "why": "it is of another figure, or between other groups"}
    if figure in pairs:
        found = difference_of(figure, *pairs[figure])
        return {"by": PAIRED, "significant": found.significant} | vars(found)
    delta = {"value": theirs["value"] - mine["value"]}
    if mine["low"] is None or theirs["low"] is None:
        return delta | {"by": None, "why": "it has no interval"}
    apart = mine["high"] < theirs["low"] or theirs["high"] < mine["low"]
    return delta | {"by": OVERLAP, "significant": True if apart else None}


def _grouped(report: dict[str, Any]) -> tuple[str, list[str]]:
    """What the gap of a report is of."""
    return report["by"]["figure"], sorted(report["by"]["columns"])


def _pairs(name: str, first: _Run, run: _Run) -> dict[str, _Pair]:
    """Figure -> resamples of the run and of the first, where both are of the same examples in the same order; else nothing."""
    reports = [one.reports[name] for one in (run, first)]
    has_all = all("resamples" in report and report.get("left_out") == 0 for report in reports)
    if not has_all or reports[0]["examples"] != reports[1]["examples"]:
        return {}
    theirs, mine = (
        resamples.load(
            one.record.evaluations / f"{name}.resamples.safetensors", report["resamples"],
            f"`bmtool evaluate {one.summary.path}` measures it again",
        )
        for one, report in zip((run, first), reports)
    )  # fmt: skip
    return {figure: (theirs[figure], mine[figure]) for figure in theirs if figure in mine}
