"""Networks on rows. B rows, F columns.

Normalisation and what stands for a missing number are part of the module, so no caller can forget them.
"""

import torch
from torch import Tensor, nn

from bmtool.tables.columns import Schema
from bmtool.tables.layers import blocks
from bmtool.tasks.tabular.config import Mlp

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
        self.blocks = blocks(self.inputs.features, settings)

    def forward(self, values: Tensor) -> Tensor:
        x = self.inputs(values)
        for block in self.blocks:
            x = block(x)
        return x
