"""pinyin2hanzi as an ONNX file, compared with PyTorch before it is kept."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from bmtool.base.files import write_bytes
from bmtool.engine import export as onnx_export
from bmtool.engine.onnx import open_model
from bmtool.errors import ExportMismatch
from bmtool.tasks.pinyin2hanzi import data, tables
from bmtool.tasks.pinyin2hanzi.model import Tagger
from bmtool.tasks.pinyin2hanzi.onnx import from_onnx
from bmtool.tasks.pinyin2hanzi.predict import Predictor, best_readings
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS, Vocabulary
from bmtool.text.seq2seq.model import EncoderDecoder

TOLERANCE = 1e-3  # on log-probabilities of single hanzi, float32
INT8_LOSS = 0.01  # the largest fall in character accuracy that int8 may cost
INT8_EXAMPLES = 500
BATCHES = (1, 2, 7)
BEST = 5


def export(task: Any, path: Path, *, int8: bool, metadata: dict) -> dict:
    """Write `path`, and beside it a tagger's tables, and return the report. Raises ExportMismatch, leaving no file, when the model
    disagrees with PyTorch."""
    model, vocabulary = task.model.cpu().eval(), task.vocabulary
    proto, extra = _tagger(model, int8) if isinstance(model, Tagger) else _encoder_decoder(model, int8)
    held = tables.files(task.tables()) if isinstance(model, Tagger) else {}
    about = {
        "kind": task.config.model.kind, "vocabulary": json.loads(vocabulary.to_json()), "decode": task.config.decode.model_dump(),
        "max_length": task.config.data.max_length, "int8": int8, "tables": {name: len(contents) for name, contents in held.items()},
    }  # fmt: skip
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        working = Path(folder) / path.name
        for name, contents in held.items():
            write_bytes(working.with_name(name), contents)
        onnx_export.save(proto, working, metadata | about | extra)
        exported = from_onnx(working, *open_model(working))
        if int8:
            report = _int8_report(task, exported)
        else:
            report = _parity(task.predictor(), exported, task.config.data.max_length)

        for name in [*held, path.name]:
            working.with_name(name).replace(path.with_name(name))
    return report | {"bytes": path.stat().st_size}


def _tagger(model: Tagger, int8: bool) -> tuple[Any, dict]:
    [proto] = _traced(model, int8)
    return proto, {}


def _encoder_decoder(model: EncoderDecoder, int8: bool) -> tuple[Any, dict]:
    (start, step), moving = _traced(model, int8), list(model.head.MOVING)
    axes = {
        value.name: [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim] for value in step.graph.input
    }
    empty = {name: sizes for name, sizes in axes.items() if name != "token"}
    return onnx_export.start_and_step(start, step, moving), {"state": empty, "moving": moving}


def _traced(model: Tagger | EncoderDecoder, int8: bool) -> list[Any]:
    graphs = model.graphs(torch.full((3, 7), len(INPUTS) - 1))
    protos = [onnx_export.trace(graph.module, graph.example, graph.axes, graph.outputs) for graph in graphs]
    return [onnx_export.quantise(proto) if int8 else proto for proto in protos]


def _examples(vocabulary: Vocabulary, max_length: int) -> list[list[tuple[list[int], list[str | None]]]]:
    """Batches of other sizes than were traced: random inputs, and a random candidate for each."""
    random = np.random.default_rng(0)
    return [
        [_example(vocabulary, random, max(1, length - row)) for row in range(batch)]
        for batch in BATCHES
        for length in (1, 5, max_length)
    ]


def _example(vocabulary: Vocabulary, random: np.random.Generator, length: int) -> tuple[list[int], list[str | None]]:
    source = random.integers(1, len(INPUTS), length).tolist()
    counts = [vocabulary.candidate_count(number) for number in source]
    picks = [int(vocabulary.pair_start[n]) + int(random.integers(c)) if c else None for n, c in zip(source, counts)]
    return source, [None if pick is None else vocabulary.pair_hanzi[pick] for pick in picks]


def _parity(ours: Predictor, exported: Predictor, max_length: int) -> dict:
    """Largest difference of log-probabilities and number of decoded outputs that differ; ExportMismatch beyond TOLERANCE."""
    worst, compared = 0.0, 0
    for batch in _examples(ours.vocabulary, max_length):
        sources, references = [s for s, _ in batch], [r for _, r in batch]
        pairs = zip(ours.log_probabilities(sources, references), exported.log_probabilities(sources, references))
        worst = max([worst, *(_difference(a, b) for a, b in pairs)])
        for mine, theirs in zip(best_readings(ours, sources, BEST), best_readings(exported, sources, BEST)):
            same = mine[0].hanzi == theirs[0].hanzi
            scores = _difference(
                *(np.array([r.log_probability for r in side]) / len(mine[0].hanzi or " ") for side in (mine, theirs))
            )
            worst, compared = max(worst, scores), compared + 1
            if not same and not scores <= TOLERANCE:
                raise ExportMismatch(
                    f"the export writes {theirs[0].hanzi}, PyTorch {mine[0].hanzi}: nothing was written"
                )
    if not worst <= TOLERANCE:  # NaN fails too
        raise ExportMismatch(
            f"the export's log-probabilities differ from PyTorch's by up to {worst:.2g} (allowed {TOLERANCE:g}): nothing was written"
        )
    return {"largest_log_p_difference": worst, "tolerance": TOLERANCE, "decoded_compared": compared}


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest absolute difference; NaN when one of them is not a number where the other is."""
    if ours.shape != theirs.shape:
        return float("nan")
    numbers = np.isfinite(ours)
    if not np.array_equal(numbers, np.isfinite(theirs)):
        return float("nan")
    return float(np.abs(ours - theirs)[numbers].max(initial=0.0))


def _int8_report(task: Any, exported: Predictor) -> dict:
    """Character accuracy on validation text before and after, and how often the two agree; ExportMismatch beyond INT8_LOSS."""
    texts = [(s.tolist(), h) for s, h in _head(data.split_texts(task.config.data.prepared, "valid"), INT8_EXAMPLES)]
    sources = [source for source, _ in texts]
    ours, theirs = (best_readings(p, sources, 1) for p in (task.predictor(), exported))
    total = right_ours = right_theirs = agree = 0
    for (_, code_points), (mine, *_), (other, *_) in zip(texts, ours, theirs):
        for code, a, b in zip(code_points, mine.hanzi, other.hanzi):
            if code:
                total, agree = total + 1, agree + (a == b)
                right_ours, right_theirs = right_ours + (a == chr(code)), right_theirs + (b == chr(code))
    report = {
        "characters": total, "accuracy_float32": right_ours / total, "accuracy_int8": right_theirs / total, "agreement": agree / total,
        "allowed_loss": INT8_LOSS,
    }  # fmt: skip
    if not report["accuracy_float32"] - report["accuracy_int8"] <= INT8_LOSS:
        raise ExportMismatch(
            f"int8 costs too much: character accuracy {report['accuracy_int8']:.4f}, float32 {report['accuracy_float32']:.4f} "
            f"(allowed loss {INT8_LOSS}): nothing was written; export without --int8"
        )
    return report


def _head(items: Any, count: int) -> Any:
    return (item for item, _ in zip(items, range(count)))
