"""The contract between a task and the engine, on one page.

The trainer calls nothing else; a task that keeps this contract trains, resumes, runs data-parallel and exports unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from bmtool.config.schema import BaseConfig


class Loss(NamedTuple):
    """A SUM over targets and how many there are. Means are formed once, by the trainer, over all micro-batches and ranks."""

    total: Tensor
    count: int


class Best(NamedTuple):
    """The validation figure that decides which checkpoint is best."""

    metric: str
    mode: str  # "min" or "max"


class Batch(Protocol):
    tokens: int  # real (unpadded) inputs, in `Task.unit`, for throughput

    def to(self, device: Any) -> "Batch": ...


class Batches(Protocol):
    """Any batch by its position: the order is a function of (seed, epoch), so resuming seeks in constant time."""

    examples: int
    per_epoch: int  # batches

    def __getitem__(self, position: int) -> Batch: ...


@dataclass(frozen=True)
class Identity:
    """What two runs must share before weights may pass from one to the other."""

    data_hash: str
    vocabulary: str  # sha256


class Task(Protocol):
    config: BaseConfig
    identity: Identity
    pretrained: bool  # whether the modules start with weights of elsewhere, so that finetuning needs no parent run
    modules: dict[str, nn.Module]  # every weight that is saved; a shared encoder is called `backbone` in every task
    phases: ClassVar[Mapping[str, tuple[str, ...]]]  # phase -> modules updated in it, in turn; one phase but for a GAN
    best: ClassVar[Best]
    unit: ClassVar[str]  # of throughput: "tokens", "images"
    bound: ClassVar[tuple[str, ...]]  # modules whose weights mean nothing under another vocabulary or other classes

    def batches(self, split: str, seed: int | None) -> Batches:
        """Batches of a split; `seed=None` for a fixed order (validation)."""
        ...

    def loss(self, phase: str, batch: Any) -> Loss:
        """The training loss of one micro-batch."""
        ...

    def measure(self, batch: Any) -> dict[str, tuple[float, int]]:
        """(sum, count) of every validation figure on one batch; the trainer adds up and divides."""
        ...

    def draw(self, folder: Any) -> None:
        """Pictures (PNG) of what goes in and comes out, for the run's plots/: before training and after each validation."""
        ...

    def predictor(self) -> Any:
        """Raw input to raw output, independent of batch size and padding; the same code behind every command."""
        ...

    def export(self, path: Any, *, int8: bool, metadata: dict) -> dict:
        """Write an ONNX file beside the run and return the report of its comparison with PyTorch."""
        ...

    def inherit(self, assets: Any) -> None:
        """Take from the assets (a directory) of a parent run of the same task what finetuning keeps besides weights."""
        ...

    def assets(self) -> dict[str, str | bytes]:
        """File name -> contents of what makes a run directory self-contained: vocabularies, labels, tables. Asked for once a run."""
        ...
