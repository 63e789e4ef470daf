"""The contract between a task and the engine, on one page.

Training, fitting and exporting call nothing else; a task that keeps this contract trains, resumes, runs data-parallel, exports, is
evaluated and served unchanged. What stands in the base classes is what most tasks do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.files import TRAIN_AGAIN
from bmtool.config.schema import BaseConfig
from bmtool.errors import DataError
from bmtool.measure.meter import Meter
from bmtool.nn.distillation import soft_nats
from bmtool.nn.graph import Graph
from bmtool.predict.backends import TorchBackend
from bmtool.predict.contract import Predictor


class Loss(NamedTuple):
    """A SUM over targets and how many there are. Means are formed once, by the trainer, over all micro-batches and ranks."""

    total: Tensor
    count: int  # type: ignore[assignment]  # of targets; nobody asks a Loss how often it holds something


class Best(NamedTuple):
    """The validation figure that decides which checkpoint is best, unless `train.best` names another."""

    metric: str
    mode: str  # "min" or "max"

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether a value improves on another; a number does on none and on NaN."""
        if than is None or np.isnan(than):
            return not np.isnan(value)
        return value < than if self.mode == "min" else value > than


class Allowed(NamedTuple):
    """What int8 may cost: so much of a figure of the evaluation, or without one of the mean distance of answers."""

    figure: str | None
    loss: float
    relative: bool = False  # a share of the figure


class Batch(Protocol):
    @property
    def size(self) -> int:
        """Examples."""
        ...

    @property
    def tokens(self) -> int:
        """Real (unpadded) inputs, in `Task.unit`, for throughput."""
        ...

    def to(self, device: torch.device) -> "Batch": ...


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


__all__ = [
    "TRAIN_AGAIN",
    "Allowed",
    "Batch",
    "Batches",
    "Best",
    "Fitted",
    "Graph",
    "Identity",
    "Loss",
    "Task",
    "Trained",
]


class Task:
    """What every task has, trained or fitted. `fresh` starts from prepared data, `open` from the assets of a run."""

    config: BaseConfig
    identity: Identity  # of a fresh one
    int8: ClassVar[Allowed]
    fitted: ClassVar[bool]  # set by the two kinds below: whether `fit` makes the model, or gradient steps do

    @classmethod
    def of(cls, config: Any) -> "type[Task]":
        """The class for a configuration: another one where some models of a task are trained and others are fitted."""
        return cls

    @classmethod
    def fresh(cls, config: Any) -> "Task":
        """From prepared data, for training."""
        raise NotImplementedError

    @classmethod
    def open(cls, config: Any, assets: Path) -> "Task":
        """For a run that predicts, from its `assets` directory alone."""
        raise NotImplementedError

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Take over what a checkpoint holds, to predict with it on `device`. DataError when something is missing."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """All that a predictor needs to know besides weights and files, as JSON; it is an export's metadata."""
        raise NotImplementedError

    def graphs(self) -> Sequence[Graph]:
        """What is exported, and what the predictor runs; none for a fitted task that computes with arrays alone."""
        raise NotImplementedError

    def predictor(self) -> Predictor:
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


def require_examples(split: str, count: int) -> None:
    """DataError now rather than a failure hours later when a split is empty."""
    if count == 0:
        raise DataError(
            f"the {split} split is empty: give more data, or a larger data.{split}_share, and prepare the data again"
        )


