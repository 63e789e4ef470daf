"""Measuring pinyin2hanzi. One pass, batch after batch; nothing but the sums stays in memory.

Only hanzi count: punctuation, numbers and Latin words are copied, so they are right by construction. Positions are aligned one
to one when the output has as many hanzi as the reference, else by edit distance.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from rapidfuzz.distance import Levenshtein

from bmtool.measure import calibration
from bmtool.measure.bootstrap import ratio
from bmtool.measure.classes import Classes
from bmtool.measure.meter import SumMeter, Totals
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.tasks.pinyin2hanzi.predict import Model, Translator, Way, best_ways
from bmtool.tasks.pinyin2hanzi.vocab import INPUTS

BEST = 10
LENGTHS = ((1, 4), (5, 8), (9, 16), (17, 32), (33, None))
SHOWN = ("character_accuracy", "cer", "sentence_accuracy", "p@5", "p@10", "mrr", "loss")  # of each length
CANDIDATES = ((1, 5), (6, 10), (11, 20), (21, 40), (41, None))


class TokenMeter(SumMeter):
    """What the network alone says of single hanzi while it learns, without the search that an evaluation does.

    `said` are (nats, whether it is right, whether it counts) of every target, one row a target.
    """

    def __init__(self, loss: str, accuracy: str):
        super().__init__(3)
        self.names = (loss, accuracy)

    def figures(self) -> dict[str, np.ndarray]:
        nats, right, count = self._totals.total.T
        return dict(zip(self.names, (ratio(nats, count), ratio(right, count))))


# One row of numbers an example.
COLUMNS = ("hanzi", "right", "edits", "sentences", "top1", "top5", "top10", "reciprocal", "nats", "reachable")
COLUMN = {name: index for index, name in enumerate(COLUMNS)}


class Evaluation:
    """Decoded lines against what is right; examples are (input numbers, a hanzi a position or None under a copy)."""

    names: ClassVar = (
        "character_accuracy", "cer", "sentence_accuracy", "p@1", "p@5", "p@10", "mrr", "macro_precision", "macro_recall", "macro_f1",
        "loss", "perplexity", "ece",
    )  # fmt: skip

    def __init__(self, predictor: Translator, columns: int):
        self.model, self.columns, self.examples = predictor.model, columns, 0
        self.all, self.calibration = Totals(len(COLUMNS), columns), Totals(calibration.WIDTH, columns)
        self.by_length: dict[str, Totals] = {}
        self.by_candidates: dict[str, Totals] = {}
        self.hanzi = Classes(columns)

    def read(self, example: Example) -> list[int]:
        return example.raw

    def refuses(self, example: Example) -> str:
        return ""

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """The network's loss is over the candidates of each syllable."""
        if self.model.vocabulary.sha256 == other.model.vocabulary.sha256:
            return {}
        return dict.fromkeys(("loss", "perplexity"), "the two choose among other candidates")

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        sources, references = [e.raw for e in examples], [e.truth for e in examples]
        found = best_ways(self.model, sources, BEST)
        log_p = self.model.log_probabilities(sources, references)
        texts, hanzi = ways_text(found), [_hanzi(reference) for reference in references]
        aligned = [align(true, written[0]) for true, written in zip(hanzi, texts)]
        nats = [-p[[h is not None for h in reference]] for p, reference in zip(log_p, references)]
        table = np.array([_row(*row) for row in zip(hanzi, texts, aligned, nats)])
        self._count(table, found, weight)
        self._count_candidates(sources, references, aligned, weight)
        pairs = [(true, written, n) for n, pairs in enumerate(aligned) for true, written in pairs]
        self.hanzi.add(pairs, weight)
        self.examples += len(examples)
        yield from (_record(*one) for one in zip(sources, hanzi, texts, found))

    def _count(self, table: np.ndarray, found: list[list[Way]], weight: np.ndarray) -> None:
        self.all.add(table, weight)
        sure = np.exp([ways[0].log_probability for ways in found])
        self.calibration.add(calibration.rows(sure, table[:, COLUMN["top1"]]), weight)
        labels = np.array([length_label(int(size)) for size in table[:, COLUMN["hanzi"]]])
        for label in set(labels.tolist()):
            here = labels == label
            self.by_length.setdefault(label, Totals(len(COLUMNS), self.columns)).add(table[here], weight[here])

    def _count_candidates(self, sources: list, references: list, aligned: list, weight: np.ndarray) -> None:
        entries: dict[str, list[tuple[int, int, int]]] = {}
        for number, (source, reference, pairs) in enumerate(zip(sources, references, aligned)):
            _by_candidates(self.model, source, reference, pairs, number, entries)
        for label, rows in entries.items():
            at, count, right = np.array(rows).T
            held = self.by_candidates.setdefault(label, Totals(2, self.columns))
            held.add(np.stack([count, right], axis=1), weight[at])

    def measured(self) -> Measured:
        if np.isnan(self.all.total[0, COLUMN["nats"]]):
            return Measured.broken(self.examples, self.names, self.columns)
        found = _ratios(self.all) | self.hanzi.macro() | {"ece": calibration.error(self.calibration.total)}
        lengths = {
            label: {n: v for n, v in _ratios(sums).items() if n in SHOWN}
            for label, sums in _in_order(self.by_length, LENGTHS)
        }
        unreachable = 1 - self.all.total[0, COLUMN["reachable"]] / self.all.total[0, COLUMN["hanzi"]]
        return Measured(
            examples=self.examples,
            resamples={name: found[name] for name in self.names},
            remarks=list(self.hanzi.remarks()),
            slices={"hanzi in the sentence": lengths, "candidates of the syllable": self._candidates()},
            notes={
                "hanzi": self.all.total[0, 0],
                "share of hanzi that are no candidate of their syllable (not in the loss)": unreachable,
            },
        )

    def _candidates(self) -> dict[str, dict[str, np.ndarray]]:
        total = self.all.total[:, COLUMN["hanzi"]]
        return {
            label: {
                "character_accuracy": ratio(s.total[:, 1], s.total[:, 0]),
                "share_of_hanzi": ratio(s.total[:, 0], total),
            }
            for label, s in _in_order(self.by_candidates, CANDIDATES)
        }

    def warnings(self, measured: Measured) -> Iterator[str]:
        return iter(())


