"""What of a model is exported."""

from typing import NamedTuple

from torch import Tensor, nn


class Graph(NamedTuple):
    """`module(*example.values())`, which gives `outputs`.

    `axes` has, for each input, a name for every axis that may be of any size and a number for every one that may not.
    """

    name: str
    module: nn.Module
    example: dict[str, Tensor]
    axes: dict[str, tuple[str | int, ...]]
    outputs: list[str]
