"""Bounds that a metric must hold: `cer<=0.08`."""

import math
import operator
import re
from contextlib import suppress
from dataclasses import dataclass

from bmtool.base.suggest import suggest
from bmtool.errors import ConfigError, GateMissed
from bmtool.measure.bootstrap import Figure

SHOWN = 80  # letters of a bound that a message repeats
_FORM = re.compile(r"\s*([\w@.]+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Bound:
    metric: str
    relation: str
    value: float

    def __str__(self) -> str:
        return f"{self.metric}{self.relation}{self.value:g}"


def parse(text: str) -> Bound:
    """ConfigError unless `text` reads METRIC<=NUMBER (or >=, <, >)."""
    if match := _FORM.fullmatch(text):
        with suppress(ValueError):
            bound = Bound(match[1], match[2], float(match[3]))
            if math.isfinite(bound.value):
                return bound
    shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    raise ConfigError(f'--require {shown!r}: write it as METRIC<=NUMBER, for instance "cer<=0.08"')


def _holds(bound: Bound, value: float) -> bool:
    """False for what is no number, whatever the bound."""
    return math.isfinite(value) and _COMPARE[bound.relation](value, bound.value)


def check_names(bounds: list[Bound], known: list[str]) -> None:
    """ConfigError for a metric that is not measured."""
    for bound in bounds:
        if bound.metric not in known:
            raise ConfigError(
                f"--require {bound}: unknown metric{suggest(bound.metric, known)} (there are {', '.join(known)})"
            )


def check(bounds: list[Bound], figures: dict[str, Figure]) -> None:
    """GateMissed naming every figure that misses its bound, as one does that is not a number. ConfigError for one that was not measured."""
    if unknown := [bound for bound in bounds if bound.metric not in figures]:
        said, has = ", ".join(map(str, unknown)), ", ".join(figures)
        raise ConfigError(f"--require {said}: not measured of this model with its settings (measured were {has})")
    values = {bound.metric: figures[bound.metric].value for bound in bounds}
    missed = [bound for bound in bounds if not _holds(bound, values[bound.metric])]
    if missed:
        shown = {m: f"{v:.4f}" if math.isfinite(v) else f"no number ({v:g})" for m, v in values.items()}
        listing = "; ".join(f"{b.metric} is {shown[b.metric]}, required {b.relation} {b.value:g}" for b in missed)
        raise GateMissed(f"quality gate missed: {listing}")
