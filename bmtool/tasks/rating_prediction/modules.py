"""From users and items to ratings: what is exported. Shapes: B rows, U users, I items, R = U or I, K neighbours known of each, F factors,
L items that a user rated, M users who rated an item. What is unknown is -1; arrays have a row more, behind the others, for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine.task import Graph

TERMS = ("mean", "user", "item", "factors")
OUTPUTS = ("value", "unclipped", "terms", "by_item", "by_user")
AXES = {
    "user": ("batch",), "item": ("batch",), "rated": ("batch", "items"), "ratings": ("batch", "items"), "raters": ("batch", "users"),
    "given": ("batch", "users"),
}  # fmt: skip
TRACED = {"batch": 3, "items": 4, "users": 5}
SIZES = tuple(
    {"batch": batch, "items": items, "users": users} for batch, items, users in ((1, 1, 1), (2, 5, 3), (7, 2, 9))
)


class Part(nn.Module):
    """Biases, and what a model has beside them: `left` [U + 1, F] times `right` [I + 1, F]; what rating items `said` of a user, `implicit`
    [U + 1, F] in sum; the nearest `of` "items" or "users".

    (user [B], item [B], rated, ratings [B, L], raters, given [B, M]) -> the rating [B], TERMS [B, 4], what each of the ratings of the
    user adds [B, L], and what each of those of the item does [B, M]. What was said is whole in the first, whatever is `rated`.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], settings: Any):
        super().__init__()
        self.of = {"item-knn": "items", "user-knn": "users"}.get(settings.kind, "")
        self.near = Neighbours(arrays, settings.neighbours, settings.pull) if self.of else None
        self._held = frozenset(arrays)
        for name in self._held - set(NEAR):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(arrays[name], np.float32)))

    def forward(  # noqa: PLR0913
        self, user: Tensor, item: Tensor, rated: Tensor, ratings: Tensor, raters: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        who, what = _placed(user, self.user_bias), _placed(item, self.item_bias)
        mine, theirs = self.user_bias[who], self.item_bias[what]
        by_item, by_user = torch.zeros_like(ratings), torch.zeros_like(given)
        factors = torch.zeros_like(mine) if "left" not in self._held else (self.left[who] * self.right[what]).sum(1)
        terms = torch.stack([self.mean.expand_as(mine), mine, theirs, factors], dim=1)
        value = terms.sum(1)
        if "said" in self._held:
            value = value + (self.implicit[who] * self.right[what]).sum(1)
            each = (self.said[_placed(rated, self.said)] * self.right[what][:, None]).sum(2)
            by_item = each * self.weight[who][:, None] * (rated >= 0)
        if self.of == "items":
            own = self.mean + mine[:, None] + self.item_bias[_placed(rated, self.item_bias)]
            by_item = self.near(what, rated, ratings - own)
        elif self.of == "users":
            own = self.mean + theirs[:, None] + self.user_bias[_placed(raters, self.user_bias)]
            by_user = self.near(who, raters, given - own)
        return value + (by_item.sum(1) if self.of else 0) + by_user.sum(1), terms, by_item, by_user


NEAR = ("near", "alike")


class Neighbours(nn.Module):
    """The nearest of those whose ratings are there: `near` [R + 1, K], the most similar first, `alike` [R + 1, K]."""

    def __init__(self, arrays: Mapping[str, np.ndarray], neighbours: int, pull: float):
        super().__init__()
        self.neighbours, self.pull = neighbours, pull
        self.register_buffer("near", torch.from_numpy(arrays["near"].astype(np.int64)))
        self.register_buffer("alike", torch.from_numpy(np.ascontiguousarray(arrays["alike"], np.float32)))

    def forward(self, target: Tensor, others: Tensor, left: Tensor) -> Tensor:
        """What each of `others` [B, L] (R where there is none) adds, of what the biases leave of its rating, `left` [B, L]."""
        place, there = _placed(others, self.near), (others >= 0).to(left.dtype)
        none = torch.zeros(len(target), len(self.near), dtype=left.dtype)
        values, known = none.scatter_add(1, place, left * there), none.scatter_add(1, place, there)
        near, alike = self.near[target], self.alike[target]
        usable = known.gather(1, near) * (alike > 0)
        weight = alike * usable * (usable.cumsum(1) <= self.neighbours)
        adds = weight * values.gather(1, near) / (weight.sum(1, keepdim=True) + self.pull).clamp(min=1e-9)
        return none.scatter_add(1, near, adds).gather(1, place) * there


def _placed(numbers: Tensor, array: Tensor) -> Tensor:
    """The last row of an array for what is unknown."""
    return torch.where(numbers < 0, len(array) - 1, numbers)


class Rater(nn.Module):
    """Parts added up, each `scale` [parts] times, to a `constant`, and clipped to the scale of the ratings: OUTPUTS."""

    def __init__(self, parts: Sequence[Part], scale: np.ndarray, bounds: np.ndarray, constant: float = 0.0):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.constant, (self.low, self.high) = constant, bounds.tolist()
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = [[output * self.scale[number] for output in part(*inputs)] for number, part in enumerate(self.parts)]
        value, terms, by_item, by_user = (sum(outputs) for outputs in zip(*found))
        constant = torch.full_like(terms, self.constant) * torch.eye(len(TERMS), dtype=terms.dtype)[0]
        value = value + self.constant
        return value.clamp(self.low, self.high), value, terms + constant, by_item, by_user


def graph(rater: Rater, shape: tuple[int, int]) -> Graph:
    """`shape` says how many users and items there are."""
    return Graph("model", rater, AXES, OUTPUTS, example=_example(shape, rater.low), traced=TRACED, sizes=SIZES)


def _example(shape: tuple[int, int], low: float) -> Callable[[dict[str, int]], dict[str, Tensor]]:
    def make(sizes: dict[str, int]) -> dict[str, Tensor]:
        random, batch = np.random.default_rng(sizes["batch"]), sizes["batch"]
        user, item = (random.integers(-1, count, batch) for count in shape)
        rated, raters = (
            np.stack([_some(count, width, random) for _ in range(batch)])
            for count, width in ((shape[1], sizes["items"]), (shape[0], sizes["users"]))
        )
        ratings, given = (low + random.random(one.shape, np.float32) for one in (rated, raters))
        held = {"user": user, "item": item, "rated": rated, "ratings": ratings, "raters": raters, "given": given}
        return {name: torch.as_tensor(values) for name, values in held.items()}

    return make


def _some(count: int, width: int, random: np.random.Generator) -> np.ndarray:
    """int64 [width], none twice, -1 behind the last."""
    found = random.permutation(count)[: width - 1]
    return np.append(found, np.full(width - len(found), -1))
