"""From rows to the probability that what was shown is taken, and why. numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Sequence

import numpy as np

from bmtool.predict import exported
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.values import Click
from bmtool.tables.columns import Schema
from bmtool.tables.predict import Row, RowClassifier
from bmtool.tasks.click_prediction.config import Options

EXPLAINED = 256  # rows whose columns are taken away together


class About(exported.About):
    schema: Schema
    user: str | None


class Clicks(RowClassifier):
    """`user` names the column that says whose row it is."""

    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.user: str | None = about["user"]

    def predict(self, rows: Sequence[Row], options: Options = Options()) -> list[Click]:
        said = self.probabilities(rows)
        why = self._because(rows, said[:, self.positive], options.because)
        order = np.argsort(-said, axis=1, kind="stable")
        return [
            Click(tuple((self.labels[n], float(p[n])) for n in best), row.notes, self.labels[self.positive], because)
            for best, p, row, because in zip(order, said, rows, why)
        ]

    def _because(self, rows: Sequence[Row], said: np.ndarray, most: int) -> list[tuple[tuple[str, float], ...]]:
        """Of each row the columns without which its probability `said` changes most, and what it loses without each."""
        if not most:
            return [()] * len(rows)
        found = []
        for start in range(0, len(rows), EXPLAINED):
            part = np.stack([row.values for row in rows[start : start + EXPLAINED]])
            for values, lost in zip(part, said[start : start + EXPLAINED, None] - self._without(part)):
                told, order = self.schema.told(values), np.argsort(-np.abs(lost), kind="stable")[:most]
                found.append(tuple((told[column], float(lost[column])) for column in order if lost[column]))
        return found

    def _without(self, values: np.ndarray) -> np.ndarray:
        """[N, columns]: the probability of rows [N, width] when nothing is known of each column."""
        taken = self.schema.owner() == np.arange(len(self.schema.columns))[:, None]  # [columns, width]
        rest = np.where(taken, self.schema.absent(), values[:, None])
        said = np.exp(self.run(rest.reshape(-1, self.schema.width)))[:, self.positive]
        return said.reshape(len(values), -1)


def predictor(about: dict, backend: Backend, assets: Assets) -> Clicks:
    return Clicks(about, backend)
