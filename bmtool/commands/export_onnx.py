"""`export-onnx`: a run's best weights as one file that needs onnxruntime and numpy only."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import write_json
from bmtool.base.units import short
from bmtool.commands import cards, following, refusals, reports
from bmtool.commands.checking import checked
from bmtool.commands.loading import restore
from bmtool.commands.measuring import measure
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError, ResourceError
from bmtool.predict.contract import Evaluation, Predictor
from bmtool.predict.examples import Example

if TYPE_CHECKING:  # torch takes seconds to import
    from bmtool.engine.run_dir import RunDir
    from bmtool.engine.task import Task

SAMPLES = 500  # that int8 is judged on


def export_onnx(
    run_path: str | Path, *, output: str | None = None, int8: bool = False, samples: str | None = None
) -> Path:
    """Write the model (to `export/` of the run unless `output` says otherwise) and `export/parity.json`. Returns its path.

    int8 is judged on samples: those at `samples`, or the validation split of the prepared data. DataError when there are none.
    """
    from bmtool.engine import export

    console = Console()
    if samples is not None and not int8:
        raise ConfigError("--samples goes with --int8: what int8 is judged on")
    if samples is not None:
        refusals.require_exists(samples, "--samples")
    if output is not None:
        refusals.require_file(output, "--output")
    run, task, checkpoint = restore(run_path, console.warn, device="cpu")
    if output is None:
        refusals.require_folder(run.exports, "export/ of the run, where --output names no other place")
    entry = registry.find(run.info()["task"])
    path = Path(output) if output else run.exports / ("model-int8.onnx" if int8 else "model.onnx")
    examples = _samples(run, entry, task, samples, console) if int8 else None
    kind = entry.load("evaluation")
    weights = run.checkpoints(console.warn).digest(checkpoint)
    carried = reports.carried(run, checkpoint, weights)
    card = cards.text(run, cards.Of(checkpoint, weights, task.predictor().facts(), is_rounded=int8), console.warn)
    report = export.write(
        task, path, lambda opened: entry.load("predictor")(opened.about, opened.backend, opened.assets),
        metadata=_metadata(run, checkpoint, console) | {"metrics": carried.metrics, "card": card},
        samples=None if examples is None else _inputs(task.predictor(), entry, examples),
        judge=lambda predictor: _figures(kind, predictor, examples or []),
    )  # fmt: skip
    _keep(report, run.exports / f"parity{'-int8' if int8 else ''}.json", console)
    shown = ", ".join(f"{key.replace('_', ' ')} {value:.6g}" for key, value in report.items() if key != "bytes")
    console.say(f"wrote {path} ({short(report['bytes'])}B); compared with PyTorch: {shown}")
    if pruned := cards.pruned(run.info()):
        console.say(pruned)
    before = ", measured before rounding to int8" if int8 and carried.metrics else ""
    console.say(f"it carries {carried.said}{before}")
    console.say(f"next: {following.using(path)}")
    return path


def _keep(report: dict[str, Any], place: Path, console: Console) -> None:
    """Into the run, unless that cannot be written to: the model lies elsewhere then, and is no worse."""
    try:
        refusals.require_folder(place.parent, place.name)
    except ResourceError as error:
        console.warn(f"the comparison with PyTorch is not kept: {error}")
        return
    write_json(place, report)


def _figures(kind: Callable[..., Evaluation], predictor: Predictor, examples: Sequence[Example]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in measure(kind, predictor, examples).resamples.items()}


def _metadata(run: "RunDir", checkpoint: str, console: Console) -> dict[str, Any]:
    info, checkpoints = run.info(), run.checkpoints(console.warn)
    return {
        "task": info["task"], "run": run.path.resolve().name, "checkpoint": checkpoint, "data_hash": info["data_hash"],
        "bmtool": info["versions"]["bmtool"], "weights": checkpoints.digest(checkpoint),
        "validation": checkpoints.manifest(checkpoint)["metrics"],
    }  # fmt: skip


def _samples(
    run: "RunDir", entry: registry.Entry, task: "Task", samples: str | None, console: Console
) -> list[Example]:
    """Examples with what is right, that a model can be measured on."""
    kit, reads, tally = entry.load("examples"), [task.predictor()], Tally()
    if samples is not None:
        stream = kit.file(Path(samples), None, tally, reads)
    else:
        try:
            prepared = checked(run.prepared(), entry, console.say)
            if changed := run.changed_data():
                console.warn(f"{changed}: int8 is judged on other data")
            stream = kit.split(run.config().data, prepared, "valid", reads)
        except DataError as error:
            raise DataError(f"int8 is judged on samples, and {error}; or name some with --samples PATH") from error
    evaluation = entry.load("evaluation")(reads[0], 1)
    found = list(islice((example for example in stream if not evaluation.refuses(example)), SAMPLES))
    if not found:
        raise DataError(
            "int8 is judged on samples, and there is none that the model knows: name some with --samples PATH"
        )
    return found


def _inputs(predictor: Predictor, entry: registry.Entry, examples: Sequence[Example]) -> list[Any]:
    """What ranges of activations are taken from."""
    if entry.takes == "number":
        return predictor.probes(len(examples))
    evaluation, out = entry.load("evaluation")(predictor, 1), []
    for example in examples:
        try:
            out.append(evaluation.read(example))
        except BadInput:  # it is left out of what is judged, too, where it is counted
            continue
    return out
