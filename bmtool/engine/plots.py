"""Curves of metrics.jsonl as pictures (PNG): those of a run one by one, or those of several runs over each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bmtool.base.drawing import plt, save
from bmtool.engine.series import Points, Series

MARKED = 30  # points of a curve up to which each is marked
COLOURS = 10  # of matplotlib, after which they come again
ACROSS = 3  # panels beside each other
STYLES: dict[str, Literal["-", ":"]] = {"valid": "-", "train": ":"}


class Drawn(NamedTuple):
    """A run: its name, its curves, and the step of its best checkpoint where that is of one."""

    name: str
    curves: Series
    best: int | None


def curves(run: Drawn, directory: Path) -> list[Path]:
    """One PNG a figure: training and validation values over the steps, and where the best is. Returns the files written."""
    return [_curve(figure, run, directory / f"{figure}.png") for figure in run.curves]


def _curve(figure: str, run: Drawn, path: Path) -> Path:
    canvas, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    parts = run.curves[figure]
    for part, points in parts.items():
        _line(axes, points, label=part)
    if run.best is not None and "valid" in parts:
        axes.axvline(run.best, color="grey", linewidth=0.8, linestyle="--", label=f"best: step {run.best:,}")
    axes.set(xlabel="step", ylabel=figure.replace("_", " "))
    axes.set_title(run.name, fontsize=10, parse_math=False)
    axes.grid(alpha=0.3)
    if len(axes.get_lines()) > 1:
        axes.legend()
    return save(canvas, path, dpi=120)


def overlaid(runs: Sequence[Drawn], figures: Sequence[str], path: Path) -> Path:
    """A panel for each figure with the curves of all runs that have it: validation drawn out, training dotted, a star at the best step."""
    across = min(ACROSS, len(figures))
    down = -(-len(figures) // across)
    width = 8.0 if across == 1 else 5.5 * across
    canvas, panels = plt.subplots(down, across, figsize=(width, 3.6 * down + 0.8), layout="constrained", squeeze=False)
    for axes in panels.flat[len(figures) :]:
        axes.axis("off")
    for figure, axes in zip(figures, panels.flat):
        _panel(axes, figure, runs)
    handles = [plt.Line2D([], [], color=_colour(number), label=run.name) for number, run in enumerate(runs)]
    handles += [plt.Line2D([], [], color="grey", linestyle=style, label=part) for part, style in STYLES.items()]
    handles.append(plt.Line2D([], [], color="grey", linestyle="", marker="*", markersize=10, label="best step"))
    legend = canvas.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return save(canvas, path, dpi=120)


def _panel(axes: plt.Axes, figure: str, runs: Sequence[Drawn]) -> None:
    for number, run in enumerate(runs):
        for part, points in run.curves.get(figure, {}).items():
            _line(axes, points, color=_colour(number), linestyle=STYLES.get(part, "-"))
            _star(axes, run.best if part == "valid" else None, points, _colour(number))
    axes.set_title(figure.replace("_", " "), fontsize=10)
    axes.set_xlabel("step", fontsize=9)
    axes.grid(alpha=0.3)


def _line(axes: plt.Axes, points: Points, **look: Any) -> None:
    axes.plot(*zip(*points), marker="o" if len(points) < MARKED else None, markersize=3, **look)


def _star(axes: plt.Axes, best: int | None, points: Points, colour: str) -> None:
    values = dict(points)
    if best in values:
        axes.plot([best], [values[best]], marker="*", markersize=12, color=colour, markeredgecolor="white")


def _colour(number: int) -> str:
    return f"C{number % COLOURS}"
