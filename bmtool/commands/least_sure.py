"""`predict --uncertain N`: the inputs that a classifier is least sure of, to be labelled next."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bmtool.commands.loading import Loaded
from bmtool.config.options import Options
from bmtool.errors import ConfigError
from bmtool.measure import uncertainty
from bmtool.predict.values import Value


@dataclass(frozen=True)
class Unsure:
    """An answer with how sure it is: `margin` is 0 for the least sure, `entropy` in nats."""

    answer: Value
    margin: float
    entropy: float

    def record(self) -> dict[str, Any]:
        return self.answer.record() | {"margin": round(self.margin, 6), "entropy": round(self.entropy, 6)}

    def line(self) -> str:
        return f"{self.answer.line()}\tmargin {self.margin:.4f}\tentropy {self.entropy:.4f}"

    def distance(self, other: "Unsure") -> float:
        return self.answer.distance(other.answer)


class _Kept(NamedTuple):
    """In a heap whose first is the surest, of equal ones the last that came."""

    sure: float
    came: int
    entropy: float
    name: str
    item: Any


def require_classes(loaded: Loaded) -> None:
    """ConfigError for a model that gives no classes."""
    if loaded.entry.gives != "labels":
        raise ConfigError(
            f"--uncertain is for models that give classes, not for {loaded.task}, whose answer is of another kind"
        )


def answers(
    loaded: Loaded, chunks: Iterable[list[tuple[str, Any]]], options: Options, count: int
) -> Iterator[tuple[str, Any, Unsure]]:
    """(name, input as it was read, answer) of the `count` inputs with the smallest margin, in this order. No more are held."""
    kept: list[_Kept] = []
    came = 0
    for chunk in chunks:
        for (name, item), margin, entropy in zip(chunk, *_unsure(loaded.predictor, [item for _, item in chunk])):
            came += 1
            one = _Kept(-margin, -came, entropy, name, item)
            (heapq.heappush if len(kept) < count else heapq.heappushpop)(kept, one)
    chosen = sorted(kept, reverse=True)
    values = loaded.predictor.predict([one.item for one in chosen], options) if chosen else []
    for one, value in zip(chosen, values):
        yield one.name, one.item, Unsure(value, -one.sure, one.entropy)


def _unsure(predictor: Any, inputs: list[Any]) -> tuple[list[float], list[float]]:
    """Margins and entropies. Where classes are said each by itself, thresholds say from which probability on."""
    said, thresholds = predictor.probabilities(inputs), np.asarray(getattr(predictor, "thresholds", ()))
    if len(thresholds):
        return (
            uncertainty.margin_of_several(said, thresholds).tolist(),
            uncertainty.entropy_of_several(said).tolist(),
        )
    return uncertainty.margin(said).tolist(), uncertainty.entropy(said).tolist()
