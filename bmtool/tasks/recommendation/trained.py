"""What the recommenders that learn by gradient steps share: users to measure on, figures, rows of tables that another run has learned.
Shapes: B users, L items of the longest history, I items.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine.task import Allowed, Trained
from bmtool.measure.topn import Ranked, ranked
from bmtool.predict.ranking import CELLS
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.names import UNKNOWN
from bmtool.tables.interactions.store import Interactions
from bmtool.tasks.recommendation.base import Recommends
from bmtool.tasks.recommendation.predict import padded

USERS = 256  # that are measured at once, where their scores are not too many


@dataclass
class ToRank:
    """Users: what is known of them, `history` int64 [B, L] as a graph takes it and `seen` as a whole; what they took next, `right`."""

    history: Tensor
    seen: list[np.ndarray]
    right: list[np.ndarray]

    @property
    def size(self) -> int:
        return len(self.right)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.seen))

    def to(self, device: torch.device) -> "ToRank":
        return ToRank(self.history.to(device), self.seen, self.right)


class RankBatches:
    """All users who took something in a split, in the order of their numbers."""

    def __init__(self, held: Interactions, split: str, longest: int):
        self._history, self._right, self._longest = held.history(split), held.split(split), longest
        self._users = np.flatnonzero(self._right.counts)
        self._step = max(1, min(USERS, CELLS // max(1, len(held.items))))
        self.examples = len(self._users)
        self.per_epoch = -(-self.examples // self._step)

    def __getitem__(self, position: int) -> ToRank:
        batch = position % self.per_epoch
        users = self._users[batch * self._step : (batch + 1) * self._step].tolist()
        seen = [self._history.of(user) for user in users]
        history = padded([items[-self._longest :] for items in seen])
        return ToRank(torch.from_numpy(history), seen, [self._right.of(user) for user in users])


class TrainedRecommender(Recommends, Trained):
    """A subclass makes `to_learn`, the batches of the training split, and names the `tables` whose rows are items or users."""

    bound: ClassVar = ()
    int8: ClassVar = Allowed("ndcg@10", 0.01)
    # module and parameter -> whether its rows are "items" or "users"
    tables: ClassVar[dict[str, str]]
    # what the run that weights come from knows
    _parent: Known | None = None

    def to_learn(self, seed: int) -> Any:
        raise NotImplementedError

    def batches(self, split: str, seed: int | None) -> Any:
        return self.to_learn(seed or 0) if split == "train" else RankBatches(self.held, split, self.longest)

    @cached_property
    def _popular(self) -> np.ndarray:
        return np.argsort(-self.known.taken, kind="stable")

    def answers(self, batch: ToRank) -> tuple[Ranked, list[np.ndarray]]:
        """As an evaluation has them: who has no history is shown what is popular."""
        scores = self.scores_now(batch.history).float().cpu().numpy()
        nothing = [row for row, seen in enumerate(batch.seen) if not len(seen)]
        scores[nothing] = self.known.taken
        return ranked(scores, batch.seen, batch.right, self._popular), batch.right

    def scores_now(self, history: Tensor) -> Tensor:
        """[B, I], with the weights as they are."""
        return self.scorer()(history)

    def inherit(self, assets: Path) -> None:
        self._parent = Known.open(assets)

    def renumbered(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rows of tables by the ids of what they are about; what the other run does not know begins as it was drawn."""
        if self._parent is None:
            return weights
        mine, out = self.tensors(), dict(weights)
        for name, what in self.tables.items():
            if name in weights and weights[name].shape[1:] == mine[name].shape[1:]:
                out[name] = _carried(weights[name], mine[name], getattr(self._parent, what), getattr(self.known, what))
        return out


def _carried(theirs: Tensor, mine: Tensor, old: Any, new: Any) -> Tensor:
    numbers = old.numbers([new[number] for number in range(len(new))])
    there = torch.from_numpy(numbers != UNKNOWN)
    out = mine.detach().clone()
    out[there] = theirs[torch.from_numpy(numbers)[there]].to(out)
    return out


def table(rows: int, width: int, *, sparse: bool, deviation: float) -> nn.Embedding:
    """Vectors drawn from a normal distribution."""
    made = nn.Embedding(rows, width, sparse=sparse)
    nn.init.normal_(made.weight, std=deviation)
    return made
