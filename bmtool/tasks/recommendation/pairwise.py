"""Vectors of users and items, learned from pairs of what a user took and what not.

Shapes: B pairs or histories, U users, I items, D width.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from bmtool.data.batching import Order, hashed
from bmtool.engine.task import Loss
from bmtool.predict.assets import Folder, arrays
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.store import Rows
from bmtool.tasks.recommendation.config import Config
from bmtool.tasks.recommendation.modules import Linear
from bmtool.tasks.recommendation.trained import TrainedRecommender, table

DEVIATION = 0.1  # of vectors before they learn
GRAPH = "graph.safetensors"  # among the assets: who took what in training


class Edges(NamedTuple):
    """The graph of who took what: items of user u are `items[bounds[u] : bounds[u + 1]]`."""

    bounds: np.ndarray
    items: np.ndarray


@dataclass
class Pairs:
    """int64 [B] each: a user, an item that they took, and another that they did not take."""

    user: Tensor
    item: Tensor
    other: Tensor

    @property
    def size(self) -> int:
        return len(self.user)

    tokens = size

    def to(self, device: torch.device) -> "Pairs":
        return Pairs(self.user.to(device), self.item.to(device), self.other.to(device))


class PairBatches:
    """Every interaction once an epoch, each with one item drawn from all that its user did not take, evenly and never one that they took.

    Of who took everything nothing can be learned: such users are left out.
    """

    def __init__(self, rows: Rows, items: int, *, batch_size: int, seed: int):
        self._users, self._items, self._bounds = rows.users, rows.items, rows.bounds
        self._free, self._span, self._seed = items - rows.counts, items + 1, seed
        self._rows = np.flatnonzero(self._free[self._users] > 0)
        self._batch, self.examples = batch_size, len(self._rows)
        self._order = Order(self._rows, batch_size, seed)
        self.per_epoch = self._order.per_epoch
        # Of each user the items taken, rising, each less how many of them come before it: so many are free below it.
        taken = np.sort(self._users * items + self._items) % items
        rank = np.arange(len(taken)) - self._bounds[self._users]
        self._free_below = self._users * self._span + taken - rank

    def __getitem__(self, position: int) -> Pairs:
        chosen = self._rows[self._order[position]]
        users = self._users[chosen]
        draw = hashed(position * self._batch + np.arange(len(chosen)), self._seed, 1)
        found = (draw % self._free[users].astype(np.uint64)).astype(np.int64)
        taken = np.searchsorted(self._free_below, users * self._span + found, side="right") - self._bounds[users]
        return Pairs(*map(torch.from_numpy, (users, self._items[chosen].astype(np.int64), found + taken)))


class Better(torch.autograd.Function):
    """By how much items [B, D] are better for users than others are, [B], with gradients in as few passes as there can be."""

    @staticmethod
    def forward(ctx: Any, user: Tensor, item: Tensor, other: Tensor) -> Tensor:
        difference = item - other
        ctx.save_for_backward(user, difference)
        return torch.linalg.vecdot(user, difference)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        user, difference = ctx.saved_tensors
        item = user * gradient[:, None]
        return difference * gradient[:, None], item, -item


class Pairwise(TrainedRecommender):
    """What users took is to have a higher score than what they did not (Rendle et al., UAI 2009)."""

    phases: ClassVar = {"model": ("users", "items")}
    tables: ClassVar = {"users.weight": "users", "items.weight": "items"}
    unit: ClassVar = "interactions"
    # Whether each step knows only the rows that it draws.
    by_rows: ClassVar = True

    def __init__(self, config: Config, known: Known, rule: str):
        super().__init__(config, known, rule)
        # Unless somebody says whether indices of sparse tensors are checked, torch warns that they are not.
        torch.sparse.check_sparse_tensor_invariants.disable()
        self.modules = {"users": self._table(len(known.users)), "items": self._table(len(known.items))}

    def _table(self, rows: int) -> nn.Embedding:
        """With gradients of rows alone where a step draws few of them."""
        few = self.by_rows and rows > self.config.train.batch_size
        return table(rows, self.config.model.width, sparse=few, deviation=DEVIATION)  # type: ignore[union-attr]

    def to_learn(self, seed: int) -> PairBatches:
        rows, items = self.held.split("train"), len(self.known.items)
        return PairBatches(rows, items, batch_size=self.config.train.batch_size, seed=seed)

    def remark(self) -> str:
        full = int((self.held.split("train").counts == len(self.known.items)).sum())
        return f"{full:,} users took every item: nothing is learned of them" if full else ""

    def loss(self, phase: str, batch: Pairs) -> Loss:
        drawn = [
            self.modules[name](rows)
            for name, rows in zip(("users", "items", "items"), (batch.user, batch.item, batch.other))
        ]
        user, item, other = self.met(batch, drawn)
        better = Better.apply(user, item, other)
        l2 = self.config.model.l2  # type: ignore[union-attr]
        pull = sum(torch.linalg.vector_norm(vectors) ** 2 for vectors in drawn) if l2 else 0.0
        return Loss(functional.softplus(-better).sum() + l2 / 2 * pull, batch.size)

    def met(self, batch: Pairs, drawn: list[Tensor]) -> list[Tensor]:
        """The vectors [B, D] of users, items and others whose products are compared; `drawn` are their rows of the tables."""
        return drawn


class BprMf(Pairwise):
    """A history is answered by the sum of the vectors of its items, that of a known user, too: nearly as good as their own vector."""

    reasons = "parts"

    def scorer(self) -> nn.Module:
        items = self.modules["items"].weight.detach()
        # A copy: what numpy has seen is never let go, and what is shared out is.
        vectors = items.float().cpu().clone().numpy()
        return Linear({"left": vectors, "right": vectors}, len(vectors), decay=self.config.model.decay).to(items.device)  # type: ignore[union-attr]


class Product(torch.autograd.Function):
    """A sparse matrix times a dense one, for whose gradient the transposed matrix is there already."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return None, None, ctx.transposed @ gradient


