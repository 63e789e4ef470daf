"""Examples to measure on: raw inputs with what is right, read by each model in its own way."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Example:
    """`raw` is the input as it came, `truth` what is right, by name; `read` is the input as the model that is measured takes it."""

    name: str
    raw: Any
    truth: Any
    read: Any = field(default=None, compare=False)
    # other columns of its row, by which figures may be parted
    fields: dict[str, str] = field(default_factory=dict, compare=False)


def reader_of(predictor: Any) -> Any:
    """Who says how an example is read: the predictor itself, of several as one the first."""
    return getattr(predictor, "members", [predictor])[0]
