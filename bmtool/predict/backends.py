"""Where the graphs of a model run: one back end on PyTorch modules, one on an exported file.

A model is a few named graphs. The same predictor works on both back ends, which is why an export and its run answer alike.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from bmtool.nn.graph import Graph

Arrays = dict[str, Any]


class Backend(Protocol):
    def run(self, graph: str, feeds: Arrays) -> Arrays:
        """The outputs of a graph by name. Feeds are numpy arrays or what `run` and `take` gave before; numpy arrays come out of `numpy`."""
        ...

    def take(self, values: Any, rows: np.ndarray) -> Any:
        """Rows of an output, in another order or repeated."""
        ...

    def numpy(self, values: Any) -> np.ndarray: ...


class OnnxBackend:
    """An exported file: one session, of whose outputs a graph asks for its own."""

    def __init__(self, session: Any, outputs: Mapping[str, Sequence[str]]):
        self.session, self.outputs = session, outputs

    def run(self, graph: str, feeds: Arrays) -> Arrays:
        names = list(self.outputs[graph])
        return dict(zip(names, self.session.run(names, feeds)))

    def take(self, values: Any, rows: np.ndarray) -> Any:
        return values[rows]

    def numpy(self, values: Any) -> np.ndarray:
        return values


class TorchBackend:
    """The modules of a task, where they lie."""

    def __init__(self, graphs: "Sequence[Graph]"):
        self.graphs = {graph.name: graph for graph in graphs}

    def run(self, graph: str, feeds: Arrays) -> Arrays:
        import torch

        held = self.graphs[graph]
        device = next(chain(held.module.parameters(), held.module.buffers())).device
        tensors = [torch.as_tensor(feeds[name], device=device) for name in held.axes]
        with torch.no_grad():
            found = held.module(*tensors)
        return dict(zip(held.outputs, found if isinstance(found, tuple) else (found,)))

    def take(self, values: Any, rows: np.ndarray) -> Any:
        import torch

        return values[torch.as_tensor(rows, device=values.device)]

    def numpy(self, values: Any) -> np.ndarray:
        # numpy has no bfloat16
        return (values.float() if values.is_floating_point() and values.itemsize < 4 else values).cpu().numpy()
