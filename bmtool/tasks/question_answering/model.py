"""The head on a trunk. Shapes: B windows, T tokens, D width."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """Scores of where an answer begins and ends, and the mean of what stands at the tokens."""

    def __init__(self, features: int, dropout: float):
        super().__init__()
        self.dropout, self.scores = nn.Dropout(dropout), nn.Linear(features, 2)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`start` and `end` [B, T], `mean` [B, D]."""
        start_BT, end_BT = self.scores(self.dropout(x_BTD)).unbind(dim=-1)
        weight = keep_BT.to(x_BTD.dtype)[:, :, None]
        return start_BT, end_BT, (x_BTD * weight).sum(dim=1) / weight.sum(dim=1)


def may_answer(length: int, at_B: Tensor, count_B: Tensor) -> Tensor:
    """Where an answer may begin and end, bool [B, T]: at the tokens of the window, or at the first one, which stands for none."""
    place_T = torch.arange(length, device=at_B.device)
    inside = (place_T >= at_B[:, None]) & (place_T < (at_B + count_B)[:, None])
    return inside | (place_T == 0)


def nats(scores_BT: Tensor, able_BT: Tensor, target_B: Tensor) -> Tensor:
    """The sum of -log p of each target among the places that may answer."""
    return F.cross_entropy(scores_BT.float().masked_fill(~able_BT, float("-inf")), target_B, reduction="sum")
