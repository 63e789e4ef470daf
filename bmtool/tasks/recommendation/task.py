"""recommendation as the engine sees it."""

from pathlib import Path

from bmtool.engine import task
from bmtool.tasks.recommendation.base import Recommends
from bmtool.tasks.recommendation.config import Config
from bmtool.tasks.recommendation.fitted import FittedRecommender
from bmtool.tasks.recommendation.pairwise import BprMf, LightGcn
from bmtool.tasks.recommendation.sequence import SasRec

TRAINED: dict[str, type[Recommends]] = {"bpr-mf": BprMf, "lightgcn": LightGcn, "sasrec": SasRec}


class Task(task.Task):
    @classmethod
    def of(cls, config: Config) -> type[Recommends]:
        return TRAINED.get(config.model.kind, FittedRecommender)

    @classmethod
    def fresh(cls, config: Config) -> Recommends:
        return cls.of(config).fresh(config)

    @classmethod
    def open(cls, config: Config, assets: Path) -> Recommends:
        return cls.of(config).open(config, assets)
