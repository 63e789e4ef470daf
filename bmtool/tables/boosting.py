"""Boosted trees on rows as a fitted task."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from bmtool.base.cores import threads
from bmtool.engine.task import Fitted, require_examples
from bmtool.errors import DataError
from bmtool.tables import gbdt
from bmtool.tables.layers import log_probabilities
from bmtool.tables.table import Table
from bmtool.tables.task import OnRows

LINES = 10  # of the log of a boosting that does all its rounds


class Boosted(OnRows, Fitted):
    unit: ClassVar = "round"
    # categories of a column up to which a node may name some of them; of more it asks for their number, the rank; None: any
    most_named: ClassVar[int | None] = None

    @property
    def every(self) -> int:
        return max(1, self.config.model.rounds // LINES)

    @classmethod
    def fresh(cls, config: Any) -> "Boosted":
        """DataError without validation rows, which say where to stop."""
        for split in ("train", "valid"):
            require_examples(split, len(Table(config.data.prepared, split)))
        return super().fresh(config)

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        train, valid = (Table(self.config.data.prepared, split) for split in ("train", "valid"))
        settings, rows, grown = self.config.model, self._rows(train, say), None
        for grown in gbdt.grow(
            rows, self._parameters(), valid=self._without_lists(valid.values), judge=lambda scores: self._figures(scores, valid),
            rounds=settings.rounds, patience=settings.patience,
        ):  # fmt: skip
            yield grown.figures
        if grown is None:
            raise DataError("no split of the training rows helps: lower model.leaf_rows, or give more rows")
        arrays = gbdt.arrays(grown.booster.dump_model(num_iteration=grown.kept))
        self.load(arrays if self.schema.labels else gbdt.scaled(arrays, self.schema.mean, self.schema.deviation))
        self.result, figure = grown.best, self.best.metric
        best = f"{figure} {grown.best[f'valid/{figure}']:.4f}"
        say(f"kept {grown.kept:,} of {grown.rounds:,} rounds: the {best} there is the lowest on the validation rows")

    def _rows(self, train: Table, say: Callable[[str], None]) -> gbdt.Rows:
        weight = None if self.weights is None else self.weights[train.target]
        # LightGBM holds what is to be learned in float32, which merges numbers far from 0
        target = train.target if self.schema.labels else (train.target - self.schema.mean) / self.schema.deviation
        return gbdt.Rows(self._without_lists(train.values), target, weight, self._categories(say))

    def _categories(self, say: Callable[[str], None]) -> list[int]:
        """The places of the columns whose categories are sets that a node may name."""
        owner, found, ranked = self.schema.owner().tolist(), [], []
        for number, column in enumerate(self.schema.columns):
            if column.kind == "category":
                (found if self.most_named is None or column.known <= self.most_named else ranked).append(number)
        if lists := [column.name for column in self.schema.columns if column.kind == "list"]:
            say(f"trees read no lists: {', '.join(lists)} left out")
        if ranked:
            names = ", ".join(self.schema.columns[number].name for number in ranked)
            say(f"of more than {self.most_named:,} categories trees read how common each is: {names}")
        return [owner.index(number) for number in found]

    def _without_lists(self, values: np.ndarray) -> np.ndarray:
        """With lists that are all empty, so that no node asks for them."""
        lists = [number for number, column in enumerate(self.schema.columns) if column.kind == "list"]
        return np.where(np.isin(self.schema.owner(), lists), np.float32(0), values) if lists else values

    def goal(self) -> dict[str, Any]:
        """What is made small, by LightGBM's names."""
        classes = len(self.schema.labels)
        if not classes:
            return {"objective": "regression"}
        return {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}

    def _parameters(self) -> dict[str, Any]:
        """Settings by LightGBM's names."""
        settings = self.config.model
        return self.goal() | {
            "learning_rate": settings.rate, "num_leaves": settings.leaves, "min_data_in_leaf": settings.leaf_rows,
            "lambda_l2": settings.l2, "feature_fraction": settings.columns, "seed": self.config.seed,
            "num_threads": self.config.train.threads or threads(),
        }  # fmt: skip

    def _figures(self, scores: np.ndarray, valid: Table) -> dict[str, float]:
        """Of the validation rows, the one that decides first."""
        meter, given = self.meter(), torch.from_numpy(scores)
        said = (
            log_probabilities(given).exp()
            if self.schema.labels
            else given[:, 0] * self.schema.deviation + self.schema.mean
        )
        meter.add(said.numpy(), self.truth(valid), np.ones((len(said), 1)))
        figures = {f"valid/{name}": float(values[0]) for name, values in meter.figures().items()}
        decides = f"valid/{self.best.metric}"
        return {decides: figures[decides]} | figures

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._trees = gbdt.Trees(arrays)

    def parts(self) -> list[nn.Module]:
        return [self._trees]

    def scaling(self) -> tuple[float, float] | None:
        """The trees give numbers in the unit of the target."""
        return None if self.schema.labels else (0.0, 1.0)
