"""A task as an ONNX file: traced, quantised, compared with PyTorch at other sizes than it was traced at, and kept only if it agrees.

What is compared are the outputs of every graph, and the answers of the predictor to its own probes. int8 is judged by the figures of an
evaluation instead, on samples.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper

from bmtool.base.files import filling, write_bytes
from bmtool.engine import onnx_graphs
from bmtool.engine.task import Allowed, Graph, Task
from bmtool.errors import ConfigError, DataError, ExportMismatch
from bmtool.measure.meter import is_lower_better
from bmtool.predict.assets import pack
from bmtool.predict.backends import Arrays, Backend, TorchBackend
from bmtool.predict.contract import Predictor
from bmtool.predict.exported import FORMAT, KEY, Exported, open_model

TOLERANCE = 1e-3  # on the outputs of graphs and on probabilities, pixels and the like, float32
PROBES = 24
CALIBRATION = 128  # samples that ranges of activations are taken from

Open = Callable[[Exported], Predictor]  # an opened file -> its predictor
Judge = Callable[[Predictor], dict[str, float]]  # a predictor -> the figures of an evaluation on samples


def write(  # noqa: PLR0913
    task: Task, path: Path, open_: Open, *, metadata: dict, samples: Sequence[Any] | None = None, judge: Judge | None = None
) -> dict[str, float]:  # fmt: skip
    """Write `path` (and the files of parts beside it) and return the report of the comparison.

    With `samples`, which are inputs as the predictor has read them, weights are rounded to int8; `judge` measures then. Raises
    ConfigError when there are none, and ExportMismatch, leaving no file of this export, when the file disagrees with PyTorch.
    """
    graphs = [_on_cpu(graph) for graph in task.graphs()]
    whole, parts = [g for g in graphs if not g.part], [g for g in graphs if g.part]
    int8 = samples is not None
    ours = task.predictor()
    feeds = _recorded(task, graphs, samples) if samples is not None else {}
    traced = {graph.name: _traced(graph, feeds, int8) for graph in graphs}
    if int8 and not any(map(onnx_graphs.is_rounded, traced.values())):
        raise ConfigError(
            f"--int8: a model of {task.config.task} such as this has no weights to round: export without it"
        )
    about = metadata | task.about() | {"format": FORMAT, "int8": int8, "packed": True}
    with filling(path.parent, path.name, last=lambda file: file.name == path.name) as folder:
        working = folder / path.name
        for graph in parts:
            _save(
                traced[graph.name],
                working.with_name(f"{working.stem}.{graph.name}.onnx"),
                about | {"part": graph.name},
                {},
            )
        stated = (
            about | {"part": "whole", "graphs": {graph.name: list(graph.outputs) for graph in whole}} | _state(whole)
        )
        _save(_joined(whole, traced), working, stated, task.packed())
        opened = open_model(working)
        theirs = open_(opened)
        if samples is None:
            report = _parity(graphs, opened.backend, ours, theirs)
        else:
            report = _int8(task.int8, ours, theirs, judge)
    return report | {"bytes": path.stat().st_size}


def _on_cpu(graph: Graph) -> Graph:
    graph.module.cpu().eval()
    return graph


def _joined(graphs: Sequence[Graph], traced: dict[str, onnx.ModelProto]) -> onnx.ModelProto:
    """One graph, or `start` and `step` in one."""
    if {graph.name for graph in graphs} == {"start", "step"}:
        return onnx_graphs.start_and_step(traced["start"], traced["step"], _moving(graphs))
    (graph,) = graphs
    return traced[graph.name]


def _traced(graph: Graph, feeds: dict[str, np.ndarray], int8: bool) -> onnx.ModelProto:
    proto = onnx_graphs.trace(graph.module, graph.example(graph.traced), graph.axes, graph.outputs)
    if not int8:
        return proto
    if not graph.calibrated:
        return onnx_graphs.quantise(proto)
    count = min(len(feeds[name]) for name in graph.axes)
    rows = [{name: feeds[name][row : row + 1] for name in graph.axes} for row in range(min(count, CALIBRATION))]
    return onnx_graphs.quantise_with(proto, rows)


def _moving(graphs: Sequence[Graph]) -> list[str]:
    """The values of a state that a step changes."""
    (step,) = (graph for graph in graphs if graph.name == "step")
    return [name.removeprefix("next_") for name in step.outputs if name.startswith("next_")]


def _state(graphs: Sequence[Graph]) -> dict[str, Any]:
    """What whoever runs start and step has to know: the shape of an empty state, and what of it moves."""
    steps = [graph for graph in graphs if graph.name == "step"]
    if not steps:
        return {}
    axes = {name: names for name, names in steps[0].axes.items() if name != "token"}
    empty = {name: [1 if isinstance(axis, str) else axis for axis in names] for name, names in axes.items()}
    return {"state": empty, "moving": _moving(graphs)}


def _save(proto: onnx.ModelProto, path: Path, about: dict, files: dict[str, bytes]) -> None:
    """Check a model and write it with its metadata and the files that belong to it."""
    helper.set_model_props(proto, {KEY: json.dumps(_plain(about), ensure_ascii=False, allow_nan=False)})
    onnx.checker.check_model(proto)
    write_bytes(path, pack(proto.SerializeToString(), files))


def _plain(value: Any) -> Any:
    """With null for figures that are no number, for which JSON has no form."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- float32: the same outputs, the same answers ---


