"""A study as a picture (PNG): what came trial by trial, how much each key matters, and each key against the figure."""

import io
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

from bmtool.base.files import write_bytes
from bmtool.tuning.space import Choice, Span
from bmtool.tuning.study import Study

COLUMNS = 3
COLOURS = {"complete": "tab:blue", "pruned": "0.65", "best": "tab:red"}
# Figures this many times the middle half away from it are drawn at the edge, or one bad trial would hide the others.
FURTHEST = 3.0
# Beyond the ends of a range, on a log scale.
EDGE = 1.15


def draw(study: Study, title: str, path: Path) -> None:
    """Of a study in which at least one trial is complete."""
    points = _Points(study)
    panels: list[Callable[[Any], None]] = [partial(_history, points)]
    if importances := study.importances():
        panels.append(partial(_bars, importances))
    panels += [partial(_against, points, key, held) for key, held in study.space.items()]
    columns = min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    canvas, grid = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), layout="constrained", squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        axes.grid(alpha=0.3)
        axes.set_ylabel(study.figure.replace("_", " "))
        panel(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    canvas.suptitle(title, fontsize=10)
    _save(canvas, path)


def _save(canvas: Any, path: Path) -> None:
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=110)
    plt.close(canvas)
    write_bytes(path, drawn.getvalue())


class _Points:
    """The trials that have a figure, and where they stand."""

    def __init__(self, study: Study):
        self.best, self.minimises = study.best(), study.minimises
        self.rows = [row for row in study.rows() if row.value is not None and math.isfinite(row.value)]
        self.values = np.array([row.value for row in self.rows], float)
        complete = self.values[[row.state == "complete" for row in self.rows]]
        low, middle, high = np.quantile(complete, (0.25, 0.5, 0.75))
        reach = FURTHEST * (high - low) or math.inf
        near = self.values[(self.values >= low - reach) & (self.values <= high + reach)]
        # No edge hides the best.
        ends = [*near, middle, *([self.best.value] if self.best is not None else [])]
        margin = 0.05 * (max(ends) - min(ends)) or 0.05 * abs(middle) or 0.05
        self.limits = (min(ends) - margin, max(ends) + margin)

    @property
    def any_beyond(self) -> bool:
        low, high = self.limits
        return bool(((self.values < low) | (self.values > high)).any())

    def scatter(self, axes: Any, places: Sequence[float]) -> None:
        """Each trial at its place and its figure; what is beyond the edge at the edge, as a triangle."""
        for row, value, place in zip(self.rows, self.values, places):
            is_best = self.best is not None and row.number == self.best.number
            low, high = self.limits
            marker = "^" if value > high else "v" if value < low else "o"
            axes.plot(
                place, min(max(value, low), high), marker, markersize=7 if is_best else 5, clip_on=False,
                color=COLOURS["best" if is_best else row.state], zorder=3 if is_best else 2,
            )  # fmt: skip
        axes.set_ylim(self.limits)


def _history(points: _Points, axes: Any) -> None:
    """Trials in their order, and the best so far."""
    complete = [row for row in points.rows if row.state == "complete"]
    numbers = [row.number for row in complete]
    best = (np.minimum if points.minimises else np.maximum).accumulate([float(row.value or 0) for row in complete])
    axes.step(numbers, best, where="post", color=COLOURS["best"], linewidth=1)
    points.scatter(axes, [row.number for row in points.rows])
    for name, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=name)
    if points.any_beyond:
        axes.plot([], [], "^", color=COLOURS["pruned"], label="beyond the edge")
    axes.legend(fontsize=7)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial")


def _bars(importances: dict[str, float], axes: Any) -> None:
    ordered = sorted(importances.items(), key=lambda item: item[1])
    axes.barh([key for key, _ in ordered], [share for _, share in ordered], color=COLOURS["complete"])
    axes.set(xlim=(0, 1), xlabel="share of the differences that a key explains", ylabel="")


def _against(points: _Points, key: str, held: Span | Choice, axes: Any) -> None:
    """The figure over a key's values."""
    raw = [row.raw[key] for row in points.rows]
    if isinstance(held, Choice):
        names = list(held.values)
        axes.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 6 else 0)
        axes.set_xlim(-0.5, len(names) - 0.5)
        points.scatter(axes, [names.index(str(value)) for value in raw])
    else:
        axes.set_xscale("log" if held.log else "linear")
        if held.log:
            # All of the range, which holds a power of ten; between powers are lines without numbers, which would lie over each other.
            axes.set_xlim(held.low / EDGE, held.high * EDGE)
            axes.xaxis.set_minor_formatter(NullFormatter())
        points.scatter(axes, [float(value) for value in raw])
    axes.set_xlabel(key)
