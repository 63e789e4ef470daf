"""Batches of rows by position."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bmtool.config.schema import BaseConfig
from bmtool.data.batching import Permutation
from bmtool.tables.prepare import require_same
from bmtool.tables.table import Table


@dataclass
class Batch:
    """`values` float32 [B, width] as `columns.Schema` encodes rows; `target` [B]: class numbers int64, or numbers float64; `group` int64
    [B]: whose rows they are, where that is known."""

    values: Tensor
    target: Tensor
    group: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.values)

    tokens = size

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.values.to(device), self.target.to(device), self.group)


class TableBatches:
    """Every epoch another permutation, its last incomplete batch left out; stored order, and every row, without a seed."""

    def __init__(self, table: Table, batch_size: int, seed: int | None):
        self._seed, self._batch, self.examples = seed, batch_size, len(table)
        self._values = torch.from_numpy(np.ascontiguousarray(table.values))
        self._target = torch.from_numpy(table.target)
        self._group = None if table.group is None else torch.from_numpy(table.group)
        whole, rest = divmod(self.examples, batch_size)
        self.per_epoch = whole + (rest > 0) if seed is None else max(1, whole)

    def __getitem__(self, position: int) -> Batch:
        epoch, batch = divmod(position, self.per_epoch)
        chosen = np.arange(batch * self._batch, min((batch + 1) * self._batch, self.examples))
        if self._seed is not None:
            chosen = Permutation(self.examples, self._seed, epoch)(chosen)
        group = None if self._group is None else self._group[chosen]
        return Batch(self._values[chosen], self._target[chosen], group)


def batches(config: BaseConfig, split: str, seed: int | None) -> TableBatches:
    """The batches of a task on tables."""
    table = Table(config.data.prepared, split)
    require_same(table.manifest, config.data)
    return TableBatches(table, config.train.batch_size, seed)
