"""Measuring pinyin2hanzi. One pass, batch after batch; nothing but the sums stays in memory.

Only hanzi count: punctuation, numbers and Latin words are copied, so they are right by construction. Positions are aligned one
to one when the output has as many hanzi as the reference, else by edit distance.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.measure import calibration
from bmtool.measure.bootstrap import BLOCK, Sums, ratio, weights
from bmtool.measure.classes import Classes
from bmtool.measure.report import Measured
from bmtool.tasks.pinyin2hanzi import data
from bmtool.tasks.pinyin2hanzi.predict import Predictor, best_readings
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS

BEST = 10
RUN_LENGTHS = range(2, 41)
METRICS = (
    "character_accuracy", "cer", "sentence_accuracy", "p@1", "p@5", "p@10", "mrr", "macro_precision", "macro_recall", "macro_f1",
    "loss", "perplexity", "ece",
)  # fmt: skip
LENGTHS = ((1, 4), (5, 8), (9, 16), (17, 32), (33, None))
CANDIDATES = ((1, 5), (6, 10), (11, 20), (21, 40), (41, None))


@dataclass(frozen=True)
class Example:
    source: list[int]  # input numbers
    reference: list[str | None]  # a hanzi a position, None under a copy

    @property
    def hanzi(self) -> str:
        return "".join(h for h in self.reference if h is not None)


def split_examples(prepared: str, split: str) -> Iterator[Example]:
    """The examples of a split of prepared data that hold hanzi."""
    for source, code_points in data.split_texts(prepared, split):
        yield _example(source, code_points)


def file_examples(path: Path, unit: str, predictor: Predictor) -> tuple[Iterator[Example], Tally]:
    """Examples of a text or pair file, whole sentences or runs of 2 to 40 hanzi, and the tally that fills as they are read."""
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    if unit not in ("sentence", "run"):
        raise ConfigError(f"--unit: expected sentence or run, got {unit!r}")
    tally = Tally()

    def read() -> Iterator[Example]:
        for source, hanzi in data.read_examples(path, tally):
            is_hanzi = hanzi > 0
            for start, end in _runs(is_hanzi) if unit == "run" else data.cut(is_hanzi, predictor.max_length):
                if is_hanzi[start:end].any():
                    tally.kept += 1
                    yield _example(source[start:end], hanzi[start:end])

    return read(), tally


def _example(source: np.ndarray, hanzi: np.ndarray) -> Example:
    return Example(source.tolist(), [chr(code) if code else None for code in hanzi.tolist()])


def _runs(is_hanzi: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) of every run of hanzi of a length in RUN_LENGTHS."""
    bounds = np.flatnonzero(np.diff(is_hanzi, prepend=False, append=False)).reshape(-1, 2).tolist()
    return [(start, end) for start, end in bounds if end - start in RUN_LENGTHS]


# One row of numbers an example.
COLUMNS = ("hanzi", "right", "edits", "sentences", "top1", "top5", "top10", "reciprocal", "nats", "reachable")
COLUMN = {name: index for index, name in enumerate(COLUMNS)}


@dataclass
class _Totals:
    """Everything that is added up."""

    all: Sums = field(default_factory=lambda: Sums(len(COLUMNS)))
    by_length: dict[str, Sums] = field(default_factory=dict)
    calibration: Sums = field(default_factory=lambda: Sums(calibration.WIDTH))
    by_candidates: dict[str, Sums] = field(default_factory=dict)
    hanzi: Classes = field(default_factory=Classes)


def evaluate(predictor: Predictor, examples: Iterable[Example], keep: Callable[[dict], None]) -> Measured:
    """Every metric over `examples`; `keep` receives one prediction record after the other. DataError when there are none."""
    totals, stream, drawn = _Totals(), iter(examples), weights()
    while block := list(islice(stream, BLOCK)):
        _add_block(predictor, block, next(drawn)[: len(block)], totals, keep)
    if not totals.all.examples:
        raise DataError("nothing to evaluate on: no example with hanzi")
    return _measured(totals)


def _add_block(
    predictor: Predictor, block: list[Example], weight: np.ndarray, totals: _Totals, keep: Callable[[dict], None]
) -> None:
    found = best_readings(predictor, [e.source for e in block], BEST)
    log_p = predictor.log_probabilities([e.source for e in block], [e.reference for e in block])
    rows, pairs = [], []
    per_character: dict[str, list[tuple[int, int, int]]] = {}
    for number, (example, readings, p) in enumerate(zip(block, readings_text(found), log_p)):
        aligned = align(example.hanzi, readings[0])
        rows.append(_row(example.hanzi, readings, aligned, p))
        pairs += [(true, written, number) for true, written in aligned]
        _by_candidates(predictor, example, aligned, number, per_character)
        keep(_record(example, readings, found[number]))
    table = np.array(rows)
    totals.all.add(table, weight)
    sure = np.exp([readings[0].log_probability for readings in found])
    totals.calibration.add(calibration.rows(sure, table[:, COLUMN["top1"]]), weight)
    for label in {length_label(len(e.hanzi)) for e in block}:
        here = np.array([length_label(len(e.hanzi)) == label for e in block])
        totals.by_length.setdefault(label, Sums(len(COLUMNS))).add(table[here], weight[here])
    for label, entries in per_character.items():
        at, count, right = np.array(entries).T
        totals.by_candidates.setdefault(label, Sums(2)).add(np.stack([count, right], axis=1), weight[at])
    totals.hanzi.add(pairs, weight)