def _hanzi(reference: list[str | None]) -> str:
    return "".join(h for h in reference if h is not None)


def ways_text(found: list[list[Way]]) -> list[list[str]]:
    """The hanzi of each way to write each example."""
    return [["".join(h for h in way.hanzi if h is not None) for way in ways] for ways in found]


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


def _row(reference: str, ways: list[str], aligned: list, nats: np.ndarray) -> list[float]:
    """`nats` of each hanzi, infinite where it is no candidate of its syllable, NaN when the network says no number."""
    rank = ways.index(reference) + 1 if reference in ways else 0
    reachable = nats[~np.isinf(nats)]
    right = sum(a == b for a, b in aligned)
    edits = Levenshtein.distance(reference, ways[0])
    tops = [float(0 < rank <= k) for k in (1, 5, 10)]
    return [len(reference), right, edits, 1, *tops, 1 / rank if rank else 0.0, reachable.sum(), len(reachable)]


def _by_candidates(  # noqa: PLR0913
    model: Model, source: list[int], reference: list[str | None], aligned: list, number: int, out: dict[str, list]
) -> None:
    inputs = [n for n, h in zip(source, reference) if h is not None]
    rights = [a == b for a, b in aligned if a is not None]
    tally: Counter = Counter()
    for n, right in zip(inputs, rights):
        label = _label(model.vocabulary.candidate_count(n), CANDIDATES)
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


def _record(source: list[int], reference: str, texts: list[str], ways: list[Way]) -> dict:
    n_best = [{"text": text, "log_probability": round(w.log_probability, 4)} for text, w in zip(texts, ways)]
    pinyin = " ".join(INPUTS[number] for number in source)
    return {"pinyin": pinyin, "reference": reference, "prediction": texts[0], "n_best": n_best}


def _ratios(sums: Totals) -> dict[str, np.ndarray]:
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


def _in_order(sums: dict[str, Totals], bins: tuple) -> list[tuple[str, Totals]]:
    labels = [_label(low, bins) for low, _ in bins]
    return [(label, sums[label]) for label in labels if label in sums]
