"""rating-prediction as the engine sees it: all its models are solved for."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import save

from bmtool.engine import task
from bmtool.engine.task import Allowed, Best, Graph
from bmtool.errors import DataError
from bmtool.measure.numbers import NumberMeter
from bmtool.predict.assets import Folder, Held, arrays
from bmtool.predict.backends import TorchBackend
from bmtool.tables.interactions.known import Known
from bmtool.tables.interactions.models import RULE, as_part, begun, of_part
from bmtool.tables.interactions.store import Interactions, open_same
from bmtool.tasks.rating_prediction import solve
from bmtool.tasks.rating_prediction.config import Config
from bmtool.tasks.rating_prediction.modules import Part, Rater, graph
from bmtool.tasks.rating_prediction.predict import RATINGS, REASONS, VALUE, Predictor
from bmtool.tasks.rating_prediction.ratings import Arrays, Ratings

BOUNDS, SCALE = (
    "bounds",
    "scale",
)  # arrays that belong to no part; SCALE has the constant behind the weights of the parts


class Task(task.Fitted):
    """`known` holds the ratings of training as what users took, `values` [N] how they rated it."""

    config: Config
    unit: ClassVar = "round"
    int8: ClassVar = Allowed(None, 0.01)
    best = Best("rmse", "min")

    def __init__(self, config: Config, known: Known, values: np.ndarray, rule: str):
        self.config, self.known, self.values, self.rule = config, known, values, rule

    @classmethod
    def fresh(cls, config: Config) -> "Task":
        """DataError without training or validation rows, or where all ratings are equal."""
        held, identity = begun(config.data)
        train = held.split("train")
        values = np.asarray(train.values)
        if not np.ptp(values):
            raise DataError(
                f"all ratings of training are {values[0]:g}: there is nothing to predict; who takes what next is "
                "task: recommendation"
            )
        taken = train.popularity(len(held.items))
        known = Known(held.items, held.titles, None, None, taken, held.users, train.bounds, train.items)
        made = cls(config, known, values, held.manifest["rule"])
        made.identity = identity
        return made

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Task":
        values = np.asarray(arrays(Folder(assets), RATINGS)["values"])
        return cls(config, Known.open(assets), values, (assets / RULE).read_text("utf-8"))

    @cached_property
    def held(self) -> Interactions:
        """The prepared data, for fitting."""
        return open_same(self.config.data)

    # --- fitting ---

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        settings, ratings = self.config.model, Ratings.of(self.held.split("train"), len(self.known.items))
        bounds = np.array([ratings.values.min(), ratings.values.max()])
        if settings.kind == "blend":
            yield from self._blend(ratings, bounds, say)
            return
        best: Arrays = {}
        for arrays_ in solve.fit(settings, ratings, seed=self.config.seed, say=say):
            self.load({BOUNDS: bounds, SCALE: np.array([1.0, 0.0])} | as_part(0, arrays_))
            figures = self._figures()
            if self.best.is_better(figures["valid/rmse"], (self.result or {}).get("valid/rmse")):
                best, self.result = self._arrays, figures
            yield figures
        self.load(best)

    def _blend(self, ratings: Ratings, bounds: np.ndarray, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        """The figures of each part, and those of all of them together."""
        valid = Ratings.of(self.held.split("valid"), len(self.known.items))
        held, said = Arrays({BOUNDS: bounds}), list[np.ndarray]()
        for number, section in enumerate(self.config.model.parts):
            alone = Task(self.config.model_copy(update={"model": section}), self.known, self.values, self.rule)
            *_, last = alone.fit(say)
            figures = alone.result or last
            say(f"{section.kind} alone: rmse {figures['valid/rmse']:.4f}")
            held |= as_part(number, of_part(0, alone.arrays()))
            said.append(alone.predictor().values(*self._known(valid), output="unclipped"))
        held[SCALE] = solve.weights(np.stack(said, axis=1), valid.values)
        told = ", ".join(f"{part.kind} {one:.3f}" for part, one in zip(self.config.model.parts, held[SCALE].tolist()))
        say(f"how much each part counts: {told}")
        self.load(held)
        yield self._figures()

    def _figures(self) -> dict[str, float]:
        valid = Ratings.of(self.held.split("valid"), len(self.known.items))
        meter = NumberMeter()
        said = self.predictor().values(*self._known(valid))
        meter.add(said, valid.values.astype(np.float64), np.ones((len(said), 1)))
        return {f"valid/{name}": float(values[0]) for name, values in meter.figures().items()}

    def _known(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
        """Users and items, -1 for those without a rating in training."""
        rated = np.diff(self.known.bounds) > 0
        users = np.where(rated[ratings.rows], ratings.rows, -1)
        return users, np.where(self.known.taken[ratings.columns] > 0, ratings.columns, -1)

    # --- what it gives ---

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays

    def graphs(self) -> list[Graph]:
        settings = self.config.model
        chosen = settings.parts if settings.kind == "blend" else [settings]
        parts = [Part(of_part(number, self._arrays), part) for number, part in enumerate(chosen)]
        *scale, constant = self._arrays[SCALE].tolist()
        rater = Rater(parts, np.array(scale), self._arrays[BOUNDS], constant)
        return [graph(rater, (len(self.known.users), len(self.known.items)))]

    def about(self) -> dict[str, Any]:
        columns, kinds = self.config.data.columns, {part.kind for part in solve.parts_of(self.config.model)}
        low, high = self._arrays[BOUNDS].tolist()
        return {
            "kind": self.config.model.kind, "columns": {"user": columns.user, "item": columns.item}, "target": columns.rating,
            "rule": self.rule, "low": low, "high": high, "spread": float(np.std(self.values)),
            "reads": {
                "items": VALUE if "item-knn" in kinds else REASONS if "svdpp" in kinds else "",
                "users": VALUE if "user-knn" in kinds else "",
            },
            "width": solve.width(self._arrays),
        }  # fmt: skip

    def files(self) -> dict[str, bytes]:
        return self.known.files() | {RATINGS: save({"values": np.ascontiguousarray(self.values)})}

    def assets(self) -> dict[str, str | bytes]:
        return {**self.files(), RULE: self.rule}

    def packed(self) -> dict[str, bytes]:
        return self.files()

    def predictor(self) -> Predictor:
        return Predictor(self.about(), TorchBackend(self.graphs()), Held(self.files))
