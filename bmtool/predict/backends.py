"""Where the graphs of a model run: one back end on PyTorch modules, one on an exported file.

A model is a few named graphs. The same predictor works on both back ends, which is why an export and its run answer alike.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from bmtool.base.memory import resident_now

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
    """An exported file: one session, of whose outputs a graph asks for its own.

    onnxruntime keeps what a run took for the next one, and of runs of many sizes more than any of them takes. While the process has more
    than `most` bytes, what a run leaves is given back: such a run takes up to a third longer.
    """

    most: ClassVar[int | None] = None

    def __init__(self, session: Any, outputs: Mapping[str, Sequence[str]]):
        self.session, self.outputs = session, outputs

    def run(self, graph: str, feeds: Arrays) -> Arrays:
        names = list(self.outputs[graph])
        giving_back = self.most is not None and resident_now() > self.most
        return dict(zip(names, self.session.run(names, feeds, _giving_back() if giving_back else None)))

    def take(self, values: Any, rows: np.ndarray) -> Any:
        return values[rows]

    def numpy(self, values: Any) -> np.ndarray:
        return values


def _giving_back() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


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
