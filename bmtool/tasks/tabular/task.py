"""tabular-classification and tabular-regression as the engine sees them: one task with a network, one with boosted trees."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.base.files import read_json
from bmtool.engine import task
from bmtool.engine.task import TRAIN_AGAIN, Loss, Trained
from bmtool.errors import ConfigError, DataError
from bmtool.measure.decision import Decision, cheapest
from bmtool.tables import boosting
from bmtool.tables.batches import Batch, TableBatches, batches
from bmtool.tables.columns import Schema
from bmtool.tables.layers import log_probabilities
from bmtool.tables.predict import Row, RowReader
from bmtool.tables.table import Table
from bmtool.tables.task import OnRows
from bmtool.tasks.tabular.config import Config
from bmtool.tasks.tabular.model import Backbone
from bmtool.tasks.tabular.predict import Classifier, Regressor

SHOWN = 10  # classes that a message names


class Task(task.Task):
    @classmethod
    def of(cls, config: Config) -> "type[Network | Boosted]":
        return Network if config.model.kind == "mlp" else Boosted

    @classmethod
    def fresh(cls, config: Config) -> "Network | Boosted":
        return cls.of(config).fresh(config)

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Network | Boosted":
        return cls.of(config).open(config, assets)


T = TypeVar("T", bound="_Deciding")


class _Deciding(OnRows):
    """Rows whose classes may be weighed, and decided between by what mistakes cost."""

    config: Config
    decision: Decision | None = None

    def __init__(self, config: Config, schema: Schema):
        super().__init__(config, schema)
        if config.decide is not None and len(schema.labels) != 2:
            raise ConfigError(f"decide: costs are of two classes, and {schema.target!r} has {len(schema.labels)}")

    @classmethod
    def fresh(cls: type[T], config: Config) -> T:
        made = super().fresh(config)
        made.weights = _class_weights(Table(config.data.prepared, "train")) if config.loss.class_weights else None
        return made

    @classmethod
    def open(cls: type[T], config: Config, assets: Path) -> T:
        made = super().open(config, assets)
        if config.decide is not None:
            if not (assets / "decision.json").is_file():
                raise DataError(
                    f"{config.run} has not been trained to its end, where it decides: `bmtool pretrain` it again"
                )
            made.decision = Decision(**read_json(assets / "decision.json", Decision, TRAIN_AGAIN))
        return made

    def settle(self) -> dict[str, str | bytes]:
        """The threshold that costs least on the validation rows."""
        if self.config.decide is None:
            return {}
        table, costs = Table(self.config.data.prepared, "valid"), self.config.decide
        self.decision = cheapest(
            self.predictor().probabilities([Row(values) for values in table.values]), table.target,
            positive=self.schema.positive, false_positive=costs.cost_false_positive, false_negative=costs.cost_false_negative,
        )  # fmt: skip
        return {"decision.json": json.dumps(asdict(self.decision))}

    def about(self) -> dict[str, Any]:
        return super().about() | {"decision": asdict(self.decision) if self.decision else None}

    def answering(self) -> type[RowReader]:
        return Classifier if self.schema.labels else Regressor


def _class_weights(table: Table) -> np.ndarray:
    """[classes], inverse to their frequency, 1 on average over the rows."""
    counts = np.bincount(table.target, minlength=len(table.schema.labels))
    return len(table) / counts / len(counts)


class Network(_Deciding, Trained):
    phases: ClassVar = {"model": ("backbone", "head")}
    unit: ClassVar = "rows"
    bound: ClassVar = ("backbone", "head")
    numbered_by: ClassVar = "data.columns_of"

    def __init__(self, config: Config, schema: Schema):
        super().__init__(config, schema)
        backbone, classes = Backbone(schema, config.model), len(schema.labels)
        scores = classes if classes > 2 else 1
        self.modules = {"backbone": backbone, "head": nn.Linear(backbone.features, scores)}

    def batches(self, split: str, seed: int | None) -> TableBatches:
        return batches(self.config, split, seed)

    def _scores(self, values: Tensor) -> Tensor:
        return self.modules["head"](self.modules["backbone"](values))

    def refuses(self, teacher: "Network") -> str:
        if not self.schema.labels:
            return "it gives numbers, and soft targets are of classes"
        return "" if self.schema.vocabulary() == teacher.schema.vocabulary() else _unlike(self.schema, teacher.schema)

    def scores(self, batch: Batch) -> Tensor:
        return log_probabilities(self._scores(batch.values).float())

    def loss(self, phase: str, batch: Batch) -> Loss:
        scores = self._scores(batch.values).float()
        if self.schema.labels:
            return self.loss_of(batch, log_probabilities(scores))
        wanted, huber = (batch.target - self.schema.mean) / self.schema.deviation, self.config.loss.huber
        error = (scores[:, 0], wanted.float())
        total = (
            functional.huber_loss(*error, reduction="sum", delta=huber)
            if huber
            else functional.mse_loss(*error, reduction="sum")
        )
        return Loss(total, batch.size)

    def loss_of(self, batch: Batch, scores: Tensor) -> Loss:
        weight = None if self.weights is None else torch.from_numpy(self.weights).to(scores)
        return Loss(functional.nll_loss(scores, batch.target, weight, reduction="sum"), batch.size)

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        said = self.whole()(batch.values)
        return (said.float().exp() if self.schema.labels else said).cpu().numpy(), batch.target.cpu().numpy()

    def parts(self) -> list[nn.Module]:
        return list(self.modules.values())


def _unlike(ours: Schema, theirs: Schema) -> str:
    """What differs of two tables, by name."""
    columns = {column.name: (column.kind, column.categories) for column in ours.columns}
    for column in theirs.columns:
        if columns.get(column.name) != (column.kind, column.categories):
            return f"its column {column.name!r} is not here, or holds other categories"
    if ours.labels != theirs.labels:
        return f"its classes are {', '.join(theirs.labels[:SHOWN])}, and here they are {', '.join(ours.labels[:SHOWN])}"
    return "its columns stand in another order, or others are here besides"


class Boosted(_Deciding, boosting.Boosted):
    def goal(self) -> dict[str, Any]:
        huber = self.config.loss.huber
        return {"objective": "huber", "alpha": huber} if huber else super().goal()
