"""click-prediction as the engine sees it: one task with networks on fields, one with boosted trees."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.engine import task
from bmtool.engine.task import Allowed, Loss, Trained
from bmtool.errors import ConfigError
from bmtool.measure.clicks import ClickMeter
from bmtool.measure.grouped import NOBODY
from bmtool.tables import boosting
from bmtool.tables.batches import Batch, TableBatches, batches
from bmtool.tables.columns import Schema
from bmtool.tables.layers import log_probabilities
from bmtool.tables.predict import RowReader
from bmtool.tables.task import OnRows
from bmtool.tasks.click_prediction.config import Config
from bmtool.tasks.click_prediction.model import SPARSE_FROM, Backbone, Head
from bmtool.tasks.click_prediction.predict import Clicks


class Task(task.Task):
    @classmethod
    def of(cls, config: Config) -> "type[Network | Boosted]":
        return Boosted if config.model.kind == "lightgbm" else Network

    @classmethod
    def fresh(cls, config: Config) -> "Network | Boosted":
        return cls.of(config).fresh(config)

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Network | Boosted":
        return cls.of(config).open(config, assets)


class _OnClicks(OnRows):
    int8: ClassVar = Allowed("auc", 0.01)
    config: Config

    def about(self) -> dict[str, Any]:
        return super().about() | {"user": self.config.data.columns.user}

    def answering(self) -> type[RowReader]:
        return Clicks

    def meter(self) -> ClickMeter:
        grouped = self.config.data.columns.user is not None
        return ClickMeter(list(self.schema.labels), positive=self.schema.positive, grouped=grouped)

    def truth(self, rows: Any) -> np.ndarray:
        """int64 [B, 2]: the number of the class, and whose row it is."""
        whose = np.full(len(rows.target), NOBODY) if rows.group is None else np.asarray(rows.group)
        return np.stack([np.asarray(rows.target), whose], axis=1)


class Network(_OnClicks, Trained):
    phases: ClassVar = {"model": ("backbone", "head")}
    unit: ClassVar = "rows"
    bound: ClassVar = ("backbone", "head")
    numbered_by: ClassVar = "data.columns_of"

    def __init__(self, config: Config, schema: Schema):
        super().__init__(config, schema)
        backbone = Backbone(schema, config.model)
        self.modules = {"backbone": backbone, "head": Head(backbone.features)}

    @classmethod
    def fresh(cls, config: Config) -> "Network":
        """ConfigError for attention to nothing."""
        made = super().fresh(config)
        if config.model.kind == "din" and not any(column.of for column in made.schema.columns):
            raise ConfigError(
                "model.kind: din weighs the ids of a history by what is shown: name in data.columns.history a column of such lists with "
                "the column whose ids they are, or choose deepfm"
            )
        return made

    def remark(self) -> str:
        if not self.config.optim.weight_decay or not self.modules["backbone"].fields.rows.table.sparse:
            return ""
        large = f"of a table of {SPARSE_FROM:,} rows or more a step changes what it reads"
        return f"optim.weight_decay leaves vectors alone, and model.l2 does not: {large}"

    def batches(self, split: str, seed: int | None) -> TableBatches:
        return batches(self.config, split, seed)

    def scores(self, batch: Batch) -> Tensor:
        return log_probabilities(self._score(batch.values))

    def _score(self, values: Tensor) -> Tensor:
        return self.modules["head"](self.modules["backbone"](values)).float()

    def refuses(self, teacher: "Network") -> str:
        same = self.schema.vocabulary() == teacher.schema.vocabulary()
        return "" if same else "its columns or classes are not those here: prepare the data with data.columns_of"

    def loss(self, phase: str, batch: Batch) -> Loss:
        right = batch.target.to(torch.float32)
        score = self._score(batch.values)[:, 0]
        total = functional.binary_cross_entropy_with_logits(score, right, reduction="sum")
        if l2 := self.config.model.l2:
            total = total + batch.size * l2 * self.modules["backbone"].fields.squares(batch.values)
        return Loss(total, batch.size)

    def loss_of(self, batch: Batch, scores: Tensor) -> Loss:
        return Loss(functional.nll_loss(scores, batch.target, reduction="sum"), batch.size)

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        return self.whole()(batch.values).float().exp().cpu().numpy(), self.truth(batch.to(torch.device("cpu")))

    def parts(self) -> list[nn.Module]:
        return list(self.modules.values())


class Boosted(_OnClicks, boosting.Boosted):
    """Trees on numbers and categories; lists are no columns that a tree can split."""

    most_named: ClassVar = 1_000
