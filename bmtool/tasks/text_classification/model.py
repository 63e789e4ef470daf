"""The head on a trunk. Shapes: B windows, T tokens, D width, S scores."""

from torch import Tensor, nn


class Head(nn.Module):
    """One vector of those of the tokens, and scores of it."""

    def __init__(self, features: int, scores: int, *, pooling: str, dropout: float):
        super().__init__()
        self.pooling, self.dropout, self.scores = pooling, nn.Dropout(dropout), nn.Linear(features, scores)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B, S], and the vectors that they are of [B, D]."""
        pooled_BD = pool(x_BTD, keep_BT, self.pooling)
        return self.scores(self.dropout(pooled_BD)), pooled_BD


def pool(x_BTD: Tensor, keep_BT: Tensor, pooling: str) -> Tensor:
    """[B, D]."""
    if pooling == "first":
        return x_BTD[:, 0]
    weight = keep_BT.to(x_BTD.dtype)[:, :, None]
    return (x_BTD * weight).sum(dim=1) / weight.sum(dim=1)
