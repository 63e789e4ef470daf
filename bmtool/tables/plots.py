"""Pictures of tables and of what columns matter (PNG)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bmtool.base.drawing import plt, save
from bmtool.base.units import shortened
from bmtool.tables.columns import Column

ROWS = 4  # that are explained in one picture
BARS = 20  # of one picture
LETTERS = 24  # of a name in a picture


class Panel(NamedTuple):
    """What each column of a row adds [columns]."""

    title: str
    columns: Sequence[str]
    added: np.ndarray


def contributions(panels: Sequence[Panel], label: str, path: Path) -> None:
    """A panel for each row."""
    height = 1 + 0.25 * min(BARS, len(panels[0].columns))
    canvas, areas = plt.subplots(len(panels), 1, figsize=(7, height * len(panels)), layout="constrained", squeeze=False)
    for panel, area in zip(panels, areas[:, 0]):
        _bars(area, panel.added, panel.columns)
        area.set_title(panel.title, fontsize=9)
    areas[-1, 0].set_xlabel(label + _left_out(panels[0].columns), fontsize=8)
    save(canvas, path)


def importance(values: np.ndarray, spread: np.ndarray, names: Sequence[str], *, label: str, path: Path) -> None:
    """How much each column matters [columns], with its deviation over shuffles."""
    canvas, area = plt.subplots(figsize=(7, 1 + 0.25 * min(BARS, len(names))), layout="constrained")
    _bars(area, values, names, spread)
    area.set_xlabel(label + _left_out(names), fontsize=8)
    save(canvas, path)


def _left_out(names: Sequence[str]) -> str:
    return f"; the {BARS} largest of {len(names)} columns" if len(names) > BARS else ""


def _bars(area: plt.Axes, values: np.ndarray, names: Sequence[str], spread: np.ndarray | None = None) -> None:
    """The largest on top."""
    order = np.argsort(-np.abs(values), kind="stable")[:BARS][::-1]
    colours = ["tab:blue" if value >= 0 else "tab:red" for value in values[order]]
    error = None if spread is None else spread[order]
    area.barh(range(len(order)), values[order], color=colours, xerr=error)
    area.set_yticks(range(len(order)), [shortened(names[place], LETTERS) for place in order])
    area.tick_params(labelsize=7)
    area.axvline(0, color="grey", linewidth=0.5)


def columns(values: np.ndarray, held: Sequence[Column], path: Path) -> None:
    """A histogram of each of the first columns of the training rows [rows, width]; of a list that of how long it is."""
    across = min(4, len(held))
    down = -(-len(held) // across)
    canvas, panels = plt.subplots(down, across, figsize=(3 * across, 2 * down), layout="constrained", squeeze=False)
    for area in panels.flat[len(held) :]:
        area.axis("off")
    places = np.cumsum([0, *(column.width for column in held)])
    for place, column, area in zip(places, held, panels.flat):
        area.set_title(shortened(column.name, LETTERS), fontsize=8)
        area.tick_params(labelsize=6)
        if column.kind == "list":
            _histogram(area, np.count_nonzero(values[:, place : place + column.length], axis=1).astype(np.float64))
        elif column.kind == "category":
            _counted(area, column)
        else:
            _histogram(area, values[np.isfinite(values[:, place]), place].astype(np.float64))
    save(canvas, path)


def _counted(area: plt.Axes, column: Column) -> None:
    """The commonest on top, by their places: two that begin alike are two bars."""
    names, places = column.categories[:8][::-1], range(len(column.categories[:8]))
    area.barh(places, column.counts[:8][::-1])
    area.set_yticks(places, [shortened(name, LETTERS) for name in names])


def _histogram(area: plt.Axes, values: np.ndarray) -> None:
    """In float64: float32 has no room for bins between large numbers that are close."""
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    room = max(0.5, abs(low) / 2) if low == high else 0.0
    area.hist(values, bins=20, range=(low - room, high + room) if len(values) else None)