class LightGcn(Pairwise):
    """The vector of a history is the sum of what its items send along the graph: that of a known user without what is theirs alone."""

    reasons = "parts"
    by_rows: ClassVar = False

    def __init__(self, config: Config, known: Known, rule: str):
        super().__init__(config, known, rule)
        # The tables as they were, and what was made of them.
        self._kept: tuple[list[Tensor], nn.Module] | None = None

    @classmethod
    def open(cls, config: Config, assets: Path) -> "LightGcn":
        made = super().open(config, assets)
        held = arrays(Folder(assets), GRAPH)
        made.rows = Edges(held["bounds"], held["items"])
        return made

    def assets(self) -> dict[str, str | bytes]:
        return super().assets() | {GRAPH: save(self.rows._asdict())}

    @cached_property
    def rows(self) -> Edges:
        """Of training."""
        rows = self.held.split("train")
        return Edges(np.array(rows.bounds), np.array(rows.items))

    @cached_property
    def matrix(self) -> tuple[Tensor, Tensor]:
        """[U, I] and [I, U], CSR: 1 / sqrt(how many items a user took times how often the item was taken)."""
        device, (users, items) = self.modules["items"].weight.device, (len(self.known.users), len(self.known.items))
        taken = np.bincount(self.rows.items, minlength=items)
        counts = np.diff(self.rows.bounds)
        owner = np.repeat(np.arange(users), counts)
        values = 1 / np.sqrt(counts[owner] * taken[self.rows.items])
        place = torch.from_numpy(np.stack([owner, self.rows.items]))
        made = torch.sparse_coo_tensor(place, torch.from_numpy(values).float(), (users, items)).coalesce()
        with warnings.catch_warnings():
            # What it warns of is that more may be added.
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            return made.to_sparse_csr().to(device), made.t().coalesce().to_sparse_csr().to(device)

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Vectors of users and items after so many steps, those of the tables first."""
        theirs, backward = self.matrix
        users, items = self.modules["users"].weight, self.modules["items"].weight
        out = [(users, items)]
        for _ in range(self.config.model.layers):  # type: ignore[union-attr]
            users, items = Product.apply(theirs, backward, items), Product.apply(backward, theirs, users)
            out.append((users, items))
        return out

    def met(self, batch: Pairs, drawn: list[Tensor]) -> list[Tensor]:
        layers = self.layers()
        users, items = (sum(part) / len(layers) for part in zip(*layers))
        return [users[batch.user], items[batch.item], items[batch.other]]

    @torch.no_grad()
    def scorer(self) -> nn.Module:
        layers = [items for _, items in self.layers()]
        often = np.maximum(np.bincount(self.rows.items, minlength=len(self.known.items)), 1)
        sent = sum(layers[:-1]) / torch.from_numpy(np.sqrt(often)).float().to(layers[0].device)[:, None]
        held = {"left": sent / len(layers), "right": sum(layers) / len(layers)}
        made = Linear({name: values.float().cpu().numpy() for name, values in held.items()}, len(self.known.items))
        return made.to(layers[0].device)

    def scores_now(self, history: Tensor) -> Tensor:
        """What the tables give along the graph is computed once for all batches of a validation."""
        tables = [module.weight for module in self.modules.values()]
        if self._kept is None or not all(map(torch.equal, self._kept[0], tables)):
            self._kept = [one.detach().clone() for one in tables], self.scorer()
        return self._kept[1](history)