class Trained(Task):
    """A task with weights that are learned by gradient steps."""

    fitted: ClassVar = False
    modules: dict[str, nn.Module]  # every weight that is saved; a shared encoder is called `backbone` in every task
    # Frozen networks that the loss uses: the trainer moves them to the device and fixes them; they are never saved.
    helpers: Mapping[str, nn.Module] = {}
    phases: ClassVar[Mapping[str, tuple[str, ...]]]  # phase -> modules updated in it, in turn; one phase but for a GAN
    best: ClassVar[Best]
    unit: ClassVar[str]  # of throughput: "tokens", "images", "rows"
    # Modules whose weights mean nothing under another vocabulary or other classes.
    bound: ClassVar[tuple[str, ...]] = ()
    # The key with which `prepare-data` numbers words, categories and classes as a parent run does.
    numbered_by: ClassVar[str] = "data.vocabulary"
    core_parameters: int | None = None  # weights of the dense core, where they say more than all do
    # Names of weights that stay as the base of the run has them: no checkpoint of it holds them.
    fixed: frozenset[str] = frozenset()
    # Whose answers are learned beside the right ones.
    teacher: "Trained | None" = None

    def blocks(self) -> Iterable[nn.Module]:
        """What is gathered one at a time where weights are sharded: modules of whose weights only their own `forward` makes use."""
        return ()

    @classmethod
    def pretrained_from(cls, config: Any) -> Path | None:
        """Where the weights lie that a fresh one starts with, so that finetuning needs no parent run; None for random ones."""
        return None

    def take(self, weights: Path) -> set[str]:
        """Start with weights that lie where `pretrained_from` says, or were moved from there; the names of those that were found."""
        raise NotImplementedError

    @classmethod
    def untrainable_from_scratch(cls, config: Any) -> str:
        """Why a configuration can only be finetuned, and what to do; "" where it can be pretrained."""
        return ""

    def remark(self) -> str:
        """What to know of how it trains with its settings; "" for nothing."""
        return ""

    def batches(self, split: str, seed: int | None) -> Batches:
        """Batches of a split; `seed=None` for a fixed order (validation)."""
        raise NotImplementedError

    def loss(self, phase: str, batch: Any) -> Loss:
        """The training loss of one micro-batch."""
        raise NotImplementedError

    def refuses(self, teacher: "Trained") -> str:
        """Why what a model of the same task says cannot be learned from; "" where it can."""
        return f"{self.config.task} has no answers that another model could learn from"

    def taught(self, batch: Any, temperature: float) -> tuple[Loss, Tensor]:
        """The loss of one micro-batch, and how far its answers are from those of `teacher`, summed over the same targets."""
        scores = self.scores(batch)
        with torch.no_grad():
            theirs = self.teacher.scores(batch)  # type: ignore[union-attr]
        return self.loss_of(batch, scores), soft_nats(scores, theirs, temperature).sum()

    def scores(self, batch: Any) -> Tensor:
        """Of a task that gives labels: logits [B, classes]."""
        raise NotImplementedError

    def loss_of(self, batch: Any, scores: Tensor) -> Loss:
        """The training loss where the scores of a micro-batch are there."""
        raise NotImplementedError

    def meter(self) -> Meter:
        """An empty meter of one column: validation feeds it with what `answers` gives."""
        raise NotImplementedError

    def answers(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        """(said, truth) of one batch, as the meter takes them: what the network says, and what is right."""
        raise NotImplementedError

    def require_readable(self, parent: Path) -> None:
        """ConfigError with the way out when weights of a run, of any task, mean nothing for the data, such as those of other tokens."""

    def inherit(self, assets: Path) -> None:
        """Take from the assets of a parent run of the same task what finetuning keeps besides weights."""

    def renumbered(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a parent run, after `inherit`, with rows that stand for things in the order in which this task counts them."""
        return weights

    def backend(self) -> TorchBackend:
        return TorchBackend(self.graphs())

    def tensors(self) -> dict[str, Tensor]:
        """Every saved tensor by name: parameters and buffers."""
        return {
            f"{part}.{key}": value
            for part, module in self.modules.items()
            for key, value in module.state_dict().items()
        }

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        for part, module in self.modules.items():
            named = {key: f"{part}.{key}" for key in module.state_dict()}
            names = {key: name for key, name in named.items() if name not in self.fixed}
            if missing := [name for name in names.values() if name not in tensors]:
                raise DataError(
                    f"the checkpoint holds no {missing[0]}: it is of another model than its config.yaml says"
                )
            module.load_state_dict({key: tensors[name] for key, name in names.items()}, strict=not self.fixed)
            module.to(device).eval()


class Fitted(Task):
    """A task that counts, solves or hands over to a library; its run holds arrays, never a pickle.

    Its config is a `BaseConfig` of whose `train`, `optim`, `schedule` and `finetune` nothing applies: they are left as they are.
    """

    fitted: ClassVar = True
    unit: ClassVar[str] = "step"  # what `fit` yields figures of
    every: int = 1  # units from one line of the log to the next; metrics.jsonl has all
    best: Best
    # What `arrays` holds has these figures, where they are not those that came last.
    result: Mapping[str, float] | None = None

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        """Work, yielding figures of each unit (`train/...`, `valid/...`, that of `best` always); afterwards `arrays` holds the result.

        A signal may stop it anywhere; it is then done again from its start.
        """
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """What the run keeps: numbers of any shape by name."""
        raise NotImplementedError

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` gave."""
        raise NotImplementedError

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        self.load({name: tensor.numpy() for name, tensor in tensors.items()})
