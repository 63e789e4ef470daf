"""tabular-classification and tabular-regression as the engine sees them: one task with a network, one with boosted trees."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.base.cores import threads
from bmtool.base.files import read_json
from bmtool.engine import task
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Fitted, Graph, Identity, Loss, Trained
from bmtool.errors import ConfigError, DataError
from bmtool.measure.decision import Decision, cheapest
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Meter
from bmtool.measure.numbers import NumberMeter
from bmtool.predict.backends import TorchBackend
from bmtool.tables.batches import Batch, TableBatches, batches
from bmtool.tables.columns import Schema
from bmtool.tables.predict import Row, probes
from bmtool.tables.table import Table
from bmtool.tasks.tabular import gbdt
from bmtool.tasks.tabular.config import Config
from bmtool.tasks.tabular.model import Backbone, Whole, log_probabilities
from bmtool.tasks.tabular.predict import Classifier, Regressor

SHOWN = 10  # classes that a message names
LINES = 10  # of the log of a boosting that does all its rounds


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


T = TypeVar("T", bound="_OnRows")


class _OnRows:
    """What both share: the columns, the classes or the number, the decision by costs."""

    config: Config
    identity: Identity
    int8: ClassVar = Allowed(None, 0.01)

    def __init__(self, config: Config, schema: Schema, decision: Decision | None = None):
        self.config, self.schema, self.decision = config, schema, decision
        if config.decide is not None and len(schema.labels) != 2:
            raise ConfigError(f"decide: costs are of two classes, and {schema.target!r} has {len(schema.labels)}")

    @classmethod
    def fresh(cls: type[T], config: Config) -> T:
        table = Table(config.data.prepared, "train")
        made = cls(config, table.schema)
        vocabulary = hashlib.sha256(table.schema.vocabulary().encode()).hexdigest()
        made.identity = Identity(table.manifest["data_hash"], vocabulary)
        made.weights = _class_weights(table) if config.loss.class_weights else None
        return made

    @classmethod
    def open(cls: type[T], config: Config, assets: Path) -> T:
        schema, decision = Schema.read(assets / "schema.json", TRAIN_AGAIN), None
        if config.decide is not None:
            if not (assets / "decision.json").is_file():
                raise DataError(
                    f"{config.run} has not been trained to its end, where it decides: `bmtool pretrain` it again"
                )
            decision = Decision(**read_json(assets / "decision.json", Decision, TRAIN_AGAIN))
        return cls(config, schema, decision)

    @property
    def best(self) -> Best:
        return Best("loss" if self.schema.labels else "rmse", "min")

    def assets(self) -> dict[str, str | bytes]:
        return {"schema.json": self.schema.dump()}

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
        return {"schema": self.schema.as_dict(), "decision": asdict(self.decision) if self.decision else None}

    def predictor(self) -> Classifier | Regressor:
        return (Classifier if self.schema.labels else Regressor)(self.about(), TorchBackend(self.graphs()))

    def graphs(self) -> list[Graph]:
        axes, output = {"values": ("batch", len(self.schema.columns))}, "log_p" if self.schema.labels else "value"
        return [Graph("model", self.whole(), axes, (output,), example=self._example)]

    def _example(self, sizes: dict[str, int]) -> dict[str, Tensor]:
        return {"values": torch.from_numpy(probes(self.schema, sizes["batch"]))}

    def whole(self) -> Whole:
        raise NotImplementedError

    def meter(self) -> Meter:
        return (
            LabelMeter(list(self.schema.labels), positive=self.schema.positive) if self.schema.labels else NumberMeter()
        )


def _class_weights(table: Table) -> np.ndarray:
    """[classes], inverse to their frequency, 1 on average over the rows."""
    counts = np.bincount(table.target, minlength=len(table.schema.labels))
    return len(table) / counts / len(counts)


class Network(_OnRows, Trained):
    phases: ClassVar = {"model": ("backbone", "head")}
    unit: ClassVar = "rows"
    bound: ClassVar = ("backbone", "head")
    numbered_by: ClassVar = "data.columns_of"

    def __init__(self, config: Config, schema: Schema, decision: Decision | None = None):
        super().__init__(config, schema, decision)
        backbone, classes = Backbone(schema, config.model), len(schema.labels)
        scores = classes if classes > 2 else 1
        self.modules = {"backbone": backbone, "head": nn.Linear(backbone.features, scores)}
        self.weights: np.ndarray | None = None

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

    def whole(self) -> Whole:
        unit = None if self.schema.labels else (self.schema.mean, self.schema.deviation)
        return Whole(list(self.modules.values()), unit)


def _unlike(ours: Schema, theirs: Schema) -> str:
    """What differs of two tables, by name."""
    columns = {column.name: (column.kind, column.categories) for column in ours.columns}
    for column in theirs.columns:
        if columns.get(column.name) != (column.kind, column.categories):
            return f"its column {column.name!r} is not here, or holds other categories"
    if ours.labels != theirs.labels:
        return f"its classes are {', '.join(theirs.labels[:SHOWN])}, and here they are {', '.join(ours.labels[:SHOWN])}"
    return "its columns stand in another order, or others are here besides"


class Boosted(_OnRows, Fitted):
    unit: ClassVar = "round"
    weights: np.ndarray | None = None

    @property
    def every(self) -> int:
        return max(1, self.config.model.rounds // LINES)

    @classmethod
    def fresh(cls, config: Config) -> "Boosted":
        """DataError without validation rows, which say where to stop."""
        for split in ("train", "valid"):
            task.require_examples(split, len(Table(config.data.prepared, split)))
        return super().fresh(config)

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        train, valid = (Table(self.config.data.prepared, split) for split in ("train", "valid"))
        weight = None if self.weights is None else self.weights[train.target]
        # LightGBM holds what is to be learned in float32, which merges numbers far from 0
        target = train.target if self.schema.labels else (train.target - self.schema.mean) / self.schema.deviation
        categories = [place for place, column in enumerate(self.schema.columns) if column.kind == "category"]
        settings, grown = self.config.model, None
        for grown in gbdt.grow(
            gbdt.Rows(train.values, target, weight, categories), self._parameters(), valid=valid.values,
            judge=lambda scores: self._figures(scores, valid.target), rounds=settings.rounds, patience=settings.patience,
        ):  # fmt: skip
            yield grown.figures
        if grown is None:
            raise DataError("no split of the training rows helps: lower model.leaf_rows, or give more rows")
        arrays = gbdt.arrays(grown.booster.dump_model(num_iteration=grown.kept))
        self.load(arrays if self.schema.labels else gbdt.scaled(arrays, self.schema.mean, self.schema.deviation))
        self.result, figure = grown.best, self.best.metric
        best = f"{figure} {grown.best[f'valid/{figure}']:.4f}"
        say(f"kept {grown.kept:,} of {grown.rounds:,} rounds: the {best} there is the lowest on the validation rows")

    def _parameters(self) -> dict[str, Any]:
        """Settings by LightGBM's names."""
        settings, huber, classes = self.config.model, self.config.loss.huber, len(self.schema.labels)
        goal: dict[str, Any] = (
            {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
        )
        if not classes:
            goal = {"objective": "huber", "alpha": huber} if huber else {"objective": "regression"}
        return goal | {
            "learning_rate": settings.rate, "num_leaves": settings.leaves, "min_data_in_leaf": settings.leaf_rows,
            "lambda_l2": settings.l2, "feature_fraction": settings.columns, "seed": self.config.seed,
            "num_threads": self.config.train.threads or threads(),
        }  # fmt: skip

    def _figures(self, scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Of the validation rows, the one that decides first."""
        meter, given = self.meter(), torch.from_numpy(scores)
        said = (
            log_probabilities(given).exp()
            if self.schema.labels
            else given[:, 0] * self.schema.deviation + self.schema.mean
        )
        meter.add(said.numpy(), truth, np.ones((len(said), 1)))
        figures = {f"valid/{name}": float(values[0]) for name, values in meter.figures().items()}
        decides = f"valid/{self.best.metric}"
        return {decides: figures[decides]} | figures

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._trees = gbdt.Trees(arrays)

    def whole(self) -> Whole:
        return Whole([self._trees], None if self.schema.labels else (0.0, 1.0))
