"""`evaluate`: measure a run or an exported model, compare it with another, and hold it to bounds."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import read_json, write_json, write_text
from bmtool.commands.loading import Loaded, load_model
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.measure import gate, report
from bmtool.measure.report import Measured


def evaluate(  # noqa: PLR0913
    models: Sequence[str | Path],
    *,
    split: str = "test",
    data: str | None = None,
    unit: str = "sentence",
    require: list[str] | None = None,
    baseline: str | Path | None = None,
    output: str | None = None,
) -> Measured:
    """Measure a model on a split or a file, write JSON, Markdown, pictures and predictions, and print a table on stdout.

    Several models are one: the mean of their probabilities, where their task allows it.
    Raises GateMissed (after everything is written) when a bound of `require` does not hold.
    """  # fmt: skip
    console = Console()
    bounds = [gate.parse(bound) for bound in require or []]
    loaded = _load(models, console)
    metrics = registry.find(loaded.task).module("metrics")
    gate.check_names(bounds, list(metrics.METRICS))
    model = " + ".join(map(str, models))
    name = (Path(data).stem if data else split) + (f"-mean-of-{len(models)}" if len(models) > 1 else "")
    folder = _folder(loaded, models[0], output)
    if data is None and loaded.run is not None:
        _warn_of_other_data(loaded, console)
    measured = _measure(
        loaded, metrics, _Source(loaded, split, data, unit), folder / f"{name}.predictions.jsonl", console
    )
    reference = None
    if baseline is not None:
        other = load_model(baseline, console.warn, task=loaded.task)
        reference = _measure(other, metrics, _Source(loaded, split, data, unit), None, console)
    compared = measured.against(reference) if reference is not None else {}
    value = {"model": model, "data": name} | measured.as_dict()
    if reference is not None:
        differences = {k: vars(d) | {"significant": d.significant} for k, d in compared.items()}
        value["baseline"] = {"model": str(baseline), "differences": differences}
    _write(folder, name, value, measured, reference)
    _print(f"{model} on {data or split}", measured, compared)
    drawn = "".join(f", {name}.{picture}.png" for picture in measured.pictures)
    console.say(f"report {folder / name}.md, {name}.json{drawn}; predictions {name}.predictions.jsonl")
    gate.check(bounds, measured.figures)
    return measured


def _load(models: Sequence[str | Path], console: Console) -> Loaded:
    """One model, or several whose probabilities are averaged."""
    loaded = [load_model(model, console.warn) for model in models]
    if len(loaded) == 1:
        return loaded[0]
    combine = getattr(registry.find(loaded[0].task).module("predict"), "combine", None)
    if combine is None or len({part.task for part in loaded}) > 1:
        raise ConfigError(
            "only models of one task that gives probabilities of classes can be averaged (image-classification)"
        )
    return replace(loaded[0], predictor=combine([part.predictor for part in loaded]))


class _Source:
    """Which examples to measure on; the same for a model and its baseline."""

    def __init__(self, loaded: Loaded, split: str, data: str | None, unit: str):
        self.loaded, self.split, self.data, self.unit = loaded, split, data, unit

    def examples(self, metrics: Any) -> tuple[Iterable[Any], Tally | None]:
        if self.data is not None:
            return metrics.file_examples(Path(self.data), self.unit, self.loaded.predictor)
        if self.split not in ("valid", "test", "train"):
            raise ConfigError(f"--split: expected valid or test, got {self.split!r}")
        if self.loaded.run is None:
            raise ConfigError("a model file has no splits: give the text to measure on with --data FILE")
        return metrics.split_examples(self.loaded.run.config().data.prepared, self.split), None


def _measure(loaded: Loaded, metrics: Any, source: _Source, predictions: Path | None, console: Console) -> Measured:
    examples, tally = source.examples(metrics)
    if predictions is None:
        return metrics.evaluate(loaded.predictor, examples, lambda record: None)
    predictions.parent.mkdir(parents=True, exist_ok=True)
    with predictions.open("w", encoding="utf-8") as stream:
        measured = metrics.evaluate(
            loaded.predictor, examples, lambda record: stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        )
    for reason, count in (tally.dropped if tally else {}).items():
        console.warn(f"{source.data}: left out {count:,} x {reason} (e.g. {tally.examples[reason][0]})")
    return measured


def _warn_of_other_data(loaded: Loaded, console: Console) -> None:
    manifest = Path(loaded.run.config().data.prepared) / "manifest.json"
    if manifest.is_file() and read_json(manifest)["data_hash"] != loaded.info["data_hash"]:
        console.warn(f"{manifest.parent} has changed since {loaded.run.path} was trained")


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
