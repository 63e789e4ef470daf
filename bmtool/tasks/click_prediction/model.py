"""Networks on fields. B rows, W numbers of a row, F fields, D numbers of a vector, L ids of a history.

Each category, number, id and word has one row of D + 1 numbers: a vector, and last a weight of its own.
"""

import torch
from torch import Tensor, nn

from bmtool.tables.columns import OTHER, Schema
from bmtool.tables.layers import blocks
from bmtool.tasks.click_prediction.config import Din, Hidden, Network

SPARSE_FROM = 100_000  # rows of a table from which on a step changes those alone that it reads
SPREAD = 0.05  # of the first vectors


class Rows(nn.Module):
    """What is looked up: numbers of categories and ids [B, places] to [B, places, D + 1]; all columns in one table."""

    def __init__(self, schema: Schema, width: int):
        super().__init__()
        starts, total = dict[str, int](), 0
        for column in schema.columns:
            if column.kind == "category" or (column.kind == "list" and not column.of):
                starts[column.name] = total
                total += 1 + column.known
        self.table = nn.Embedding(max(1, total), width + 1, sparse=total >= SPARSE_FROM)
        with torch.no_grad():
            self.table.weight.normal_(0, SPREAD)
            self.table.weight[:, -1] = 0
            self.table.weight[list(starts.values())] = 0  # what is unknown begins at the middle of the others
        held = [column for kind in ("category", "list") for column in schema.columns if column.kind == kind]
        offsets = [starts[schema.source(column).name] for column in held for _ in range(column.width)]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.table(numbers + self.offsets)

    def squares(self, numbers: Tensor) -> Tensor:
        """Half the sum of squares: of the whole table, or of the rows that are read of one with sparse gradients."""
        rows = self.table(torch.unique(numbers + self.offsets)) if self.table.sparse else self.table.weight
        return rows.square().sum() / 2


class Numbers(nn.Module):
    """values [B, W] to [B, numbers + flags, D + 1]: a row for each column, as often as its standardised value says; and one for each that
    some training rows miss, where it is missing. A missing number is the mean."""

    def __init__(self, schema: Schema, width: int):
        super().__init__()
        owner = schema.owner().tolist()
        held = [(owner.index(n), column) for n, column in enumerate(schema.columns) if column.kind == "number"]
        self.register_buffer("places", torch.tensor([n for n, _ in held], dtype=torch.int64), persistent=False)
        self.register_buffer("flagged", torch.tensor([n for n, c in held if c.missing]).long(), persistent=False)
        for figure in ("mean", "deviation"):
            self.register_buffer(figure, torch.tensor([getattr(c, figure) for _, c in held]).float(), persistent=False)
        self.table = nn.Parameter(torch.randn(len(held) + len(self.flagged), width + 1) * SPREAD)
        with torch.no_grad():
            self.table[:, -1] = 0

    def forward(self, values: Tensor) -> Tensor:
        x = (values[:, self.places] - self.mean) / self.deviation
        told = torch.cat([torch.nan_to_num(x), values[:, self.flagged].isnan().to(x.dtype)], dim=1)
        return told[:, :, None] * self.table


