"""Gradient-boosted trees as arrays and as a module that walks them. T trees, M nodes of all trees, S scores, C categories.

A leaf is a node whose two branches lead to itself, so that every row walks as many steps as the deepest tree has.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.needs import needs


class _Nodes:
    """Nodes of all trees, one after the other, filled from what LightGBM tells of a tree."""

    def __init__(self) -> None:
        # feature, threshold, left, right, missing goes left, missing is a value, member, value
        self.rows: list[tuple] = []
        # categories that go left; the first is for nodes on numbers
        self.members: list[list[int]] = [[]]

    def add(self, node: Mapping[str, Any]) -> int:
        """The number of a node that is added with all below it."""
        place = len(self.rows)
        self.rows.append(())
        if "leaf_value" in node:
            self.rows[place] = (0, 0.0, place, place, False, True, 0, node["leaf_value"])
            return place
        left, right = self.add(node["left_child"]), self.add(node["right_child"])
        threshold, member = node["threshold"], 0
        if node["decision_type"] == "==":
            member = len(self.members)
            self.members.append([int(category) for category in str(threshold).split("||")])
            threshold = 0.0
        aware = node["missing_type"] == "NaN"
        self.rows[place] = (
            node["split_feature"], threshold, left, right, bool(node["default_left"]), aware, member, 0.0
        )  # fmt: skip
        return place


def arrays(dump: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The trees of LightGBM's `dump_model` as arrays."""
    nodes = _Nodes()
    roots = [nodes.add(tree["tree_structure"]) for tree in dump["tree_info"]]
    feature, threshold, left, right, missing_left, aware, member, value = zip(*nodes.rows)
    width = 1 + max((max(held) for held in nodes.members if held), default=0)
    members = np.zeros((len(nodes.members), width), bool)
    for row, held in enumerate(nodes.members):
        members[row, held] = True
    depth = max(map(_depth, (tree["tree_structure"] for tree in dump["tree_info"])))
    return {
        "roots": np.array(roots, np.int64), "feature": np.array(feature, np.int64), "threshold": np.array(threshold, np.float64),
        "branches": np.array([right, left], np.int64).T.copy(), "missing_left": np.array(missing_left, bool),
        "aware": np.array(aware, bool), "member": np.array(member, np.int64), "members": members,
        "value": np.array(value, np.float64), "shape": np.array([dump["num_tree_per_iteration"], depth], np.int64),
    }  # fmt: skip


def scaled(held: Mapping[str, np.ndarray], mean: float, deviation: float) -> dict[str, np.ndarray]:
    """The trees of one score that give it times `deviation` plus `mean`, which the leaves of the first tree hold."""
    value = held["value"] * deviation
    value[: held["roots"][1] if len(held["roots"]) > 1 else len(value)] += mean
    return {**held, "value": value}


def _depth(node: Mapping[str, Any]) -> int:
    if "leaf_value" in node:
        return 0
    return 1 + max(_depth(node["left_child"]), _depth(node["right_child"]))


class Trees(nn.Module):
    """values [B, F] to scores [B, S], summed in double precision as LightGBM does.

    A number goes left where it is at most the threshold; a missing one where the node says, or counts as 0 where it has never seen one;
    a category goes left where the node's table says so.
    """

    def __init__(self, held: Mapping[str, np.ndarray]):
        super().__init__()
        self.scores, self.depth = held["shape"].tolist()
        for name in (
            "roots",
            "feature",
            "threshold",
            "branches",
            "missing_left",
            "aware",
            "member",
            "members",
            "value",
        ):
            self.register_buffer(name, torch.from_numpy(np.array(held[name])))
        self.branches = self.branches.flatten()
        self.categorical = bool(held["member"].any())

    def forward(self, values: Tensor) -> Tensor:
        node_BT = self.roots.expand(len(values), -1)
        for _ in range(self.depth):
            node_BT = self.branches[node_BT * 2 + self._goes_left(values, node_BT).long()]
        return self.value[node_BT].unflatten(1, (-1, self.scores)).sum(dim=1)

    def _goes_left(self, values: Tensor, node_BT: Tensor) -> Tensor:
        x_BT = values.gather(1, self.feature[node_BT]).double()
        missing = x_BT.isnan()
        number, told = torch.where(missing, 0.0, x_BT), missing & self.aware[node_BT]
        left = (told & self.missing_left[node_BT]) | (~told & (number <= self.threshold[node_BT]))
        if not self.categorical:
            return left
        member, last = self.member[node_BT], self.members.shape[1] - 1
        inside = self.members.flatten()[member * (last + 1) + number.long().clamp(0, last)] & (number <= last)
        return ((member > 0) & inside) | ((member == 0) & left)


class Rows(NamedTuple):
    """values [N, F] with NaN where a number is missing, target [N], weight [N] or None."""

    values: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None
    categories: Sequence[int] = ()  # places of the columns that hold categories


Judge = Callable[[np.ndarray], dict[str, float]]


class Grown(NamedTuple):
    """After a round: the figures so far, and those of the best round."""

    booster: Any
    figures: dict[str, float]
    best: dict[str, float]
    kept: int  # rounds up to the best
    rounds: int


def grow(  # noqa: PLR0913
    train: Rows, parameters: Mapping[str, Any], *, valid: np.ndarray, judge: Judge, rounds: int, patience: int
) -> Iterator[Grown]:
    """Add trees one round after the other to what fits the rows of `train`, and judge each by its scores [N, S] for the rows `valid`.

    `judge` gives figures, of which the first must fall; ends after `patience` rounds without a lower one, or where no split is left.
    ConfigError when LightGBM is not installed.
    """  # fmt: skip
    with needs("lightgbm", "model.kind: lightgbm takes a package of that name"):
        import lightgbm
    settings = {"verbosity": -1, "metric": "none", "deterministic": True, "force_row_wise": True, **parameters}
    made = lightgbm.Dataset(
        train.values, train.target, weight=train.weight, categorical_feature=train.categories, params=settings
    )
    booster, scores, kept, best = lightgbm.Booster(settings, made), 0.0, 0, {}
    for count in range(1, rounds + 1):
        if booster.update():
            return
        added = booster.predict(valid, raw_score=True, start_iteration=count - 1, num_iteration=1)
        scores = scores + added.reshape(len(valid), -1)
        figures = judge(scores)
        if not best or next(iter(figures.values())) < next(iter(best.values())):
            kept, best = count, figures
        yield Grown(booster, figures, best, kept, count)
        if count - kept >= patience:
            return
