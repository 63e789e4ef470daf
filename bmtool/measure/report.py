"""An evaluation as data, as Markdown and as a table on the terminal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict

from bmtool.measure.bootstrap import LEVEL, Difference, Figure, difference, figure


class Report(TypedDict):
    """What of the JSON of an evaluation is read again: figures with their intervals, as `Measured.as_dict` gives them."""

    metrics: dict[str, dict[str, float | None]]


@dataclass
class Measured:
    """What a task's `evaluate` returns. `resamples` are [1 + RESAMPLES] per metric; column 0 is the figure itself.

    `slices` are the same for parts of the data: dimension -> part -> metric -> resamples. `pictures` are drawn when the report is
    written: name -> what writes the PNG to a path.
    """

    examples: int
    resamples: dict[str, np.ndarray]
    slices: dict[str, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, Callable[[Path], object]] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Figure]:
        return {name: figure(values) for name, values in self.resamples.items()}

    def against(self, baseline: "Measured") -> dict[str, Difference]:
        return {
            name: difference(values, baseline.resamples[name])
            for name, values in self.resamples.items()
            if name in baseline.resamples
        }

    def without(self, names: Iterable[str]) -> "Measured":
        """Without some figures, in slices too."""
        left = {name: values for name, values in self.resamples.items() if name not in set(names)}
        slices = {
            dimension: {
                part: {n: v for n, v in metrics.items() if n not in set(names)} for part, metrics in parts.items()
            }
            for dimension, parts in self.slices.items()
        }
        return replace(self, resamples=left, slices=slices)

    def as_dict(self) -> dict:
        slices = {
            dimension: {
                part: {name: figure(v).as_dict() for name, v in metrics.items()} for part, metrics in parts.items()
            }
            for dimension, parts in self.slices.items()
        }
        figures = {name: f.as_dict() for name, f in self.figures.items()}
        return {"examples": self.examples, "level": LEVEL, "metrics": figures, "slices": slices, "notes": self.notes}


def show(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.4f}"


def rows(measured: Measured, compared: dict[str, Difference]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the main table."""
    headings = ["metric", "value", f"{LEVEL:.0%} interval"] + (["vs baseline", "interval", "p"] if compared else [])
    cells = []
    for name, f in measured.figures.items():
        row = [name, show(f.value), f"{show(f.low)} - {show(f.high)}"]
        if compared:
            d = compared.get(name)
            row += (
                [f"{d.value:+.4f}", f"{d.low:+.4f} - {d.high:+.4f}", f"{d.p:.3f}{' *' if d.significant else ''}"]
                if d
                else ["", "", ""]
            )
        cells.append(row)
    return headings, cells


def markdown(title: str, measured: Measured, baseline: Measured | None = None, pictures: dict[str, str] = {}) -> str:  # noqa: B006
    """The whole report: slices, beside those of a baseline, and `pictures` (name -> file)."""
    compared = measured.against(baseline) if baseline is not None else {}
    headings, cells = rows(measured, compared)
    parts = [f"# {title}", f"{measured.examples:,} examples; {LEVEL:.0%} bootstrap intervals.", _table(headings, cells)]
    if compared:
        parts.append("`*`: the difference is significant at 5 % (paired bootstrap over examples).")
    for dimension, slices in measured.slices.items():
        names = list(dict.fromkeys(name for metrics in slices.values() for name in metrics))
        theirs = baseline.slices.get(dimension, {}) if baseline is not None else {}
        body = [
            [part, *(_interval(metrics.get(name), theirs.get(part, {}).get(name)) for name in names)]
            for part, metrics in slices.items()
        ]
        parts += [f"## By {dimension}", _table([dimension, *names], body)]
    if measured.notes:
        parts += ["## Notes", "\n".join(f"- {name}: {value:g}" for name, value in measured.notes.items())]
    parts += [
        f"## {name.replace('_', ' ').capitalize()}\n\n![{name.replace('_', ' ')}]({file})"
        for name, file in pictures.items()
    ]
    return "\n\n".join(parts) + "\n"


def _interval(values: np.ndarray | None, baseline: np.ndarray | None) -> str:
    """A figure with its interval, and with its difference from a baseline where there is one."""
    if values is None:
        return ""
    f = figure(values)
    text = show(f.value) + (f" ({show(f.low)} - {show(f.high)})" if np.isfinite(f.low) else "")
    if baseline is None:
        return text
    d = difference(values, baseline)
    return f"{text}, {d.value:+.4f}{' *' if d.significant else ''}"


def _table(headings: list[str], cells: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
