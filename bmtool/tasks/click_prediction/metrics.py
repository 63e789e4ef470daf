"""Measuring clicks: how they are ranked, over all and for each user, and whether the probabilities can be believed."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from bmtool.measure.clicks import ClickMeter
from bmtool.measure.grouped import NOBODY
from bmtool.measure.report import Measured
from bmtool.predict import labels
from bmtool.predict.examples import Example, reader_of
from bmtool.tables.importance import ByColumns


class Evaluation(ByColumns, labels.Evaluation):
    figure: ClassVar = "auc"
    names = ClickMeter.names

    def __init__(self, predictor: Any, columns: int):
        super().__init__(predictor, columns)
        reader = reader_of(predictor)
        self.user: str | None = reader.user
        self.missing, self._numbers = set(reader.schema.missing), dict[str, int]()
        self.meter = ClickMeter(predictor.labels, columns, positive=predictor.positive, grouped=self.user is not None)
        self.names = self.meter.names
        self._whose = np.empty(0, np.int64)

    def unlike(self, other: labels.Evaluation) -> dict[str, str]:
        """Areas of users are compared where both models mean the same by a user."""
        found = super().unlike(other)
        if self.user != other.user:
            found["gauc"] = f"a user is {self.user!r} here, {other.user!r} there"
        return found

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        self._whose = np.array([self._number_of(example) for example in examples], np.int64)
        yield from super().add(examples, weight)

    def _number_of(self, example: Example) -> int:
        name = example.fields.get(self.user, "") if self.user else ""
        if not name or name in self.missing:
            return NOBODY
        return self._numbers.setdefault(name, len(self._numbers))

    def count(self, said: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        self.meter.add(said, np.stack([truth, self._whose], axis=1), weight)

    def score(self, values: np.ndarray, truth: Sequence[str]) -> float:
        meter = ClickMeter(self.predictor.labels, positive=self.predictor.positive, grouped=False)
        numbers = np.array([[self._number[true], NOBODY] for true in truth])
        meter.add(np.exp(self.predictor.run(values)), numbers, np.ones((len(values), 1)))
        return float(meter.figures()["auc"][0])

    def warnings(self, measured: Measured) -> Iterator[str]:
        yield from super().warnings(measured)
        if not measured.figures["auc"].low > 0.5:
            yield "no better than chance: what is taken is not ranked before what is not (auc is not above 0.5)"
