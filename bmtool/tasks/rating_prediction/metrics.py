"""Measuring ratings: as all numbers are, and how many of them were of somebody or something unknown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from bmtool.measure.report import Measured
from bmtool.predict import number
from bmtool.predict.examples import Example


class Evaluation(number.Evaluation):
    names: ClassVar = ("rmse", "mae", "r2")

    def __init__(self, predictor: number.Regressor, columns: int):
        super().__init__(predictor, columns)
        self._sources = Counter[str]()

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict]:
        self._sources.update(getattr(example.read, "source", "") for example in examples)
        yield from super().add(examples, weight)

    def measured(self) -> Measured:
        found = super().measured()
        found.resamples = {name: found.resamples[name] for name in self.names}
        if rule := getattr(self.predictor, "rule", ""):
            found.remarks.append(f"split: {rule}")
        told = {
            "item": "of unknown users",
            "user": "of unknown items",
            "mean": "of neither a known user nor a known item",
        }
        found.remarks += [
            f"{self._sources[source]:,} of {found.examples:,} ratings were {what}"
            for source, what in told.items()
            if self._sources[source]
        ]
        return found
