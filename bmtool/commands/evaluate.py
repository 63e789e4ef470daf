"""`evaluate`: measure a run or an exported model, compare it with another, and hold it to bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from bmtool.base.console import Console, Terminal
from bmtool.base.files import write_json, write_text
from bmtool.commands import refusals, seen
from bmtool.commands.loading import Loaded, load_model, load_several
from bmtool.commands.measuring import Source, feed
from bmtool.commands.refusals import require_known, require_measurable
from bmtool.errors import DataError
from bmtool.measure import gate, report
from bmtool.measure.bootstrap import Difference
from bmtool.measure.report import Measured


def evaluate(  # noqa: PLR0913
    models: Sequence[str | Path],
    *,
    split: str = "test",
    data: str | None = None,
    unit: str | None = None,
    require: list[str] | None = None,
    baseline: str | Path | None = None,
    output: str | None = None,
    weight: Sequence[float] = (),
) -> Measured:
    """Measure a model on a split or a file, write JSON, Markdown, pictures and predictions, and print a table on stdout.

    Several models are one: what they say is averaged by the names of classes, or voted on; `weight` has one number for each.
    Raises GateMissed (after everything is written) when a bound of `require` does not hold, DataError when models cannot be compared.
    """  # fmt: skip
    console = Console()
    bounds = [gate.parse(bound) for bound in require or []]
    require_measurable(split, data, unit)
    require_known(models[0], bounds)
    if output is not None:
        refusals.require_folder(output, "--output")
    loaded = load_several(models, console.warn, weight)
    gate.check_names(bounds, list(loaded.entry.load("evaluation").names))
    others = [load_model(baseline, console.warn, task=loaded.task)] if baseline is not None else []
    name = (Path(data).stem if data else split) + (f"-mean-of-{len(models)}" if len(models) > 1 else "")
    folder = _folder(loaded, models[0], output)
    source = Source([loaded, *others], split, data, unit)
    found = _compared(source, folder / f"{name}.predictions.jsonl", str(baseline))
    _say_what_to_know(console, source, found)
    _write(folder, name, loaded.name, found)
    _print(f"{loaded.name} on {data or split}", found)
    drawn = "".join(f", {name}.{picture}.png" for picture in found.measured.pictures)
    console.say(f"report {folder / name}.md, {name}.json{drawn}; predictions {name}.predictions.jsonl")
    gate.check(bounds, found.measured.figures)
    return found.measured


@dataclass(frozen=True)
class _Found:
    """What was measured, and the baseline beside it; `unlike` are figures that cannot be compared, and why."""

    measured: Measured
    warnings: list[str]
    reference: Measured | None = None
    baseline: str = ""
    unlike: dict[str, str] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, Difference]:
        return self.measured.against(self.reference) if self.reference is not None else {}

    def as_dict(self) -> dict:
        if self.reference is None:
            return self.measured.as_dict()
        differences = {k: vars(d) | {"significant": d.significant} for k, d in self.differences.items()}
        compared = {"model": self.baseline, "differences": differences, "not_compared": self.unlike}
        return self.measured.as_dict() | {"baseline": compared}


def _compared(source: Source, predictions: Path, baseline: str) -> _Found:
    """Measure every model of a source at once, on the same examples."""
    first, *others = source.evaluations
    unlike = first.unlike(others[0]) if others else {}
    feed(source, predictions)
    measured = first.measured()
    reference = others[0].measured().without(unlike) if others else None
    return _Found(measured, [*first.warnings(measured)], reference, baseline, unlike)


def _say_what_to_know(console: Console, source: Source, found: _Found) -> None:
    for reason, count in source.tally.dropped.items():
        console.warn(f"{source.data}: left out {count:,} x {reason} (e.g. {source.tally.examples[reason][0]})")
    for name, why in found.unlike.items():
        console.warn(f"{name} is not compared: {why}")
    for warning in found.warnings:
        console.warn(warning)
    if source.data is None:
        first, *others = source.measuring
        for warning in seen.warnings(first, [*first.members, *others], source.split):
            console.warn(warning)


def _folder(loaded: Loaded, model: str | Path, output: str | None) -> Path:
    if output is not None:
        return Path(output)
    return loaded.run.evaluations if loaded.run is not None else Path(model).with_suffix(".eval")


def _write(folder: Path, name: str, model: str, found: _Found) -> None:
    measured, reference = found.measured, found.reference
    try:
        write_json(folder / f"{name}.json", {"model": model, "data": name} | found.as_dict())
        for picture, draw in measured.pictures.items():
            draw(folder / f"{name}.{picture}.png")
        files = {picture: f"{name}.{picture}.png" for picture in measured.pictures}
        write_text(folder / f"{name}.md", report.markdown(f"{model} on {name}", measured, reference, files))
    except OSError as error:
        raise DataError(f"cannot write the report to {folder}: {error.strerror}") from error


def _print(title: str, found: _Found) -> None:
    headings, cells = report.rows(found.measured, found.differences)
    table = Table(title=f"{title}: {found.measured.examples:,} examples", show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    for row in cells:
        table.add_row(*row)
    Terminal().print(table)
