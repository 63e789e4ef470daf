"""Recommenders that are counted or solved for, as the engine sees them."""

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
from torch import nn

from bmtool.base.memory import require_room
from bmtool.engine.task import Fitted
from bmtool.measure.bootstrap import BLOCK
from bmtool.predict.ranking import Evaluation
from bmtool.tables.interactions import examples
from bmtool.tables.interactions.models import as_part, of_part
from bmtool.tasks.recommendation import solve
from bmtool.tasks.recommendation.base import Recommends
from bmtool.tasks.recommendation.blending import weigh
from bmtool.tasks.recommendation.modules import Blend, Factors, Linear, Neighbours
from bmtool.tasks.recommendation.products import Matrix

# Rounds of conjugate gradients for a history, so many that more change nothing.
ROUNDS = 24
SCALE = "scale"


class FittedRecommender(Recommends, Fitted):
    unit: ClassVar = "fit"
    # of the parts of a blend, once it is chosen
    _scale: np.ndarray | None = None

    @property
    def reasons(self) -> str:
        """A sum is explained by its parts; what else is known of users changes with each item."""
        return {"popularity": "", "user-knn": "without", "als": "without", "blend": "without"}.get(
            self.config.model.kind, "parts"
        )

    @property
    def width(self) -> int:
        """The longest list of a part, or its factors."""
        sizes = [
            values.shape[1]
            for name, values in self._arrays.items()
            if name.split(".")[-1] in ("neighbours", "left", "factors")
        ]
        return max(sizes, default=1)

    def matrix(self, split: str) -> Matrix:
        """What is known of users when a split is measured."""
        rows = self.held.history(split)
        return Matrix(rows.bounds, rows.items, len(self.known.items))

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        self.load(self._solved(self.matrix("valid"), say))
        figures = {f"valid/{name}": value for name, value in self._figures().items()}
        if self.config.refit:
            say("solved again with the validation rows")
            self.load(self._solved(self.matrix("test"), say))
        yield figures

    def _solved(self, matrix: Matrix, say: Callable[[str], None]) -> solve.Arrays:
        settings = self.config.model
        if settings.kind == "blend":
            return self._blended(matrix, say)
        if settings.kind == "als":
            return {"factors": solve.factorised(settings, matrix, self.config.seed)}
        if settings.kind == "user-knn":
            instead = "choose model.kind: item-knn, which needs no row for each user"
            say(
                require_room(
                    2.0 * matrix.users * matrix.items, f"{matrix.users:,} users x {matrix.items:,} items", instead
                )
            )
            return {"taken": matrix.dense()}
        return solve.fit(settings, matrix, self.known, seed=self.config.seed, say=say)

    def _figures(self) -> dict[str, float]:
        """Of the validation, as an evaluation has them."""
        reader = self.predictor()
        evaluation, held = Evaluation(reader, 1), []
        for example in examples.split(self.config.data, self.held.path, "valid", [reader]):
            example.read = evaluation.read(example)
            held.append(example)
        for start in range(0, len(held), BLOCK):
            part = held[start : start + BLOCK]
            list(evaluation.add(part, np.ones((len(part), 1), np.float32)))
        return {name: float(values[0]) for name, values in evaluation.meter.figures().items()}

    def _blended(self, matrix: Matrix, say: Callable[[str], None]) -> solve.Arrays:
        """The arrays of all parts, and how much each counts."""
        parts, out = self.config.model.parts, solve.Arrays()
        for number, part in enumerate(parts):
            made = solve.fit(part, matrix, self.known, seed=self.config.seed, say=say)
            out |= as_part(number, made)
        modules = [self._part(number, out) for number in range(len(parts))]
        if self._scale is None:
            self._scale = weigh(modules, self.held, self.config.model.weights)
        out[SCALE] = self._scale
        counts = ", ".join(f"{part.kind} {scale:.4g}" for part, scale in zip(parts, out[SCALE].tolist()))
        say(f"how much each part counts: {counts}")
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        return self._arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays

    def scorer(self) -> nn.Module:
        settings, arrays = self.config.model, self._arrays
        match settings.kind:
            case "als":
                return Factors(arrays["factors"], alpha=settings.alpha, l2=settings.l2, rounds=ROUNDS)
            case "user-knn":
                return Neighbours(arrays["taken"], settings.similarity, settings.neighbours)
            case "blend":
                return Blend([self._part(number, arrays) for number in range(len(settings.parts))], arrays[SCALE])
        return self._linear(settings, arrays)

    def _part(self, number: int, arrays: solve.Arrays) -> Linear:
        return self._linear(self.config.model.parts[number], of_part(number, arrays))

    def _linear(self, settings: object, arrays: solve.Arrays) -> Linear:
        decay, last = getattr(settings, "decay", 1.0), getattr(settings, "last", None)
        return Linear(arrays, len(self.known.items), decay=decay, last=last)
