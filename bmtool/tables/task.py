"""What tasks on rows share, trained or fitted: the columns, the classes or the number, what is exported."""

import hashlib
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Graph, Identity
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import Meter
from bmtool.measure.numbers import NumberMeter
from bmtool.predict.backends import TorchBackend
from bmtool.tables.columns import Schema
from bmtool.tables.layers import Whole
from bmtool.tables.predict import RowReader, probes
from bmtool.tables.table import Table

T = TypeVar("T", bound="OnRows")


class OnRows:
    """A task's own says which predictor answers, and which modules lead from values to scores."""

    config: Any
    identity: Identity
    int8: ClassVar = Allowed(None, 0.01)
    # [classes], how much a row of each counts while it learns; None: all the same
    weights: np.ndarray | None = None

    def __init__(self, config: Any, schema: Schema):
        self.config, self.schema = config, schema

    @classmethod
    def fresh(cls: type[T], config: Any) -> T:
        table = Table(config.data.prepared, "train")
        made = cls(config, table.schema)
        vocabulary = hashlib.sha256(table.schema.vocabulary().encode()).hexdigest()
        made.identity = Identity(table.manifest["data_hash"], vocabulary)
        return made

    @classmethod
    def open(cls: type[T], config: Any, assets: Path) -> T:
        return cls(config, Schema.read(assets / "schema.json", TRAIN_AGAIN))

    @property
    def best(self) -> Best:
        return Best("loss" if self.schema.labels else "rmse", "min")

    def assets(self) -> dict[str, str | bytes]:
        return {"schema.json": self.schema.dump()}

    def about(self) -> dict[str, Any]:
        return {"schema": self.schema.as_dict()}

    def answering(self) -> type[RowReader]:
        """The class of the predictor."""
        raise NotImplementedError

    def predictor(self) -> Any:
        return self.answering()(self.about(), TorchBackend(self.graphs()))

    def parts(self) -> list[nn.Module]:
        """From values [B, width] to scores [B, S], one after the other."""
        raise NotImplementedError

    def scaling(self) -> tuple[float, float] | None:
        """(mean, deviation) by which scores are standardised; None for classes."""
        return None if self.schema.labels else (self.schema.mean, self.schema.deviation)

    def whole(self) -> Whole:
        return Whole(self.parts(), self.scaling())

    def graphs(self) -> list[Graph]:
        axes, output = {"values": ("batch", self.schema.width)}, "log_p" if self.schema.labels else "value"
        return [Graph("model", self.whole(), axes, (output,), example=self._example)]

    def _example(self, sizes: dict[str, int]) -> dict[str, Tensor]:
        return {"values": torch.from_numpy(probes(self.schema, sizes["batch"]))}

    def meter(self) -> Meter:
        return (
            LabelMeter(list(self.schema.labels), positive=self.schema.positive) if self.schema.labels else NumberMeter()
        )

    def truth(self, rows: Any) -> Any:
        """What is right of a batch or a table of rows, as the meter takes it."""
        return rows.target
