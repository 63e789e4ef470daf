"""From histories to scores of all items, and to lists: what is exported. Shapes: B histories, L places, E excluded, I items, K neighbours,
F factors, U users. A history is item numbers, the earliest first, -1 behind the last.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine.task import Graph

NOTHING = -1
STEPS = 1 << 16  # of similarities of users
SIZES = tuple(
    {"batch": batch, "length": length, "left_out": left_out, "k": k}
    for batch, length, left_out, k in ((1, 1, 1, 1), (2, 3, 5, 4), (7, 12, 2, 2))
)
TRACED = {"batch": 3, "length": 4, "left_out": 3, "k": 2}


class Listed(nn.Module):
    """(history [B, L], exclude [B, E], k) -> the k best items that are not excluded [B, k], their scores [B, k], those of all items [B, I].

    Equal scores are in the order of their numbers. An excluded item has the score -inf.
    """

    def __init__(self, scorer: nn.Module, items: int):
        super().__init__()
        self.scorer, self.count = scorer, items

    def forward(self, history: Tensor, exclude: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.scorer(history)
        places = torch.where(exclude >= 0, exclude, self.count)
        padded = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)
        left = padded.scatter(1, places, float("-inf"))[:, : self.count]
        wanted = k.item()
        if torch.compiler.is_exporting():
            torch._check(wanted >= 1)
            torch._check(wanted <= self.count)
            best, items = torch.topk(left, wanted)  # of ONNX, for which equal ones stand in order
        elif wanted == 1:
            best, items = left.max(dim=1, keepdim=True)
        else:
            best, items = (found[:, :wanted] for found in torch.sort(left, dim=1, descending=True, stable=True))
        return items, best, scores


def graph(scorer: nn.Module, items: int) -> Graph:
    """The one graph of a recommender: any model that gives scores [B, items] of histories [B, L]."""
    axes = {"history": ("batch", "length"), "exclude": ("batch", "left_out"), "k": ()}
    return Graph(
        "model",
        Listed(scorer, items),
        axes,
        ("items", "scores", "all"),
        example=_example(items),
        traced=TRACED,
        sizes=SIZES,
    )


def _example(items: int) -> Callable[[dict[str, int]], dict[str, Tensor]]:
    def make(sizes: dict[str, int]) -> dict[str, Tensor]:
        random = np.random.default_rng(sizes["batch"])
        history = random.integers(0, items, (sizes["batch"], sizes["length"]))
        history[1:, -1] = NOTHING
        exclude = random.integers(NOTHING, items, (sizes["batch"], sizes["left_out"]))
        given = {"history": history, "exclude": exclude, "k": np.int64(min(sizes["k"], items))}
        return {name: torch.as_tensor(value) for name, value in given.items()}

    return make


def steps(history: Tensor, decay: float, last: int | None) -> Tensor:
    """How much each item of a history counts [B, L]: `decay` to the power of how many come behind it; 0 beyond the `last` ones."""
    there = (history >= 0).float()
    if decay == 1.0 and last is None:
        return there
    behind = there.sum(dim=1, keepdim=True) - there.cumsum(dim=1)
    weight = there * torch.pow(torch.full_like(there[:1, :1], decay), behind)
    return weight if last is None else weight * (behind < last)


class Linear(nn.Module):
    """The sum over a history of what each item says of all others: `dense` [I, I]; lists of `neighbours` [I, K] with `weights` [I, K];
    `left` [I, F] times `right` [I, F]; and `bias` [I], which is the same for all. What a model lacks is not there."""

    def __init__(self, arrays: Mapping[str, np.ndarray], items: int, *, decay: float = 1.0, last: int | None = None):
        super().__init__()
        self.items, self.decay, self.last = items, decay, last
        self._held = frozenset(arrays)
        for name, values in arrays.items():
            kept = values.astype(np.int64) if name == "neighbours" else values
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(kept)))

    def forward(self, history: Tensor) -> Tensor:
        weight, place = steps(history, self.decay, self.last), history.clamp(min=0)
        out = torch.zeros(len(history), self.items)
        if "neighbours" in self._held:
            added = (self.weights[place] * weight[..., None]).flatten(1)
            out = out.scatter_add(1, self.neighbours[place].flatten(1), added)
        if "dense" in self._held:
            out = out + out.new_zeros(out.shape).scatter_add(1, place, weight) @ self.dense
        if "left" in self._held:
            out = out + (self.left[place] * weight[..., None]).sum(dim=1) @ self.right.T
        return out + self.bias if "bias" in self._held else out


class Blend(nn.Module):
    """Parts added up, each `scale` [parts] times."""

    def __init__(self, parts: list[nn.Module], scale: np.ndarray):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))

    def forward(self, history: Tensor) -> Tensor:
        return sum(part(history) * self.scale[number] for number, part in enumerate(self.parts))


class Neighbours(nn.Module):
    """What the nearest users took: `taken` [U, I] of 0 and 1."""

    def __init__(self, taken: np.ndarray, similarity: str, neighbours: int):
        super().__init__()
        self.similarity, self.neighbours = similarity, min(neighbours, len(taken))
        self.register_buffer("taken", torch.from_numpy(taken.astype(np.float32)))

    def forward(self, history: Tensor) -> Tensor:
        items = self.taken.shape[1]
        mine = (
            torch.zeros(len(history), items).scatter_add(1, history.clamp(min=0), (history >= 0).float()).clamp(max=1)
        )
        near = alike(mine @ self.taken.T, mine.sum(1, keepdim=True), self.taken.sum(1)[None], items, self.similarity)
        # In steps, so that equal ones are equal however they were computed; all that are as near as the last one count.
        near = torch.round(near * STEPS) / STEPS
        best, _ = torch.topk(near, self.neighbours, dim=1)
        return torch.where(near >= best[:, -1:], near, torch.zeros_like(near)) @ self.taken


def alike(common: Tensor, mine: Tensor, theirs: Tensor, count: int, similarity: str) -> Tensor:
    """Similarities of sets that have so many of `count` things in `common` and each, `mine` and `theirs`; 0 where they share none."""
    if similarity == "euclid":
        found = 1 / (1 + (mine + theirs - 2 * common).clamp(min=0).sqrt())
    elif similarity == "pearson":
        spread = (mine * (1 - mine / count) * theirs * (1 - theirs / count)).sqrt()
        found = (common - mine * theirs / count) / spread.clamp(min=1e-9)
    else:
        found = common / (mine * theirs).sqrt().clamp(min=1e-9)
    return torch.where(common > 0, found, torch.zeros_like(found))


class Factors(nn.Module):
    """Factors [I, F] of items (ALS): those of a history are solved for by conjugate gradients, and multiplied with all."""

    def __init__(self, factors: np.ndarray, *, alpha: float, l2: float, rounds: int):
        super().__init__()
        self.alpha, self.l2, self.rounds = alpha, l2, rounds
        self.register_buffer("factors", torch.from_numpy(np.ascontiguousarray(factors)))
        self.register_buffer("gram", self.factors.T @ self.factors)

    def forward(self, history: Tensor) -> Tensor:
        there = (history >= 0).float()
        rows = self.factors[history.clamp(min=0)] * there[..., None]
        start = torch.zeros(len(history), self.factors.shape[1])
        found = solved(rows, there, self.gram, start, alpha=self.alpha, l2=self.l2, rounds=self.rounds)
        return found @ self.factors.T


def solved(rows: Tensor, there: Tensor, gram: Tensor, start: Tensor, *, alpha: float, l2: float, rounds: int) -> Tensor:  # noqa: PLR0913
    """[B, F]: (gram + alpha R'R + l2) u = (1 + alpha) R'1 for each R = rows [B, L, F], by conjugate gradients from `start` on
    (Takács et al. 2011)."""

    def times(vector: Tensor) -> Tensor:
        inner = (rows @ vector[..., None]).squeeze(-1)
        return vector @ gram + alpha * (inner[:, None] @ rows).squeeze(1) + l2 * vector

    found = start
    left = (1 + alpha) * (there[:, None] @ rows).squeeze(1) - times(start)
    direction, size = left, (left * left).sum(1, keepdim=True)
    for _ in range(rounds):
        product = times(direction)
        step = size / (direction * product).sum(1, keepdim=True).clamp(min=1e-20)
        found, left = found + step * direction, left - step * product
        after = (left * left).sum(1, keepdim=True)
        direction, size = left + after / size.clamp(min=1e-20) * direction, after
    return found
