"""From rows to probabilities of classes, or to a number. numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bmtool.measure.decision import Decision
from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.labels import likeliest
from bmtool.predict.values import Labels, Number
from bmtool.tables.columns import Schema
from bmtool.tables.predict import Row, RowClassifier, RowReader
from bmtool.tasks.tabular.config import ClassOptions, NumberOptions


class About(exported.About):
    schema: Schema
    decision: Decision | None


class Classifier(RowClassifier):
    """With a `decision`, the class that costs least is named first."""

    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.decision = Decision(**about["decision"]) if about["decision"] else None

    def predict(self, rows: Sequence[Row], options: ClassOptions = ClassOptions()) -> list[Labels]:
        found = likeliest(self.labels, self.probabilities(rows), options, self.decision)
        return [replace(value, notes=row.notes) for value, row in zip(found, rows)]


class Regressor(RowReader):
    """Rows to numbers [N] in the unit of the target."""

    output = "value"

    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.spread = self.schema.deviation

    def numbers(self, rows: Sequence[Row]) -> np.ndarray:
        return self.run(np.stack([row.values for row in rows]))

    def predict(self, rows: Sequence[Row], options: NumberOptions = NumberOptions()) -> list[Number]:
        return [Number(float(value), self.spread, row.notes) for value, row in zip(self.numbers(rows), rows)]

    def draw(self, picture: str, inputs: Sequence[tuple[str, Row]], path: Path) -> Path:
        """What each column adds to the number."""
        return self.explain_by(self.run, inputs, self.target, path)


def predictor(about: dict, backend: Backend, assets: Assets) -> Classifier | Regressor:
    return (Classifier if about["schema"]["labels"] else Regressor)(about, backend)
