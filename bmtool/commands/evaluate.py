"""`evaluate`: measure a run or an exported model, compare it with another, and hold it to bounds."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.table import Table

from bmtool.base.console import Console, Terminal, answer
from bmtool.base.files import filling, write_json, write_text
from bmtool.commands import by_group, following, label_errors, refusals, reports
from bmtool.commands.by_group import ByGroup
from bmtool.commands.label_errors import LabelErrors
from bmtool.commands.loading import Loaded, load_model, load_several
from bmtool.commands.measuring import Source, feed
from bmtool.commands.refusals import require_known, require_measurable
from bmtool.data.tally import passed_over
from bmtool.errors import DataError, ResourceError
from bmtool.measure import gate, groups, report, resamples
from bmtool.measure.bootstrap import Difference, Figure
from bmtool.measure.report import Measured

PREDICTIONS = "predictions.jsonl"


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
    by: Sequence[str] = (),
    find_label_errors: bool = False,
    show: "Callable[[Evaluated], None] | None" = None,
) -> "Evaluated":
    """Measure a model on a split or a file, write JSON, Markdown, pictures and predictions, and `show` what was measured.

    Several models are one: what they say is averaged by the names of classes, or voted on; `weight` has one number for each.
    `by` are columns of the examples: each group is measured by itself, and `gap` is how far groups are apart in the figure that decides.
    With `find_label_errors`, examples whose label is likely wrong are listed beside the report.
    Raises GateMissed (after everything is written) when a bound of `require` does not hold, DataError when models cannot be compared.
    """  # fmt: skip
    console = Console()
    bounds = [gate.parse(bound) for bound in require or []]
    require_measurable(split, data, unit)
    by_group.require_groups(bounds, by)
    require_known(models[0], bounds, by)
    if output is not None:
        refusals.require_folder(output, "--output")
    loaded = load_several(models, console.warn, weight)
    others = [load_model(baseline, console.warn, task=loaded.task)] if baseline is not None else []
    folder = _folder(loaded, models[0], output)
    source = Source([loaded, *others], split, data, unit, by=by)
    gate.check_names(bounds, groups.names(source.evaluations[0].names, by))
    if find_label_errors:
        label_errors.require_classes(source)
    with _filling(folder) as working:
        found = _compared(f"{loaded.name} on {data or split}", source, working / PREDICTIONS, str(baseline))
        subject = reports.subject(loaded, source, weight)
        if find_label_errors:
            found = replace(found, label_errors=label_errors.find(source, working / PREDICTIONS, subject.name))
        _write(working, subject, found)
    _say_what_to_know(console, source, found)
    if show is not None:
        show(found)
    console.say(_written(folder, subject.name, found) + (_card(loaded, console) if output is None else ""))
    gate.check(bounds, found.measured.figures)
    if len(models) == 1:
        exports = following.command("export-onnx", models[0])
        console.say(f"next: {exports if loaded.run is not None else following.using(models[0])}")
    return found


@dataclass(frozen=True, repr=False)
class Evaluated:
    """What was measured of a model, and the baseline beside it; `unlike` are figures that cannot be compared, and why."""

    title: str
    measured: Measured
    warnings: list[str]
    reference: Measured | None = None
    baseline: str = ""
    unlike: dict[str, str] = field(default_factory=dict)
    groups: ByGroup | None = None
    label_errors: LabelErrors | None = None

    def __repr__(self) -> str:
        figures = [
            f"{name} {report.show(one.value)} ({report.show(one.low)} - {report.show(one.high)})"
            for name, one in self.figures.items()
        ]
        return f"Evaluated({self.title}, {self.examples:,} examples: {', '.join(figures)})"

    @property
    def examples(self) -> int:
        return self.measured.examples

    @property
    def figures(self) -> dict[str, Figure]:
        """Each with its confidence interval."""
        return self.measured.figures

    @property
    def differences(self) -> dict[str, Difference]:
        return self.measured.against(self.reference) if self.reference is not None else {}

    def as_dict(self) -> dict:
        found = self.measured.as_dict()
        found |= {"by": self.groups.as_dict()} if self.groups is not None else {}
        found |= {"label_errors": self.label_errors.as_dict()} if self.label_errors is not None else {}
        if self.reference is None:
            return found
        differences = {k: vars(d) | {"significant": d.significant} for k, d in self.differences.items()}
        compared = {"model": self.baseline, "differences": differences, "not_compared": self.unlike}
        return found | {"baseline": compared}


def _compared(title: str, source: Source, predictions: Path, baseline: str) -> Evaluated:
    """Measure every model of a source at once, on the same examples."""
    first, *others = source.evaluations
    unlike = first.unlike(others[0]) if others else {}
    feed(source, predictions)
    whole = first.measured()
    figure = by_group.deciding(source, whole)
    measured, apart = by_group.split(whole, source, figure)
    if apart is not None and figure in unlike:
        unlike[groups.GAP] = f"it is of {figure}"
    warnings = [*first.warnings(measured), *source.warnings()]
    measured = replace(measured, remarks=[*measured.remarks, *warnings])
    reference = by_group.split(others[0].measured(), source, figure)[0].without(unlike) if others else None
    return Evaluated(title, measured, warnings, reference, baseline, unlike, apart)


def _say_what_to_know(console: Console, source: Source, found: Evaluated) -> None:
    for reason, count in source.tally.dropped.items():
        console.warn(f"{source.data}: left out {count:,} x {reason} (e.g. {source.tally.examples[reason][0]})")
    if told := passed_over(source.tally.ignored, source.tally.examples):
        console.say(f"{source.data}: {told}")
    for name, why in found.unlike.items():
        console.warn(f"{name} is not compared: {why}")
    if found.label_errors is not None:
        for warning in found.label_errors.warnings:
            console.warn(warning)
    for remark in found.measured.said:
        if remark in found.warnings:
            console.warn(remark)
        else:
            console.say(f"note: {remark}")


def _written(folder: Path, name: str, found: Evaluated) -> str:
    """Which files hold what."""
    drawn = "".join(f", {name}.{picture}.png" for picture in found.measured.pictures)
    listed = f"; label errors {found.label_errors.file}" if found.label_errors is not None else ""
    return f"report {folder / name}.md, {name}.json{drawn}; predictions {name}.{PREDICTIONS}{listed}"


def _folder(loaded: Loaded, model: str | Path, output: str | None) -> Path:
    if output is not None:
        return Path(output)
    return loaded.run.evaluations if loaded.run is not None else Path(model).with_suffix(".eval")


@contextmanager
def _filling(folder: Path) -> Iterator[Path]:
    """As `files.filling`, the JSON last, which points to the others. ResourceError when they cannot be written, DataError for what is
    measured on and cannot be read."""
    try:
        with filling(folder, "evaluation", last=lambda path: path.suffix == ".json") as working:
            yield working
    except OSError as error:
        if error.filename is not None and not Path(error.filename).is_relative_to(folder):
            raise DataError(f"cannot read {error.filename}: {error.strerror}") from error
        raise ResourceError(
            f"cannot write the report to {folder}: {error.strerror or error}; --output names another place"
        ) from error


def _write(folder: Path, subject: reports.Subject, found: Evaluated) -> None:
    """The report and its pictures; the predictions that lie there get their name."""
    name, measured = subject.name, found.measured
    (folder / PREDICTIONS).rename(folder / f"{name}.{PREDICTIONS}")
    if found.label_errors is not None:
        found.label_errors.write(folder)
    for picture, draw in measured.pictures.items():
        draw(folder / f"{name}.{picture}.png")
    files = {picture: f"{name}.{picture}.png" for picture in measured.pictures}
    about = subject.lines() + ([f"Compared with {found.baseline}."] if found.reference is not None else [])
    title = f"{subject.facts['model']} on {name}"
    write_text(folder / f"{name}.md", report.markdown(title, measured, about, baseline=found.reference, pictures=files))
    kept = {"resamples": resamples.save(folder / f"{name}.resamples.safetensors", measured.resamples)}
    write_json(folder / f"{name}.json", subject.facts | kept | found.as_dict())


def _card(loaded: Loaded, console: Console) -> str:
    """Write the model card of a run, beside which its report lies by now; what to say of it."""
    if loaded.run is None or loaded.members:
        return ""
    from bmtool.commands import cards  # an exported model, which has no run, does without

    model = cards.Of(loaded.checkpoint, loaded.weights, loaded.predictor.facts())
    return f"; card {loaded.run.card}" if cards.refresh(loaded.run, model, console.warn) else ""


def as_json(found: Evaluated) -> None:
    """Print one JSON object on stdout: the figures with their intervals, as in the report."""
    answer(json.dumps({"title": found.title} | found.as_dict(), ensure_ascii=False, allow_nan=False))


def table(found: Evaluated) -> None:
    """Print the figures on stdout."""
    headings, cells = report.rows(found.measured, found.differences)
    shown = Table(title=f"{found.title}: {found.examples:,} examples", show_edge=False)
    for index, heading in enumerate(headings):
        shown.add_column(heading, justify="left" if index == 0 else "right")
    for row in cells:
        shown.add_row(*row)
    Terminal().print(shown)
    below = list(found.groups.tables(found.measured, found.reference)) if found.groups is not None else []
    below += [found.label_errors.table()] if found.label_errors is not None else []
    for one in below:
        Terminal().print()
        Terminal().print(one)