def _parity(graphs: Sequence[Graph], exported: Backend, ours: Predictor, theirs: Predictor) -> dict[str, float]:
    worst = 0.0
    if all(graph.name != "step" for graph in graphs):  # a step has no state of its own: its answers are compared
        for graph in (graph for graph in graphs if not graph.part):
            worst = max([worst, *(_difference(graph, exported, sizes) for sizes in graph.sizes)])
    if not worst <= TOLERANCE:  # NaN fails too
        raise ExportMismatch(
            f"outputs differ from PyTorch's by up to {worst:.2g} (allowed {TOLERANCE:g}): nothing was written"
        )
    furthest, compared = _answers(ours, theirs)
    if not furthest <= TOLERANCE:
        raise ExportMismatch(
            f"answers differ from PyTorch's by up to {furthest:.2g} (allowed {TOLERANCE:g}): nothing was written"
        )
    return {
        "largest_difference": worst, "largest_answer_difference": furthest, "tolerance": TOLERANCE, "answers_compared": compared,
    }  # fmt: skip


def _difference(graph: Graph, exported: Backend, sizes: dict[str, int]) -> float:
    """Largest difference of any output, as a share of the number where that is larger than 1."""
    given = graph.example(sizes)
    with torch.no_grad():
        expected = graph.module(*given.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = exported.run(graph.name, {name: tensor.numpy() for name, tensor in given.items()})
    pairs = zip(expected, (found[name] for name in graph.outputs))
    # Whole numbers are choices, of which equally good ones may change places: answers tell whether they are right.
    return max(_distance(a.float().numpy(), b) for a, b in pairs if a.is_floating_point())


def _distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape or not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return float("nan")
    finite = np.isfinite(ours)
    scale = np.maximum(1.0, np.abs(ours[finite]))
    return float((np.abs(ours[finite] - theirs[finite]) / scale).max(initial=0.0))


def _answers(ours: Predictor, theirs: Predictor) -> tuple[float, int]:
    """Largest distance of answers to the predictor's probes, together and alone; how many were compared."""
    probes = ours.probes(PROBES)
    expected = ours.predict(probes)
    distances = [a.distance(b) for a, b in zip(expected, theirs.predict(probes))]
    distances += [a.distance(b) for a, b in zip(expected[:2], (theirs.predict([probe])[0] for probe in probes[:2]))]
    return max(distances), len(probes)


# --- int8: the same figures, as nearly as is allowed ---


class _Recorder:
    """A back end that keeps what went into graphs and what came out."""

    def __init__(self, inner: Backend):
        self.inner = inner
        self.kept: dict[str, list[np.ndarray]] = {}

    def run(self, graph: str, feeds: Arrays) -> Arrays:
        found = self.inner.run(graph, feeds)
        for name, value in [*feeds.items(), *((name, self.inner.numpy(value)) for name, value in found.items())]:
            self.kept.setdefault(name, []).append(value)
        return found

    def take(self, values: Any, rows: np.ndarray) -> Any:
        return self.inner.take(values, rows)

    def numpy(self, values: Any) -> np.ndarray:
        return self.inner.numpy(values)


def _recorded(task: Task, graphs: Sequence[Graph], samples: Sequence[Any]) -> dict[str, np.ndarray]:
    """What the graphs see and say, by name, while the predictor answers samples; nothing where only weights are rounded."""
    if not any(graph.calibrated for graph in graphs):
        return {}
    if not samples:
        raise DataError("int8 takes the ranges of activations from samples, and there is none")
    predictor = task.predictor()
    recorder = _Recorder(TorchBackend(graphs))
    predictor.backend = recorder  # type: ignore[attr-defined]  # where there are graphs, it runs them with this
    predictor.predict(list(samples[:CALIBRATION]))
    return {name: np.concatenate(values) for name, values in recorder.kept.items()}


def _int8(allowed: Allowed, ours: Predictor, theirs: Predictor, judge: Judge | None) -> dict[str, float]:
    if allowed.figure is None or judge is None:
        probes = ours.probes(PROBES)
        mean = float(np.mean([a.distance(b) for a, b in zip(ours.predict(probes), theirs.predict(probes))]))
        _require_within("mean difference", mean, allowed.loss)
        return {"mean_difference": mean, "allowed": allowed.loss}
    before, after = judge(ours)[allowed.figure], judge(theirs)[allowed.figure]
    loss = after - before if is_lower_better(allowed.figure) else before - after
    bound = allowed.loss * abs(before) if allowed.relative else allowed.loss
    _require_within(allowed.figure, loss, bound)
    return {f"{allowed.figure}_float32": before, f"{allowed.figure}_int8": after, "loss": loss, "allowed": bound}


def _require_within(figure: str, loss: float, bound: float) -> None:
    if not loss <= bound:
        raise ExportMismatch(
            f"int8 costs {loss:.4f} of {figure.replace('_', ' ')} on the samples (allowed {bound:.4f}): nothing was written; "
            "export without --int8"
        )
