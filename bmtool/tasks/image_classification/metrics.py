"""Measuring classifiers of images. One pass; what stays in memory are sums, and the probabilities that ROC curves are drawn from."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.images.prepare import Example, folder_examples, split_examples
from bmtool.measure import calibration, plots
from bmtool.measure.bootstrap import BLOCK, Sums, ratio, weights
from bmtool.measure.classes import Classes
from bmtool.measure.report import Measured
from bmtool.measure.roc import areas
from bmtool.tasks.image_classification.predict import Classifier

METRICS = (
    "accuracy", "top5_accuracy", "macro_precision", "macro_recall", "macro_f1", "auc", "loss", "ece",
)  # fmt: skip
WORST = 25

file_examples = folder_examples
__all__ = ["METRICS", "evaluate", "file_examples", "split_examples"]


@dataclass
class _Totals:
    sums: Sums = field(default_factory=lambda: Sums(4))  # examples, right, right among five, nats
    calibration: Sums = field(default_factory=lambda: Sums(calibration.WIDTH))
    classes: Classes = field(default_factory=Classes)
    labels: list[np.ndarray] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)
    worst: list[tuple[float, int, str, np.ndarray]] = field(default_factory=list)  # a heap of the surest mistakes


def evaluate(predictor: Classifier, examples: Iterable[Example], keep: Callable[[dict], None]) -> Measured:
    """Every metric over `examples`; `keep` receives one prediction record after the other. DataError when there are none."""
    totals, stream, drawn = _Totals(), iter(examples), weights()
    while block := list(islice(stream, BLOCK)):
        _add_block(predictor, block, next(drawn)[: len(block)], totals, keep)
    if not totals.labels:
        raise DataError("nothing to evaluate on: no image of a known class")
    return _measured(predictor, totals)


def _add_block(
    predictor: Classifier, block: list[Example], weight: np.ndarray, totals: _Totals, keep: Callable[[dict], None]
) -> None:
    p = predictor.probabilities(np.stack([example.pixels for example in block]))
    true = np.array([example.label for example in block])
    given, chance = p.argmax(axis=1), p[np.arange(len(block)), true]
    right, rank = given == true, (p > chance[:, None]).sum(axis=1)
    totals.sums.add(
        np.stack([np.ones(len(block)), right, rank < 5, -np.log(np.maximum(chance, 1e-12))], axis=1), weight
    )
    totals.calibration.add(calibration.rows(p.max(axis=1), right), weight)
    names = predictor.labels
    totals.classes.add([(names[t], names[g], row) for row, (t, g) in enumerate(zip(true, given))], weight)
    totals.labels.append(true)
    totals.probabilities.append(p)
    for row, example in enumerate(block):
        keep({
            "file": example.name, "reference": names[true[row]], "prediction": names[given[row]],
            "probability": round(float(p[row, given[row]]), 6), "probability_of_reference": round(float(chance[row]), 6),
        })  # fmt: skip
        if not right[row]:
            caption = f"{names[true[row]]}: {names[given[row]]}"
            entry = (float(p[row, given[row]]), -sum(map(len, totals.labels)) - row, caption, example.pixels)
            (heapq.heappush if len(totals.worst) < WORST else heapq.heappushpop)(totals.worst, entry)


def _measured(predictor: Classifier, totals: _Totals) -> Measured:
    count, right, among_five, nats = totals.sums.total.T
    labels, p = np.concatenate(totals.labels), np.concatenate(totals.probabilities)
    area, curves = areas(labels, p)
    figures = {
        "accuracy": ratio(right, count), "top5_accuracy": ratio(among_five, count), **totals.classes.macro(), "auc": area,
        "loss": ratio(nats, count), "ece": calibration.error(totals.calibration),
    }  # fmt: skip
    names = predictor.labels
    each = totals.classes.each(names)
    present = [number for number in range(len(names)) if (labels == number).any()]
    by_class = {
        names[number]: {metric: each[metric][number] for metric in ("recall", "precision", "f1")} for number in present
    }
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (labels, p.argmax(axis=1)), 1)
    drawn = {
        "confusion": lambda path: plots.confusion(matrix, names, path),
        "roc": lambda path: plots.roc({names[number]: curve for number, curve in curves.items()}, path),
    }
    if totals.worst:
        surest = sorted(totals.worst, reverse=True)
        sheet = np.stack([pixels for *_, pixels in surest])
        captions = [f"{caption} {sure:.2f}" for sure, _, caption, _ in surest]
        drawn["mistakes"] = lambda path: pictures.save(
            pictures.sheet(sheet, 5, captions, scale=max(1, 128 // sheet.shape[1])), path
        )
    return Measured(
        examples=len(labels),
        resamples={name: figures[name] for name in METRICS},
        slices={"class": by_class},
        pictures=drawn,
    )