class Attention(nn.Module):
    """Histories [B, L, D] summed to [B, D], each id by how it goes with what is shown [B, D]; the weights need not add up to 1."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(4 * width, hidden), nn.PReLU(), nn.Linear(hidden, 1))

    def forward(self, history: Tensor, shown: Tensor, there: Tensor) -> Tensor:
        """`there` [B, L, 1] is 1 for an id and 0 behind the last."""
        beside = shown[:, None].expand_as(history)
        weight = self.weigh(torch.cat([history, beside, history - beside, history * beside], dim=2)) * there
        return (weight * history).sum(dim=1)


class Fields(nn.Module):
    """values [B, W] to fields [B, F, D + 1]: categories, lists (the mean of what is in them, or what attention makes of it), numbers."""

    def __init__(self, schema: Schema, settings: Network):
        super().__init__()
        self.unknown, width = settings.unknown, settings.width
        self.rows, self.numbers = Rows(schema, width), Numbers(schema, width)
        owner = schema.owner()
        self.categories = [n for n, c in enumerate(schema.columns) if c.kind == "category"]
        self.lists = [n for n, c in enumerate(schema.columns) if c.kind == "list"]
        self.lengths = [schema.columns[n].length for n in self.lists]
        places = [place for column in (*self.categories, *self.lists) for place in (owner == column).nonzero()[0]]
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)
        shown = [schema.columns[n].name for n in self.categories]
        # which category a list is attended by
        self.shown = [shown.index(of) if (of := schema.columns[n].of) else None for n in self.lists]
        wanted = [isinstance(settings, Din) and at is not None for at in self.shown]
        self.attention = nn.ModuleList(Attention(width, settings.attention) if one else nn.Identity() for one in wanted)

    def squares(self, values: Tensor) -> Tensor:
        """What `l2` counts, of rows [B, W]."""
        return self.rows.squares(values[:, self.places].long()) + self.numbers.table.square().sum() / 2

    @property
    def count(self) -> int:
        return len(self.categories) + len(self.lists) + len(self.numbers.table)

    def forward(self, values: Tensor) -> Tensor:
        numbers, many = values[:, self.places].long(), len(self.categories)
        if self.training and self.unknown:
            hidden = torch.rand(len(values), many, device=values.device) < self.unknown
            numbers = torch.cat([numbers[:, :many].masked_fill(hidden, OTHER), numbers[:, many:]], dim=1)
        found = self.rows(numbers)
        categories, *lists = found.split([many, *self.lengths], dim=1)
        there = (numbers[:, many:] != OTHER).to(found.dtype)[:, :, None].split(self.lengths, dim=1) if lists else ()
        parts = [self._of_list(n, held, mask, categories)[:, None] for n, (held, mask) in enumerate(zip(lists, there))]
        return torch.cat([categories, *parts, self.numbers(values)], dim=1)

    def _of_list(self, number: int, held: Tensor, there: Tensor, categories: Tensor) -> Tensor:
        """[B, D + 1] of a list [B, L, D + 1]."""
        mean = (held * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        attend, shown = self.attention[number], self.shown[number]
        if shown is None or not isinstance(attend, Attention):
            return mean
        vector = attend(held[:, :, :-1], categories[:, shown, :-1], there)
        return torch.cat([vector, mean[:, -1:]], dim=1)


def pairs(vectors: Tensor) -> Tensor:
    """[B, 1]: the inner products of all pairs of vectors [B, F, D], summed (Rendle 2010, lemma 3.1)."""
    return (vectors.sum(dim=1).square() - vectors.square().sum(dim=1)).sum(dim=1, keepdim=True) / 2


class Backbone(nn.Module):
    """values [B, W] to [B, `features` + 1]: what the last hidden layer says, if there is one, and last the score of weights and pairs."""

    def __init__(self, schema: Schema, settings: Network):
        super().__init__()
        self.fields, self.pairs = Fields(schema, settings), settings.kind in ("fm", "deepfm")
        deep = isinstance(settings, Hidden)
        self.blocks = blocks(self.fields.count * settings.width, settings) if deep else nn.ModuleList()
        self.features = settings.widths[-1] if deep else 0

    def forward(self, values: Tensor) -> Tensor:
        fields = self.fields(values)
        vectors, score = fields[:, :, :-1], fields[:, :, -1].sum(dim=1, keepdim=True)
        if self.pairs:
            score = score + pairs(vectors)
        if not self.blocks:
            return score
        x = vectors.flatten(1)
        for block in self.blocks:
            x = block(x)
        return torch.cat([x, score], dim=1)


class Head(nn.Module):
    """What a backbone says [B, features + 1] to scores [B, 1]."""

    def __init__(self, features: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.deep = nn.Linear(features, 1, bias=False) if features else None

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, -1:] + self.bias
        return score if self.deep is None else score + self.deep(x[:, :-1])
