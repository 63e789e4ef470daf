"""recommendation as the engine sees it."""

from pathlib import Path

from bmtool.engine import task
from bmtool.tasks.recommendation.base import Recommends
from bmtool.tasks.recommendation.config import Config
from bmtool.tasks.recommendation.fitted import FittedRecommender


class Task(task.Task):
    @classmethod
    def of(cls, config: Config) -> type[Recommends]:
        return FittedRecommender

    @classmethod
    def fresh(cls, config: Config) -> Recommends:
        return cls.of(config).fresh(config)

    @classmethod
    def open(cls, config: Config, assets: Path) -> Recommends:
        return cls.of(config).open(config, assets)
