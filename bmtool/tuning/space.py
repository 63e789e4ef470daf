"""What `--vary KEY=VALUES` says: keys of a configuration, and a range or a list of values for each."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from pydantic import BaseModel

from bmtool.config import document
from bmtool.config.document import VARIED
from bmtool.config.schema import BaseConfig
from bmtool.errors import ConfigError

# A range whose ends differ by at least this factor is searched by the logarithm.
LOG_FROM = 10
DIGITS = 4  # of a number that is proposed out of a range
DOTS = ".."
FORM = "write it as KEY=LOW..HIGH or KEY=VALUE,VALUE,..., for instance optim.lr=1e-4..1e-2"
Raw = int | float | str  # what a study holds of a value


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both among them."""

    low: float
    high: float
    integer: bool
    own: Any = None  # the configuration's own value, which is taken as it is

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high >= LOG_FROM * self.low

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high

    @property
    def size(self) -> float:
        return self.high - self.low + 1 if self.integer else math.inf

    def all(self) -> Iterator[Raw]:
        """Every value of a range of integers."""
        yield from range(int(self.low), int(self.high) + 1)

    def value(self, raw: Raw) -> Any:
        """What goes into the configuration."""
        if self.integer or raw == self.own:
            return raw
        return min(max(float(f"{raw:.{DIGITS}g}"), self.low), self.high)

    def raw(self, value: Any) -> Raw | None:
        """Of a configuration's value; None where the range lacks it."""
        return value if isinstance(value, (int, float)) and self.low <= value <= self.high else None

    def __str__(self) -> str:
        scale = "log" if self.log else "linear"
        return f"{self.low:g}{DOTS}{self.high:g}, {'integers, ' * self.integer}{scale} scale"


@dataclass(frozen=True)
class Choice:
    """One of several values of any kind."""

    values: Mapping[str, Any]  # as it is shown -> value

    @property
    def ends(self) -> tuple[Any, ...]:
        return tuple(self.values.values())

    @property
    def size(self) -> float:
        return len(self.values)

    def all(self) -> Iterator[Raw]:
        yield from self.values

    def value(self, raw: Raw) -> Any:
        return self.values[str(raw)]

    def raw(self, value: Any) -> Raw | None:
        return next((text for text, held in self.values.items() if held == value), None)

    def __str__(self) -> str:
        return ", ".join(self.values)


class Space(dict[str, Span | Choice]):
    """Key -> what it varies over."""

    @property
    def size(self) -> float:
        """How many combinations there are."""
        return math.prod(held.size for held in self.values())

    def combinations(self) -> Iterator[dict[str, Raw]]:
        """All of them, where they are finite, the first key slowest."""
        for combination in product(*(held.all() for held in self.values())):
            yield dict(zip(self, combination))

    def settings(self, raw: Mapping[str, Raw]) -> dict[str, Any]:
        """Key -> value for the configuration."""
        return {key: held.value(raw[key]) for key, held in self.items()}

    def of(self, config: BaseConfig) -> dict[str, Raw] | None:
        """The combination that a configuration holds; None where the space lacks it."""
        found = {key: held.raw(value_at(config, key)) for key, held in self.items()}
        return None if None in found.values() else found  # type: ignore[return-value]

    def described(self) -> dict[str, str]:
        return {key: str(held) for key, held in self.items()}


def read(texts: list[str], configured: Callable[[Mapping[str, Any]], BaseConfig]) -> Space:
    """The space of `KEY=VALUES` each; `configured` gives the configuration with values at some keys.

    ConfigError for what cannot be read, for keys that are named twice, and for values at the ends that the configuration does not take.
    """
    if not texts:
        raise ConfigError(f"tune needs {VARIED}: {FORM}")
    space = Space()
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values or "" in key.split("."):
            raise ConfigError(f"{VARIED} {text!r}: {FORM}")
        for other in space:
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise ConfigError(f"{VARIED} {key}: varied twice, by {other} too")
        space[key] = _dimension(key, values, configured)
    return space


def _dimension(key: str, values: str, configured: Callable[[Mapping[str, Any]], BaseConfig]) -> Span | Choice:
    is_range = DOTS in values and not set(values) & set(",/[]{}\"'")
    if not is_range:
        choice = Choice(_choices(key, values))
        for value in choice.ends:
            configured({key: value})
        return choice
    low, high = _ends(key, values)
    configured({key: high})
    integer = _takes_integers(configured({key: low}), key)
    return Span(low, high, integer, own=value_at(configured({}), key))


def _ends(key: str, values: str) -> tuple[float, float]:
    low, high = (document.value(part, f"{VARIED} {key}") for part in values.split(DOTS, 1))
    if not all(
        isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high)
    ):
        raise ConfigError(
            f"{VARIED} {key}={values}: a range has a number at both ends, as 1e-4..1e-2; a list has commas"
        )
    if low >= high:
        raise ConfigError(f"{VARIED} {key}={values}: the lower end comes first, and the ends differ")
    return low, high


def _choices(key: str, values: str) -> dict[str, Any]:
    listed = document.value(f"[{values}]", f"{VARIED} {key}")
    shown = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in listed]
    if len(set(shown)) < max(2, len(shown)):
        raise ConfigError(f"{VARIED} {key}={values}: give two values or more, each once; --set sets a key to one")
    return dict(zip(shown, listed))


def value_at(config: BaseConfig, key: str) -> Any:
    """What a configuration holds at a key; None where it holds nothing."""
    held: Any = config
    for part in key.split("."):
        held = held.get(part) if isinstance(held, dict) else getattr(held, part, None)
    return held.model_dump() if isinstance(held, BaseModel) else held


def _takes_integers(config: BaseConfig, key: str) -> bool:
    """Whether the key, which the configuration holds, is of integers alone."""
    *path, last = key.split(".")
    section: Any = config
    for part in path:
        section = section[part] if isinstance(section, dict) else getattr(section, part)
    if isinstance(section, dict):
        return False
    kinds = list(_kinds(type(section).model_fields[last].annotation))
    return int in kinds and float not in kinds


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)
