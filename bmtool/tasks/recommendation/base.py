"""What all models of recommendation share, fitted and trained: items and users, figures, what an answer is made from."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import nn

from bmtool.engine.task import Allowed, Best, Graph, Identity
from bmtool.measure.topn import RankingMeter
from bmtool.predict.assets import Held
from bmtool.predict.backends import TorchBackend
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.models import RULE, begun
from bmtool.tables.interactions.store import Interactions, open_same
from bmtool.tasks.recommendation.config import Config
from bmtool.tasks.recommendation.modules import graph
from bmtool.tasks.recommendation.predict import Recommender

T = TypeVar("T", bound="Recommends")
FIGURE = "ndcg@10"


class Recommends:
    """A subclass makes `scorer`: a module that gives scores [B, items] of histories [B, L] (item numbers, the earliest first, -1 behind the
    last), and says with `reasons` how its answers are explained (`predict.About`)."""

    config: Config
    identity: Identity
    int8: ClassVar = Allowed(None, 0.01)
    best: ClassVar = Best(FIGURE, "max")
    reasons: str = "without"
    # Numbers that an item of a history takes while the model reads it, at a guess.
    width: int = 64
    # Items of a history that it reads at most; 0: all.
    longest: int = 0

    def __init__(self, config: Config, known: Known, rule: str):
        self.config, self.known, self.rule = config, known, rule

    @classmethod
    def fresh(cls: type[T], config: Config) -> T:
        """DataError without training or validation rows."""
        held, identity = begun(config.data)
        made = cls(config, Known.of(held), held.manifest["rule"])
        made.identity = identity
        return made

    @classmethod
    def open(cls: type[T], config: Config, assets: Path) -> T:
        return cls(config, Known.open(assets), (assets / RULE).read_text("utf-8"))

    @cached_property
    def held(self) -> Interactions:
        """The prepared data, for training."""
        return open_same(self.config.data)

    def scorer(self) -> nn.Module:
        raise NotImplementedError

    def assets(self) -> dict[str, str | bytes]:
        return {**self.known.files(), RULE: self.rule}

    def packed(self) -> dict[str, bytes]:
        return self.known.files()

    def about(self) -> dict[str, Any]:
        columns, model = self.config.data.columns, self.config.model
        return {
            "kind": model.kind, "columns": {"user": columns.user, "item": columns.item}, "rule": self.rule, "reasons": self.reasons,
            "decay": getattr(model, "decay", 1.0), "last": getattr(model, "last", 0), "longest": self.longest, "width": self.width,
        }  # fmt: skip

    def graphs(self) -> list[Graph]:
        return [graph(self.scorer(), len(self.known.items))]

    def predictor(self) -> Recommender:
        return Recommender(self.about(), TorchBackend(self.graphs()), Held(self.known.files))

    def meter(self) -> RankingMeter:
        return RankingMeter(self.known.measured())
