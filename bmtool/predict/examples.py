"""Examples to measure on: raw inputs with what is right, read by each model in its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Example:
    """`raw` is the input as it came, `truth` what is right, by name; `read` is the input as the model that is measured takes it.

    `fields` are the columns of the row that it was, by their names: what figures are told apart by.
    """

    name: str
    raw: Any
    truth: Any
    read: Any = field(default=None, compare=False)
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)
