"""An evaluation as data, as Markdown and as a table on the terminal."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from typing_extensions import NotRequired, TypedDict

from bmtool.base.markdown import escaped, line
from bmtool.measure.bootstrap import LEVEL, Difference, Figure, difference, figure, widened
from bmtool.measure.meter import SHARE, scale

OWN = "test"  # the split whose figures are a run's own, which an export carries
FEW = 100  # examples; of fewer a report says so
COUNT = "examples"  # of a part of the data, where it stands among the figures of a slice
NO_NUMBER = "no figures: the model says what is no number (NaN), so its weights or the data are damaged"


def too_few(examples: int) -> str:
    """What to say of so few examples; "" of enough."""
    if examples >= FEW:
        return ""
    return f"only {examples:,} examples, which is few: intervals are wide, and may hold the truth less often than {LEVEL:.0%}"


def figure_of(name: str, values: np.ndarray) -> Figure:
    """A figure and its interval, in the range that a figure of this name has."""
    return figure(values, *scale(name)[:2])


def part_figures(metrics: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """Those of a part of the data, of which COUNT says how many examples it has where that is known."""
    found = {name: figure_of(name, values) for name, values in metrics.items()}
    if COUNT not in metrics:
        return found
    examples = int(metrics[COUNT][0])
    return {name: widened(one, examples) if scale(name) == SHARE else one for name, one in found.items()}


def difference_of(name: str, model: np.ndarray, baseline: np.ndarray) -> Difference:
    return difference(model, baseline, *scale(name)[:2])


class Model(TypedDict):
    """What a report is of: `weights` is the sha256 of a run's, "" of an export."""

    model: str
    checkpoint: str
    weights: str


class Gap(TypedDict):
    """A difference of two models, as `Difference` has it."""

    value: float
    low: float
    high: float
    significant: bool


class Compared(TypedDict):
    """The baseline of a report, and how far the model is from it in each figure."""

    model: str
    differences: dict[str, Gap]


class By(TypedDict):
    """Of a report with groups: what their gap is of."""

    figure: str
    columns: dict[str, dict[str, float | str | list[str] | None]]


class Report(TypedDict):
    """What of the JSON of an evaluation is read again: figures with their intervals, as `Measured.as_dict` gives them."""

    metrics: dict[str, dict[str, float | None]]
    examples: int
    data_hash: NotRequired[str]
    split: NotRequired[str | None]
    models: NotRequired[list[Model]]
    # of the splits that the run has learned from and is measured on: name -> examples
    splits: NotRequired[dict[str, int]]
    baseline: NotRequired[Compared]
    by: NotRequired[By]
    source: NotRequired[str]
    unit: NotRequired[str | None]
    # examples that could not be measured
    left_out: NotRequired[int]
    # sha256 of the file of resamples beside it
    resamples: NotRequired[str]
    slices: NotRequired[dict[str, dict[str, dict[str, dict[str, float | None]]]]]
    notes: NotRequired[dict[str, float]]
    remarks: NotRequired[list[str]]


def unfit(report: Report, data_hash: str | None, weights: str) -> str:
    """Why a report is not of these data and weights; "" when it is."""
    if "models" not in report:
        return "does not say which weights it is of, as those of earlier versions"
    if report["split"] != OWN or report["data_hash"] != data_hash:
        return "is of other data than the run's"
    if [one["weights"] for one in report["models"]] != [weights]:
        return "is of another checkpoint"
    return ""


@dataclass
class Measured:
    """What a task's `evaluate` returns. `resamples` are [1 + RESAMPLES] per metric; column 0 is the figure itself.

    `slices` are the same for parts of the data: dimension -> part -> metric -> resamples. `remarks` say how figures came about, such as
    what they leave out. `pictures` are drawn when the report is written: name -> what writes the PNG to a path.
    """

    examples: int
    resamples: dict[str, np.ndarray]
    slices: dict[str, dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def broken(cls, examples: int, names: Iterable[str], columns: int) -> "Measured":
        """Of a model that says what is no number."""
        return cls(examples, {name: np.full(columns, np.nan) for name in names}, remarks=[NO_NUMBER])

    @property
    def figures(self) -> dict[str, Figure]:
        found = part_figures(self.resamples | {COUNT: np.array([self.examples])})
        return {name: found[name] for name in self.resamples}

    @property
    def said(self) -> list[str]:
        """What a reader has to know beside the figures."""
        return [remark for remark in (too_few(self.examples), *self.remarks) if remark]

    def against(self, baseline: "Measured") -> dict[str, Difference]:
        return {
            name: difference_of(name, values, baseline.resamples[name])
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
                part: {name: one.as_dict() for name, one in part_figures(metrics).items()}
                for part, metrics in parts.items()
            }
            for dimension, parts in self.slices.items()
        }
        figures = {name: f.as_dict() for name, f in self.figures.items()}
        return {
            "examples": self.examples, "level": LEVEL, "metrics": figures, "slices": slices, "notes": self.notes,
            "remarks": self.said,
        }  # fmt: skip


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


def markdown(
    title: str, measured: Measured, about: Sequence[str] = (), *, baseline: Measured | None = None,
    pictures: Mapping[str, str] = MappingProxyType({}),
) -> str:  # fmt: skip
    """The whole report: what it is `about`, slices, beside those of a baseline, and `pictures` (name -> file)."""
    compared = measured.against(baseline) if baseline is not None else {}
    headings, cells = rows(measured, compared)
    head = f"{measured.examples:,} examples; {LEVEL:.0%} bootstrap intervals."
    parts = [f"# {escaped(title)}", "\n".join((*about, head)), table(headings, cells)]
    parts += ["\n".join(f"- {remark}" for remark in measured.said)] if measured.said else []
    if compared:
        parts.append("`*`: the difference is significant at 5 % (paired bootstrap over examples).")
    for dimension, slices in measured.slices.items():
        names = list(dict.fromkeys(name for metrics in slices.values() for name in metrics))
        theirs = baseline.slices.get(dimension, {}) if baseline is not None else {}
        body = [
            [part, *(part_cell(name, metrics, theirs.get(part, {})) for name in names)]
            for part, metrics in slices.items()
        ]
        parts += [f"## By {dimension}", table([dimension, *names], body)]
    if measured.notes:
        parts += ["## Notes", "\n".join(f"- {name}: {value:g}" for name, value in measured.notes.items())]
    parts += [
        f"## {name.replace('_', ' ').capitalize()}\n\n![{name.replace('_', ' ')}]({file})"
        for name, file in pictures.items()
    ]
    return "\n\n".join(parts) + "\n"


def part_cell(name: str, metrics: Mapping[str, np.ndarray], baseline: Mapping[str, np.ndarray]) -> str:
    """A figure of a part of the data with its interval, and with its difference from a baseline where there is one."""
    if name not in metrics:
        return ""
    if name == COUNT:
        return f"{int(metrics[COUNT][0]):,}"
    f = part_figures(metrics)[name]
    text = show(f.value) + (f" ({show(f.low)} - {show(f.high)})" if np.isfinite(f.low) else "")
    if name not in baseline:
        return text
    d = difference_of(name, metrics[name], baseline[name])
    return f"{text}, {d.value:+.4f}{' *' if d.significant else ''}"


def table(headings: list[str], cells: list[list[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(map(line, [headings, ["---"] * len(headings), *cells]))
