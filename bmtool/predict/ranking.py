"""Measuring predictors that give lists of items. numpy only."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from bmtool.errors import DataError
from bmtool.measure.report import Measured
from bmtool.measure.topn import NEVER, PLACES, Items, RankingMeter, ranked
from bmtool.predict.examples import Example

CELLS = 1 << 24  # users x items that are ranked at once


class Recommender(Protocol):
    def read(self, raw: Any) -> Any: ...

    def scores(self, reads: Sequence[Any]) -> np.ndarray:
        """[N, items], each as good as it is high; what users took is not left out."""
        ...

    def items(self) -> Items: ...

    def number(self, ids: Sequence[str]) -> np.ndarray:
        """int [N], -1 for an item that the model does not know."""
        ...

    def name(self, number: int) -> str: ...


class Evaluation:
    """Feeds a meter with the ranking of all items that a user has not taken; truth are the ids of what they took next."""

    names: tuple[str, ...] = RankingMeter.names

    def __init__(self, predictor: Any, columns: int):
        self.predictor = predictor
        items = predictor.items()
        self.meter = RankingMeter(items, columns)
        self._popular = np.argsort(-items.taken, kind="stable")

    def read(self, example: Example) -> Any:
        return self.predictor.read(example.raw)

    def refuses(self, example: Example) -> str:
        return (
            ""
            if (self.predictor.number(example.truth) >= 0).any()
            else "a user who took only items that the model does not know"
        )

    def unlike(self, other: "Evaluation") -> dict[str, str]:
        """DataError when the two rank other items."""
        if self.predictor.catalogue() != other.predictor.catalogue():
            raise DataError("the models rank different items: prepare their data alike")
        return {}

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        step = max(1, CELLS // max(1, len(self._popular)))
        for start in range(0, len(examples), step):
            yield from self._add(examples[start : start + step], weight[start : start + step])

    def _add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        reads = [example.read for example in examples]
        right = [self._numbers(example.truth) for example in examples]
        found = ranked(self.predictor.scores(reads), [read.seen for read in reads], right, self._popular)
        self.meter.add(found, right, weight)
        for example, top, ranks in zip(examples, found.top, found.ranks):
            shown = [self.predictor.name(item) for item in top[:PLACES].tolist() if item >= 0]
            yield {
                "input": example.name,
                "reference": example.truth,
                "prediction": shown,
                "ranks": [None if rank >= NEVER else rank + 1 for rank in ranks.tolist()],
            }

    def _numbers(self, ids: Sequence[str]) -> np.ndarray:
        found = self.predictor.number(ids)
        return found[found >= 0]

    def measured(self) -> Measured:
        found = self.meter.measured()
        found.remarks += [
            f"split: {self.predictor.rule}; all items that a user has not taken are ranked, equal scores by a hash"
        ]
        return found

    def warnings(self, measured: Measured) -> Iterator[str]:
        if measured.figures["auc"].low <= 0.5:  # half of all pairs are right by chance
            yield "no better than chance: the area under the ROC curve is not above 0.5"
