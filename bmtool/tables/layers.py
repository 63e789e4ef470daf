"""Layers that networks on rows share, and what is exported of a model on rows. B rows, F columns, S scores: 1 for a number or two
classes, else as many as there are classes.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from bmtool.config.table import Hidden

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def blocks(features: int, settings: Hidden) -> nn.ModuleList:
    """The hidden layers of a network that takes [B, features]."""
    return nn.ModuleList(_block(before, after, settings) for before, after in pairwise([features, *settings.widths]))


def _block(before: int, after: int, settings: Hidden) -> nn.Sequential:
    norm = [nn.BatchNorm1d(after)] if settings.batch_norm else []
    dropout = [nn.Dropout(settings.dropout)] if settings.dropout else []
    return nn.Sequential(nn.Linear(before, after), *norm, ACTIVATIONS[settings.activation](), *dropout)


def log_probabilities(scores: Tensor) -> Tensor:
    """[B, classes] of scores [B, S]; one score is for the second of two classes."""
    if scores.shape[1] == 1:
        scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
    return torch.log_softmax(scores, dim=1)


class Whole(nn.Module):
    """What is exported: values [B, F] through `parts` to log-probabilities [B, classes], or to numbers [B] in the unit of the target.

    `unit` is (mean, deviation) of the target that scores are standardised by; None for classes. Numbers are float64: float32 would round
    those of a target that is far from 0.
    """

    def __init__(self, parts: Sequence[nn.Module], unit: tuple[float, float] | None):
        super().__init__()
        self.parts, self.numeric = nn.Sequential(*parts), unit is not None
        # tensors: the exporter rounds plain numbers to float32
        for name, figure in zip(("mean", "deviation"), unit or ()):
            self.register_buffer(name, torch.tensor(figure, dtype=torch.float64))

    def forward(self, values: Tensor) -> Tensor:
        scores = self.parts(values)
        if not self.numeric:
            return log_probabilities(scores)
        return scores[:, 0].double() * self.deviation + self.mean
