"""What of a model is exported, and what a predictor runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """A part of a model: a module from named inputs to named outputs.

    `axes` gives for each input, in the order of the module's arguments, a name for every axis that may be of any size and a number for
    every one that may not. `example` makes inputs for given sizes of the named axes; the graph is traced at `traced` and compared with
    PyTorch at `sizes`. A `part` becomes a file of its own beside the whole. Graphs named `start` and `step` become one file.
    """

    name: str
    module: nn.Module
    axes: Mapping[str, tuple[str | int, ...]]
    outputs: tuple[str, ...]
    example: Callable[[dict[str, int]], dict[str, Tensor]]
    traced: dict[str, int] = field(default_factory=lambda: {"batch": 3})
    sizes: tuple[dict[str, int], ...] = ({"batch": 1}, {"batch": 2}, {"batch": 7})
    part: bool = False
    calibrated: bool = False  # int8: activations too, with ranges from samples (convolutions); else weights only
