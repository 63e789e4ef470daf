"""SASRec: a causal decoder whose tokens are items, learned by the softmax over all of them (Kang and McAuley, ICDM 2018; the loss of
language models, Klenitskiy and Vasilev, RecSys 2023). Shapes: B histories, L items, I items of the catalogue, N targets, D width.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.data.batching import LengthBatches, LengthSource
from bmtool.data.packing import Cut, Windows
from bmtool.engine.task import Loss
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.store import Rows
from bmtool.tasks.recommendation.config import Config
from bmtool.tasks.recommendation.modules import NOTHING
from bmtool.tasks.recommendation.predict import padded
from bmtool.tasks.recommendation.trained import TrainedRecommender
from bmtool.text.backbones import build
from bmtool.text.backbones.decoder import CausalHead, Decoder, Shape


@dataclass
class Steps:
    """Histories int64 [B, L], and at each item the one that was taken next; NOTHING behind the last. `tokens` are those that have one."""

    item: Tensor
    following: Tensor
    tokens: int

    @property
    def size(self) -> int:
        return len(self.item)

    def to(self, device: torch.device) -> "Steps":
        return Steps(self.item.to(device), self.following.to(device), self.tokens)


class Next(nn.Module):
    """Histories [B, L] to the scores of what comes next [B, I]."""

    def __init__(self, backbone: Decoder, head: CausalHead):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, history: Tensor) -> Tensor:
        place = torch.arange(history.shape[1], device=history.device)
        x_BLD = self.backbone(history.clamp(min=0), (place[None, :] <= place[:, None])[None, None])
        last = ((history >= 0).sum(dim=1) - 1).clamp(min=0)
        x_BD = x_BLD.gather(1, last[:, None, None].expand(-1, 1, x_BLD.shape[2])).squeeze(1)
        return self.head(x_BD, build.table(self.backbone))


class SasRec(TrainedRecommender):
    phases: ClassVar = {"model": ("backbone", "head")}
    tables: ClassVar = {"backbone.embed_tokens.weight": "items"}
    unit: ClassVar = "items"

    def __init__(self, config: Config, known: Known, rule: str):
        super().__init__(config, known, rule)
        model = config.model
        shape = Shape(
            len(known.items), model.width, model.layers, model.heads, model.heads, model.width // model.heads,  # type: ignore[union-attr]
            model.feedforward, model.context,  # type: ignore[union-attr]
        )  # fmt: skip
        self.longest = model.context  # type: ignore[union-attr]
        backbone = Decoder(shape, dropout=model.dropout)  # type: ignore[union-attr]
        self.modules = {"backbone": backbone, "head": CausalHead(shape)}
        self.core_parameters = sum(p.numel() for p in backbone.blocks.parameters())

    def blocks(self) -> Iterable[nn.Module]:
        return self.modules["backbone"].blocks  # type: ignore[return-value]

    def to_learn(self, seed: int) -> LengthBatches:
        """Histories of like lengths together; of a long one all parts, each beginning with the last item of the one before."""
        rows = self.held.split("train")
        windows = Windows(rows.bounds, Cut(self.longest + 1, self.longest))
        starts, lengths = (part[windows.lengths > 1] for part in (windows.starts, windows.lengths))
        source = LengthSource(
            len(starts), int(lengths.sum()) - len(starts), lambda chosen: lengths[chosen] - 1, partial(_steps, rows, starts, lengths)
        )  # fmt: skip
        return LengthBatches(source, batch_tokens=self.config.train.batch_size, seed=seed)

    def loss(self, phase: str, batch: Steps) -> Loss:
        backbone = self.modules["backbone"]
        # What stands behind the last item of a history is read and never asked.
        x_BLD = backbone(batch.item.clamp(min=0))
        there = batch.following != NOTHING
        nats = build.nats(self.modules["head"], x_BLD[there], build.table(backbone), batch.following[there])
        return Loss(nats.sum(), batch.tokens)

    def scorer(self) -> Next:
        return Next(self.modules["backbone"], self.modules["head"])  # type: ignore[arg-type]


def _steps(rows: Rows, starts: np.ndarray, lengths: np.ndarray, chosen: np.ndarray) -> Steps:
    held = [rows.items[start : start + length] for start, length in zip(starts[chosen], lengths[chosen])]
    item, following = (
        torch.from_numpy(padded(part)) for part in ([one[:-1] for one in held], [one[1:] for one in held])
    )
    return Steps(item, following, int(lengths[chosen].sum()) - len(chosen))
