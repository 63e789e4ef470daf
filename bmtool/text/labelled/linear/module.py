"""A linear model of sparse features as a graph. B texts, K features of the longest, F features in all, S scores, C classes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.graph import Graph
from bmtool.text.labelled.linear.fit import Linear


class Whole(nn.Module):
    """feature [B, K], value [B, K] to log-probabilities [B, C]; what fills up a row has the value 0."""

    def __init__(self, model: Linear):
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(model.weight))
        self.register_buffer("bias", torch.from_numpy(model.bias))
        self.apart = model.apart

    def forward(self, feature: Tensor, value: Tensor) -> Tensor:
        scores = (value[:, None] @ self.weight[feature])[:, 0] + self.bias
        if self.apart:
            scores = F.logsigmoid(scores)
        elif scores.shape[1] == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return torch.log_softmax(scores, dim=1)


def graph(model: Linear) -> Graph:
    def example(sizes: dict[str, int]) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        shape = sizes["batch"], sizes["features"]
        feature = torch.randint(0, len(model.weight), shape, generator=drawn)
        return {"feature": feature, "value": torch.rand(shape, generator=drawn)}

    axes = {"feature": ("batch", "features"), "value": ("batch", "features")}
    sizes = ({"batch": 1, "features": 1}, {"batch": 2, "features": 9}, {"batch": 7, "features": 4})
    return Graph("model", Whole(model), axes, ("log_p",), example, {"batch": 3, "features": 5}, sizes)
