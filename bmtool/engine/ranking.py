"""Which checkpoints are the best, by the validation figure that decides."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bmtool.base.suggest import suggest
from bmtool.engine.task import Best, Trained
from bmtool.errors import ConfigError
from bmtool.measure.meter import is_lower_better

OTHERS = 3  # figures that the line of a validation shows beside the one that decides


def deciding(task: Trained, asked: str | None) -> Best:
    """The figure that `train.best` asks for, or the task's own. ConfigError that names those there are."""
    if asked is None:
        return task.best
    names = list(task.meter().names)
    if asked not in names:
        raise ConfigError(
            f"train.best: {task.config.task} has no figure {asked!r}{suggest(asked, names)} (there are {', '.join(names)})"
        )
    return Best(asked, "min" if is_lower_better(asked) else "max")


def shown(metrics: Mapping[str, float], best: Best) -> str:
    """The figure that decides, the first there is, then what is the smaller the better (losses and errors); metrics.jsonl has all."""
    errors = [name for name in metrics if is_lower_better(name) and name != best.metric]
    names = dict.fromkeys([best.metric, next(iter(metrics)), *errors[:OTHERS]])
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in names)


class Ranking:
    """`value` is the best one so far, `waited` the number of validations since that gave a number; `names` are checkpoints, best first."""

    def __init__(self, best: Best, keep: int):
        self.best, self._keep = best, keep
        self.value: float | None = None
        self.waited = 0
        self._ranked: list[tuple[float, str]] = []

    @property
    def names(self) -> list[str]:
        return [name for _, name in self._ranked]

    def see(self, value: float) -> bool:
        """Hear of a validation: whether none was as good. NaN says nothing, and is not waited for."""
        if math.isnan(value):
            return False
        improved = self.best.is_better(value, self.value)
        self.value = value if improved else self.value
        self.waited = 0 if improved else self.waited + 1
        return improved

    def enter(self, found: Iterable[tuple[float, str]]) -> None:
        """Rank checkpoints (value, name) among those that are kept; of equal ones the earlier stays first."""
        real = [entry for entry in found if not math.isnan(entry[0])]
        ordered = sorted([*self._ranked, *real], key=lambda entry: entry[0], reverse=self.best.mode == "max")
        self._ranked = ordered[: self._keep]

    def leave(self, names: Collection[str]) -> None:
        """Forget checkpoints that are no more."""
        self._ranked = [entry for entry in self._ranked if entry[1] not in names]

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "waited": self.waited, "ranked": [list(entry) for entry in self._ranked]}

    def load(self, saved: dict[str, Any]) -> None:
        """Take over what `state` gave; nothing is ranked where nothing had been (see `upgrades.state`)."""
        self.value, self.waited = saved["value"], saved["waited"]
        self._ranked = [(value, name) for value, name in saved["ranked"] or []][: self._keep]

    def is_better_than_all(self, value: float) -> bool:
        return self.best.is_better(value, self._ranked[0][0])
