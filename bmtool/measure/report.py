"""An evaluation as data, as Markdown and as a table on the terminal."""

from dataclasses import dataclass, field

import numpy as np

from bmtool.measure.bootstrap import LEVEL, Difference, Figure, difference, figure


@dataclass
class Measured:
    """What a task's `evaluate` returns. `resamples` are [1 + RESAMPLES] per metric; column 0 is the figure itself.

    `slices` are the same for parts of the data: dimension -> part -> metric -> resamples.
    """

    examples: int
    resamples: dict[str, np.ndarray]
    slices: dict[str, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Figure]:
        return {name: figure(values) for name, values in self.resamples.items()}

    def against(self, baseline: "Measured") -> dict[str, Difference]:
        return {
            name: difference(values, baseline.resamples[name])
            for name, values in self.resamples.items()
            if name in baseline.resamples
        }

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


def markdown(title: str, measured: Measured, compared: dict[str, Difference]) -> str:
    """The whole report, slices included."""
    headings, cells = rows(measured, compared)
    parts = [f"# {title}", f"{measured.examples:,} examples; {LEVEL:.0%} bootstrap intervals.", _table(headings, cells)]
    if compared:
        parts.append("`*`: the difference is significant at 5 % (paired bootstrap over examples).")
    for dimension, slices in measured.slices.items():
        names = list(dict.fromkeys(name for metrics in slices.values() for name in metrics))
        body = [[part, *(_interval(metrics.get(name)) for name in names)] for part, metrics in slices.items()]
        parts += [f"## By {dimension}", _table([dimension, *names], body)]
    if measured.notes:
        parts += ["## Notes", "\n".join(f"- {name}: {value:g}" for name, value in measured.notes.items())]
    return "\n\n".join(parts) + "\n"


def _interval(values: np.ndarray | None) -> str:
    if values is None:
        return ""
    f = figure(values)
    return f"{show(f.value)} ({show(f.low)} - {show(f.high)})"


def _table(headings: list[str], cells: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