def readings_text(found: list) -> list[list[str]]:
    """The hanzi of each example's readings."""
    return [["".join(h for h in reading.hanzi if h is not None) for reading in readings] for readings in found]


def align(reference: str, written: str) -> list[tuple[str | None, str | None]]:
    """Pairs of characters; None on one side where the other has one more."""
    if len(reference) == len(written):
        return list(zip(reference, written))
    pairs: list[tuple[str | None, str | None]] = []
    for op in Levenshtein.opcodes(reference, written):
        left, right = reference[op.src_start : op.src_end], written[op.dest_start : op.dest_end]
        width = max(len(left), len(right))
        pairs += zip([*left, *[None] * (width - len(left))], [*right, *[None] * (width - len(right))])
    return pairs


def _row(reference: str, readings: list[str], aligned: list, log_p: np.ndarray) -> list[float]:
    rank = readings.index(reference) + 1 if reference in readings else 0
    finite = log_p[np.isfinite(log_p)]
    right = sum(a == b for a, b in aligned)
    edits = Levenshtein.distance(reference, readings[0])
    tops = [float(0 < rank <= k) for k in (1, 5, 10)]
    return [len(reference), right, edits, 1, *tops, 1 / rank if rank else 0.0, -finite.sum(), len(finite)]


def _by_candidates(predictor: Predictor, example: Example, aligned: list, number: int, out: dict) -> None:
    inputs = [n for n, h in zip(example.source, example.reference) if h is not None]
    rights = [a == b for a, b in aligned if a is not None]
    tally: Counter = Counter()
    for n, right in zip(inputs, rights):
        label = _label(predictor.vocabulary.candidate_count(n), CANDIDATES)
        tally[label, "count"] += 1
        tally[label, "right"] += right
    for label in {label for label, _ in tally}:
        out.setdefault(label, []).append((number, tally[label, "count"], tally[label, "right"]))


def length_label(length: int) -> str:
    return _label(length, LENGTHS)


def _label(value: int, bins: tuple) -> str:
    for low, high in bins:
        if high is None or value <= high:
            return f"{low}+" if high is None else f"{low}-{high}"
    raise AssertionError("the last bin has no upper end")


def _record(example: Example, readings: list[str], found: list) -> dict:
    n_best = [{"text": text_, "log_probability": round(r.log_probability, 4)} for text_, r in zip(readings, found)]
    pinyin = " ".join(INPUTS[number] for number in example.source)
    return {"pinyin": pinyin, "reference": example.hanzi, "prediction": readings[0], "n_best": n_best}


def _ratios(sums: Sums) -> dict[str, np.ndarray]:
    column = {name: sums.total[:, index] for name, index in COLUMN.items()}
    loss = ratio(column["nats"], column["reachable"])
    return {
        "character_accuracy": ratio(column["right"], column["hanzi"]),
        "cer": ratio(column["edits"], column["hanzi"]),
        "sentence_accuracy": ratio(column["top1"], column["sentences"]),
        "p@1": ratio(column["top1"], column["sentences"]),
        "p@5": ratio(column["top5"], column["sentences"]),
        "p@10": ratio(column["top10"], column["sentences"]),
        "mrr": ratio(column["reciprocal"], column["sentences"]),
        "loss": loss,
        "perplexity": np.exp(loss),
    }


def _measured(totals: _Totals) -> Measured:
    figures = _ratios(totals.all) | totals.hanzi.macro() | {"ece": calibration.error(totals.calibration)}
    shown = ("character_accuracy", "cer", "sentence_accuracy", "p@5", "p@10", "mrr", "loss")
    lengths = {
        label: {n: v for n, v in _ratios(sums).items() if n in shown}
        for label, sums in _in_order(totals.by_length, LENGTHS)
    }
    candidates = {
        label: {
            "character_accuracy": ratio(s.total[:, 1], s.total[:, 0]),
            "share_of_hanzi": ratio(s.total[:, 0], totals.all.total[:, 0]),
        }
        for label, s in _in_order(totals.by_candidates, CANDIDATES)
    }
    unreachable = 1 - totals.all.total[0, COLUMN["reachable"]] / totals.all.total[0, COLUMN["hanzi"]]
    return Measured(
        examples=totals.all.examples,
        resamples={name: figures[name] for name in METRICS},
        slices={"hanzi in the sentence": lengths, "candidates of the syllable": candidates},
        notes={
            "hanzi": totals.all.total[0, 0],
            "share of hanzi that are no candidate of their syllable (not in the loss)": unreachable,
        },
    )


def _in_order(sums: dict[str, Sums], bins: tuple) -> list[tuple[str, Sums]]:
    labels = [_label(low, bins) for low, _ in bins]
    return [(label, sums[label]) for label in labels if label in sums]
