"""`evaluate`: measure a run or an exported model, compare it with another, and hold it to bounds."""

import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table

from bmtool.base.console import Console
from bmtool.base.files import write_json, write_text
from bmtool.commands.loading import Loaded, load_model, load_several
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.measure import gate, report
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, weights
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example

SPLITS = ("valid", "test", "train")


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
    loaded = load_several(models, console.warn, weight)
    kind = loaded.entry.load("evaluation")
    gate.check_names(bounds, list(kind.names))
    name = (Path(data).stem if data else split) + (f"-mean-of-{len(models)}" if len(models) > 1 else "")
    folder = _folder(loaded, models[0], output)
    measuring = [loaded] + ([load_model(baseline, console.warn, task=loaded.task)] if baseline is not None else [])
    evaluations = [kind(one.predictor, 1 + RESAMPLES) for one in measuring]
    unlike = evaluations[0].unlike(evaluations[1]) if baseline is not None else {}
    source = Source(measuring, evaluations, split, data, unit)
    _feed(evaluations, source, folder / f"{name}.predictions.jsonl")
    measured, *others = [evaluation.measured() for evaluation in evaluations]
    reference = others[0].without(unlike) if others else None
    _say_what_to_know(console, source, [*evaluations[0].warnings(measured)], unlike, loaded)
    compared = measured.against(reference) if reference is not None else {}
    value = {"model": loaded.name, "data": name} | measured.as_dict()
    if reference is not None:
        differences = {k: vars(d) | {"significant": d.significant} for k, d in compared.items()}
        value["baseline"] = {"model": str(baseline), "differences": differences, "not_compared": unlike}
    _write(folder, name, value, measured, reference)
    _print(f"{loaded.name} on {data or split}", measured, compared)
    drawn = "".join(f", {name}.{picture}.png" for picture in measured.pictures)
    console.say(f"report {folder / name}.md, {name}.json{drawn}; predictions {name}.predictions.jsonl")
    gate.check(bounds, measured.figures)
    return measured


class Source:
    """The examples that all models are measured on: those that each of them can read, and whose truth each of them knows."""

    def __init__(
        self, measuring: Sequence[Loaded], evaluations: Sequence[Any], split: str, data: str | None, unit: str | None
    ):
        self.measuring, self.evaluations, self.data, self.tally = measuring, evaluations, data, Tally()
        self.first, reads = measuring[0], [one.predictor for one in measuring]
        kit = self.first.entry.load("examples")
        if data is not None:
            self._examples = kit.file(Path(data), unit, self.tally, reads)
            return
        if split not in SPLITS:
            raise ConfigError(f"--split: expected valid or test, got {split!r}")
        if unit is not None:
            raise ConfigError("--unit goes with --data")
        if self.first.run is None:
            raise ConfigError("a model file has no splits: give what to measure on with --data PATH")
        self._examples = kit.split(self.first.run.config().data, self.first.run.prepared(), split, reads)

    def __iter__(self) -> Iterator[tuple[Example, ...]]:
        """Each example as every model has read it."""
        for example in self._examples:
            if reason := self._refused(example):
                self.tally.drop(reason, example.name, str(example.truth))
                continue
            try:
                yield tuple(replace(example, read=evaluation.read(example)) for evaluation in self.evaluations)
            except BadInput as error:
                self.tally.drop(str(error), example.name)

    def _refused(self, example: Example) -> str:
        """Why an example of a file is left out. DataError for one of a split: its classes are what is measured."""
        for loaded, evaluation in zip(self.measuring, self.evaluations):
            if reason := evaluation.refuses(example):
                if self.data is None:
                    raise DataError(
                        f"{loaded.name} cannot be measured on these data: {example.name} is {example.truth!r}, {reason}"
                    )
                return reason
        return ""


def _feed(evaluations: Sequence[Any], source: Source, predictions: Path | None) -> None:
    """Every example to every evaluation, in blocks that are resampled alike; records of the first go to `predictions`."""
    stream, drawn, count = iter(source), weights(), 0
    if predictions is not None:
        predictions.parent.mkdir(parents=True, exist_ok=True)
    with predictions.open("w", encoding="utf-8") if predictions is not None else nullcontext() as kept:
        while block := list(islice(stream, BLOCK)):
            weight = next(drawn)[: len(block)]
            for number, (evaluation, examples) in enumerate(zip(evaluations, zip(*block))):
                for record in evaluation.add(examples, weight):
                    if number == 0 and kept is not None:
                        kept.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += len(block)
    if not count:
        why = "; ".join(f"{n:,} x {reason}" for reason, n in source.tally.dropped.items())
        raise DataError(f"nothing to evaluate on: no example that can be measured{f' ({why})' if why else ''}")


def measure(kind: Any, predictor: Any, examples: Iterable[Example], *, columns: int = 1) -> Measured:
    """A model on some examples; with one column the figures have no intervals."""
    evaluation, drawn = kind(predictor, columns), weights()
    stream = (replace(example, read=evaluation.read(example)) for example in examples)
    while block := list(islice(stream, BLOCK)):
        deque(evaluation.add(block, next(drawn)[: len(block), :columns]), maxlen=0)
    return evaluation.measured()


def _say_what_to_know(
    console: Console, source: Source, warnings: list[str], unlike: dict[str, str], loaded: Loaded
) -> None:
    for reason, count in source.tally.dropped.items():
        console.warn(f"{source.data}: left out {count:,} x {reason} (e.g. {source.tally.examples[reason][0]})")
    for name, why in unlike.items():
        console.warn(f"{name} is not compared: {why}")
    for warning in warnings:
        console.warn(warning)
    if source.data is None and (changed := loaded.run.changed_data()):
        console.warn(changed)


def _folder(loaded: Loaded, model: str | Path, output: str | None) -> Path:
    if output is not None:
        return Path(output)
    return loaded.run.evaluations if loaded.run is not None else Path(model).with_suffix(".eval")


def _write(folder: Path, name: str, value: dict, measured: Measured, reference: Measured | None) -> None:
    try:
        write_json(folder / f"{name}.json", value)
        for picture, draw in measured.pictures.items():
            draw(folder / f"{name}.{picture}.png")
        files = {picture: f"{name}.{picture}.png" for picture in measured.pictures}
        write_text(folder / f"{name}.md", report.markdown(f"{value['model']} on {name}", measured, reference, files))
    except OSError as error:
        raise DataError(f"cannot write the report to {folder}: {error.strerror}") from error


def _print(title: str, measured: Measured, compared: dict) -> None:
    headings, cells = report.rows(measured, compared)
    table = Table(title=f"{title}: {measured.examples:,} examples", show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right")
    for row in cells:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 120  # a file or pipe has no width to fit
    RichConsole(highlight=False, width=width).print(table)
