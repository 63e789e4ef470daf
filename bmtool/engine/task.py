"""The contract between a task and the engine, on one page.

The trainer and the exporter call nothing else; a task that keeps this contract trains, resumes, runs data-parallel, exports, is
evaluated and served unchanged. What stands in the base classes is what most tasks do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from bmtool.config.schema import BaseConfig
from bmtool.measure.meter import Meter
from bmtool.nn.graph import Graph
from bmtool.predict.backends import TorchBackend


class Loss(NamedTuple):
    """A SUM over targets and how many there are. Means are formed once, by the trainer, over all micro-batches and ranks."""

    total: Tensor
    count: int


class Best(NamedTuple):
    """The validation figure that decides which checkpoint is best, unless `train.best` names another."""

    metric: str
    mode: str  # "min" or "max"


class Allowed(NamedTuple):
    """What int8 may cost: so much of a figure of the evaluation, or without one of the mean distance of answers."""

    figure: str | None
    loss: float
    relative: bool = False  # a share of the figure


class Batch(Protocol):
    size: int  # examples
    tokens: int  # real (unpadded) inputs, in `Task.unit`, for throughput

    def to(self, device: Any) -> "Batch": ...


class Batches(Protocol):
    """Any batch by its position: the order is a function of (seed, epoch), so resuming seeks in constant time."""

    examples: int
    per_epoch: int  # batches

    def __getitem__(self, position: int) -> Any: ...


@dataclass(frozen=True)
class Identity:
    """What two runs must share before weights may pass from one to the other."""

    data_hash: str
    vocabulary: str  # sha256


__all__ = ["Allowed", "Batch", "Batches", "Best", "Fitted", "Graph", "Identity", "Loss", "Task", "Trained"]


class Task:
    """What every task has, trained or fitted. `fresh` starts from prepared data, `open` from the assets of a run."""

    config: BaseConfig
    identity: Identity  # of a fresh one
    int8: ClassVar[Allowed]

    @classmethod
    def fresh(cls, config: Any) -> "Task":
        """From prepared data, for training."""
        raise NotImplementedError

    @classmethod
    def open(cls, config: Any, assets: Path) -> "Task":
        """For a run that predicts, from its `assets` directory alone."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """All that a predictor needs to know besides weights and files, as JSON; it is an export's metadata."""
        raise NotImplementedError

    def graphs(self) -> Sequence[Graph]:
        """What is exported, and what the predictor runs; none for a fitted task that computes with arrays alone."""
        raise NotImplementedError

    def predictor(self) -> Any:
        """Raw input to values, independent of batch size and padding; the same code behind every command."""
        raise NotImplementedError

    def assets(self) -> dict[str, str | bytes]:
        """File name -> contents of what makes a run directory self-contained: vocabularies, labels, tables. Asked for once a run."""
        return {}

    def settle(self) -> dict[str, str | bytes]:
        """Files that join the assets once training is over, asked for with the best weights: what is chosen on the validation split."""
        return {}

    def packed(self) -> dict[str, bytes]:
        """File name -> contents of what an export holds beside the graphs."""
        return {}

    def draw(self, folder: Path) -> None:
        """Pictures (PNG) of what goes in and comes out, for the run's plots/: before training and after each validation."""


class Trained(Task):
    """A task with weights that are learned by gradient steps."""

    modules: dict[str, nn.Module]  # every weight that is saved; a shared encoder is called `backbone` in every task
    helpers: Mapping[str, nn.Module] = {}  # frozen networks that the loss uses: moved to the device, never saved
    phases: ClassVar[Mapping[str, tuple[str, ...]]]  # phase -> modules updated in it, in turn; one phase but for a GAN
    best: ClassVar[Best]
    unit: ClassVar[str]  # of throughput: "tokens", "images", "rows"
    bound: ClassVar[
        tuple[str, ...]
    ] = ()  # modules whose weights mean nothing under another vocabulary or other classes
    pretrained: bool = (
        False  # whether the modules start with weights of elsewhere, so that finetuning needs no parent run
    )
    core_parameters: int | None = None  # weights of the dense core, where they say more than all do

    def batches(self, split: str, seed: int | None) -> Batches:
        """Batches of a split; `seed=None` for a fixed order (validation)."""
        raise NotImplementedError

    def loss(self, phase: str, batch: Any) -> Loss:
        """The training loss of one micro-batch."""
        raise NotImplementedError

    def meter(self) -> Meter:
        """An empty meter of one column: validation feeds it with what `answers` gives."""
        raise NotImplementedError

    def answers(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        """(said, truth) of one batch, as the meter takes them: what the network says, and what is right."""
        raise NotImplementedError

    def inherit(self, assets: Path) -> None:
        """Take from the assets of a parent run of the same task what finetuning keeps besides weights."""

    def backend(self) -> TorchBackend:
        return TorchBackend(self.graphs())


class Fitted(Task):
    """A task that counts, solves or hands over to a library; its run holds arrays, never a pickle."""

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        """Work, yielding figures as they come (`valid/...`); afterwards `arrays` holds the result."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """What the run keeps."""
        raise NotImplementedError

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` gave."""
        raise NotImplementedError
