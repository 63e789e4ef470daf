"""The head on a trunk. Shapes: B windows, T tokens, D width, S scores."""

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """One vector of those of the tokens, and scores of it."""

    def __init__(self, features: int, scores: int, *, pooling: str, dropout: float):
        super().__init__()
        self.pool = Attention(features) if pooling == "attention" else Fixed(pooling)
        self.dropout, self.scores = nn.Dropout(dropout), nn.Linear(features, scores)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B, S], and the vectors that they are of [B, D]."""
        pooled_BD = self.pool(x_BTD, keep_BT)
        return self.scores(self.dropout(pooled_BD)), pooled_BD


class Fixed(nn.Module):
    """[B, D] of [B, T, D]: that of the `first` token, or the `mean` or the largest (`max`) of each number over the tokens."""

    def __init__(self, pooling: str):
        super().__init__()
        self.pooling = pooling

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> Tensor:
        if self.pooling == "first":
            return x_BTD[:, 0]
        if self.pooling == "max":
            return x_BTD.masked_fill(~keep_BT[:, :, None], -torch.inf).amax(dim=1)
        weight = keep_BT.to(x_BTD.dtype)[:, :, None]
        return (x_BTD * weight).sum(dim=1) / weight.sum(dim=1)


class Attention(nn.Module):
    """A weighted mean; how much a token counts is learned (Yang et al. 2016, "Hierarchical attention networks")."""

    def __init__(self, features: int):
        super().__init__()
        self.inner, self.score = nn.Linear(features, features), nn.Linear(features, 1, bias=False)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> Tensor:
        score_BT = self.score(torch.tanh(self.inner(x_BTD)))[:, :, 0].float().masked_fill(~keep_BT, -torch.inf)
        return (score_BT.softmax(dim=1).to(x_BTD.dtype)[:, None] @ x_BTD)[:, 0]
