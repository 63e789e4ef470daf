"""Networks on rows. B rows, F columns, S scores: 1 for a number or two classes, else as many as there are classes.

Normalisation, what stands for a missing number, and the unit of the answer are part of the module, so no caller can forget them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from bmtool.tables.columns import Schema
from bmtool.tasks.tabular.config import Mlp

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
WIDEST = 50


def embedding_width(categories: int) -> int:
    """Half as wide as there are categories, up to WIDEST."""
    return min(WIDEST, max(1, (categories + 1) // 2))


class Inputs(nn.Module):
    """values [B, F] to features [B, `features`]: standardised numbers, whether each was missing (where training rows miss some), and
    embedded categories. A missing number is the median."""

    def __init__(self, schema: Schema):
        super().__init__()
        numbers = [place for place, column in enumerate(schema.columns) if column.kind == "number"]
        held = [schema.columns[place] for place in numbers]
        self.categories = [place for place, column in enumerate(schema.columns) if column.kind == "category"]
        self.embeddings = nn.ModuleList(_embedding(len(schema.columns[n].categories)) for n in self.categories)
        self.register_buffer("places", torch.tensor(numbers, dtype=torch.int64))
        self.register_buffer("flagged", torch.tensor([n for n, c in zip(numbers, held) if c.missing]).long())
        for figure in ("median", "mean", "deviation"):
            self.register_buffer(figure, torch.tensor([getattr(column, figure) for column in held]).float())
        self.features = len(numbers) + len(self.flagged) + sum(e.embedding_dim for e in self.embeddings)

    def forward(self, values: Tensor) -> Tensor:
        numbers = values[:, self.places]
        filled = torch.where(numbers.isnan(), self.median, numbers)
        parts = [(filled - self.mean) / self.deviation, values[:, self.flagged].isnan().float()]
        parts += [embedding(values[:, place].long()) for place, embedding in zip(self.categories, self.embeddings)]
        return torch.cat(parts, dim=1)


def _embedding(categories: int) -> nn.Embedding:
    """Row 0, for what is missing or unknown, begins at the middle of the others."""
    made = nn.Embedding(categories + 1, embedding_width(categories))
    with torch.no_grad():
        made.weight[0] = 0
    return made


class Backbone(nn.Module):
    """values [B, F] to [B, `features`]."""

    def __init__(self, schema: Schema, settings: Mlp):
        super().__init__()
        self.inputs, self.features = Inputs(schema), settings.widths[-1]
        widths = [self.inputs.features, *settings.widths]
        self.blocks = nn.ModuleList(_block(before, after, settings) for before, after in pairwise(widths))

    def forward(self, values: Tensor) -> Tensor:
        x = self.inputs(values)
        for block in self.blocks:
            x = block(x)
        return x


def _block(before: int, after: int, settings: Mlp) -> nn.Sequential:
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
