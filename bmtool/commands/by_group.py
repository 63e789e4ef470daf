"""What `evaluate --by` adds: figures of every group, and how far groups are apart in the figure that decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from bmtool.commands.measuring import Source
from bmtool.errors import ConfigError
from bmtool.measure import gate, groups
from bmtool.measure.groups import GAP, LEAST, Gap
from bmtool.measure.report import COUNT, Measured, part_cell


@dataclass(frozen=True)
class ByGroup:
    """`gaps` are of `figure`, one for each column; `dimensions` what their slices are called."""

    figure: str
    gaps: tuple[Gap, ...]
    dimensions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"figure": self.figure, "least": LEAST, "columns": {one.column: one.as_dict() for one in self.gaps}}

    def tables(self, measured: Measured, baseline: Measured | None) -> Iterator[Table]:
        """A table for each column: its groups with the figure, and how much better or worse than a baseline."""
        for dimension in self.dimensions:
            shown = Table(title=f"By {dimension}", show_edge=False)
            for heading in (dimension, COUNT, self.figure):
                shown.add_column(heading, justify="left" if heading == dimension else "right")
            theirs = baseline.slices.get(dimension, {}) if baseline is not None else {}
            for group, held in measured.slices[dimension].items():
                shown.add_row(
                    group,
                    *(part_cell(name, held, theirs.get(group, {})) for name in (COUNT, self.figure) if name in held),
                )
            yield shown


def require_groups(bounds: Sequence[gate.Bound], by: Sequence[str]) -> None:
    """ConfigError for a bound on the gap where there are no groups."""
    for bound in bounds:
        if bound.metric == GAP and not by:
            raise ConfigError(
                f"--require {bound}: a gap is between groups: name the column that tells them apart, --by COLUMN"
            )


def deciding(source: Source, measured: Measured) -> str:
    """The figure in which groups are compared: what the `train.best` of the first model's run names, else that of its evaluation."""
    run = source.measuring[0].run
    asked = (run.config().train.best if run is not None else None, getattr(source.evaluations[0], "of_groups", None))
    return next(name for name in (*asked, *measured.resamples) if name in measured.resamples)


def split(measured: Measured, source: Source, figure: str) -> tuple[Measured, ByGroup | None]:
    """The whole of what was measured with all columns, its groups as slices, and the largest gap between them among the figures."""
    found = source.groups.split(measured, source.counts)
    columns = [one.column for one in source.groups.found]
    if not columns:
        return found, None
    dimensions = tuple(source.groups.dimension(column, measured) for column in columns)
    parts = {column: found.slices[dimension] for column, dimension in zip(columns, dimensions)}
    gaps = tuple(groups.gap(column, held, figure) for column, held in parts.items())
    said = groups.remarks(source.groups.found, parts, gaps, figure)
    resamples = found.resamples | {GAP: groups.largest(gaps)}
    return replace(found, resamples=resamples, remarks=[*found.remarks, *said]), ByGroup(figure, gaps, dimensions)
