"""From what stands at the tokens [B, T, D] to one vector a text [B, D], whatever stands behind it (`keep` [B, T] is False there)."""

import torch
from torch import Tensor, nn


class Mean(nn.Module):
    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> Tensor:
        keep_BT1 = keep_BT[:, :, None].to(x_BTD.dtype)
        return self.dropout((x_BTD * keep_BT1).sum(dim=1) / keep_BT1.sum(dim=1))


class Max(nn.Module):
    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> Tensor:
        return self.dropout(x_BTD.masked_fill(~keep_BT[:, :, None], -torch.inf).amax(dim=1))


class Attention(nn.Module):
    """A weighted mean; how much a token counts is learned (Yang et al. 2016, "Hierarchical attention networks")."""

    def __init__(self, features: int):
        super().__init__()
        self.inner, self.score = nn.Linear(features, features), nn.Linear(features, 1, bias=False)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> Tensor:
        score_BT = self.score(torch.tanh(self.inner(x_BTD)))[:, :, 0].float().masked_fill(~keep_BT, -torch.inf)
        return (score_BT.softmax(dim=1).to(x_BTD.dtype)[:, None] @ x_BTD)[:, 0]
