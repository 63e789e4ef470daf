"""A linear model of sparse features as a graph. B texts, K features of the longest, F features in all, S scores."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.graph import Graph
from bmtool.text.labelled.linear.fit import Linear

# What scores are: logits that a softmax takes, one for the second of `two` classes, those of classes `apart`, whose probabilities are
# divided by their sum, or of questions `each` of its own.
Link = Literal["softmax", "two", "apart", "each"]


class Whole(nn.Module):
    """feature [B, K], value [B, K] to scores [B, S] as a softmax takes them, or a sigmoid those of questions; what fills up a row has the
    value 0."""

    def __init__(self, model: Linear, link: Link):
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(model.weight))
        self.register_buffer("bias", torch.from_numpy(model.bias))
        self.link = link

    def forward(self, feature: Tensor, value: Tensor) -> Tensor:
        scores = (value[:, None] @ self.weight[feature])[:, 0] + self.bias
        if self.link == "apart":
            return F.logsigmoid(scores)
        return torch.cat([torch.zeros_like(scores), scores], dim=1) if self.link == "two" else scores


def graph(model: Linear, link: Link) -> Graph:
    def example(sizes: dict[str, int]) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        shape = sizes["batch"], sizes["features"]
        feature = torch.randint(0, len(model.weight), shape, generator=drawn)
        return {"feature": feature, "value": torch.rand(shape, generator=drawn)}

    axes = {"feature": ("batch", "features"), "value": ("batch", "features")}
    sizes = ({"batch": 1, "features": 1}, {"batch": 2, "features": 9}, {"batch": 7, "features": 4})
    return Graph("model", Whole(model, link), axes, ("scores",), example, {"batch": 3, "features": 5}, sizes)
