"""THE loop, for every task: gradient steps over position-addressed batches, exactly resumable.

Everything a step computes is a function of (weights, optimizer state, step number): data are addressed by position, the learning
rate is a function of the step, and the random number generators are seeded from (seed, step, rank) at every step. So a run killed
at any step and started again is bit for bit the run that was never killed, on every process.
"""

import itertools
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bmtool.base.units import few
from bmtool.config.schema import BaseConfig
from bmtool.engine import distributed, shards
from bmtool.engine.device import Device
from bmtool.engine.optim import MovingAverage, Optimizers, Plateau, prefix_scale, rate_factor, sparse_parameters
from bmtool.engine.pruning import Pruned
from bmtool.engine.scaling import LossScale
from bmtool.engine.stages import stages
from bmtool.engine.task import Batch, Batches, Loss, Trained
from bmtool.errors import ConfigError, Untrainable
from bmtool.nn.lora import B

NAMED = 3  # layers that a message names

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")


class Stepped(NamedTuple):
    """What one optimizer step did: per phase the mean loss and gradient norm, and how much data all processes read."""

    step: int
    losses: dict[str, float]
    grad_norms: dict[str, float]
    rate_factor: float
    tokens: int
    examples: int
    elapsed_s: float


class _ByPosition(Dataset):
    def __init__(self, batches: Batches):
        self.batches = batches

    def __getitem__(self, position: int) -> Batch:
        return self.batches[position]


class Trainer:
    def __init__(self, task: Trained, config: BaseConfig, device: Device):
        self.task, self.config, self.device = task, config, device
        self.step, self.plateau, self.scale = 0, Plateau(config.schedule), LossScale()
        self.rank, self.world = distributed.rank(), distributed.world_size()
        self.is_sharded = shards.is_on(config.train)
        self._place(list(task.modules.values()))
        for helper in task.helpers.values():
            helper.to(device.device).eval().requires_grad_(False)
        self.named = {
            f"{name}.{key}": p for name, module in task.modules.items() for key, p in module.named_parameters()
        }
        self._stages = stages(task.modules)
        self.pruned = Pruned(task.modules, config.finetune.prune) if config.finetune.prune else None
        self.optimizers = self._optimizers()
        sparse = sparse_parameters(task.modules.values())
        self._buffers = {
            f"{name}.{key}": b for name, module in task.modules.items() for key, b in module.named_buffers()
        }
        self.average = MovingAverage(self.named, self._buffers, sparse, config.train.ema) if config.train.ema else None
        self._train_batches = task.batches("train", config.seed)
        self._valid_batches = task.batches("valid", None)

    def _place(self, modules: list[nn.Module]) -> None:
        """Modules to the device, whole or sharded."""
        if self.config.train.compile:
            self._compile((self.is_sharded and list(self.task.blocks())) or modules)
        if self.is_sharded:
            from bmtool.engine.sharding import shard

            self.root = shard(self.task, self.device)
        else:
            for module in modules:
                module.to(self.device.device)

    @property
    def mesh(self) -> "DeviceMesh | None":
        """Of the processes that share weights out."""
        return next(filter(shards.is_shard, self.named.values())).device_mesh if self.is_sharded else None

    def _compile(self, modules: Iterable[nn.Module]) -> None:
        for module in modules:
            # Batches of tokens are all of different sizes: compiled for any, where the first would be compiled for itself alone.
            module.compile(dynamic=self.task.unit == "tokens" or None)

    def _whole(self, compute: Callable[..., T], *given: object) -> T:
        """`compute(*given)`, for which shards are gathered; of sharded processes all call it at once."""
        return self.root(compute, *given) if self.is_sharded else compute(*given)

    def _optimizers(self) -> dict[str, Optimizers]:
        """Those of each phase, for the parameters of its modules, with the rates that their depth and names ask for."""
        settings, scales = self.config.finetune, {}
        for depth, names in enumerate(self._stages):
            for name in names:
                scales[name] = prefix_scale(name, settings.lr_scale) * settings.layer_decay**depth
        return {
            phase: Optimizers(
                {key: p for key, p in self.named.items() if key.split(".")[0] in parts},
                self.task.modules.values(), self.config.optim.of(phase), scales,
            )
            for phase, parts in self.task.phases.items()
        }  # fmt: skip

    # -- training -----------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> Iterator[Stepped]:
        """Train until `steps`, yielding after every step; the caller logs, validates, saves and stops."""
        self._set_mode(training=True)
        batches = self._stream()
        while self.step < steps:
            began = time.perf_counter()
            seed_everything(self.config.seed, self.step, self.rank)
            self._unfreeze()
            micro = [batch.to(self.device.device) for batch in itertools.islice(batches, self.config.train.accumulate)]
            factor = rate_factor(self.step, self.config.train.steps, self.config.schedule) * self.plateau.scale
            done = {phase: self._update(phase, micro, factor) for phase in self.task.phases}
            self.step += 1
            if self.average is not None:
                self.average.update(self.step)
            losses = {phase: loss for phase, (loss, _) in done.items()}
            norms = {phase: norm for phase, (_, norm) in done.items()}
            self.scale.passed()
            tokens, examples = (self.world * sum(counts) for counts in zip(*((b.tokens, b.size) for b in micro)))
            yield Stepped(self.step, losses, norms, factor, tokens, examples, time.perf_counter() - began)

    def _unfreeze(self) -> None:
        """Gradual unfreezing (Howard and Ruder 2018): so many stages, from the head down, learn at this step."""
        every = self.config.finetune.unfreeze_every
        if every is None:
            return
        for depth, names in enumerate(self._stages):
            for name in names:
                self.named[name].requires_grad_(depth * every <= self.step)
        self._set_mode(training=True)

    def _stream(self) -> Iterator[Batch]:
        """This process's batches from the current step on."""
        accumulate = self.config.train.accumulate
        positions = (
            (step * accumulate + micro) * self.world + self.rank
            for step in itertools.count(self.step)
            for micro in range(accumulate)
        )
        workers = self.config.train.workers
        if not workers:
            return (self._train_batches[position] for position in positions)
        return iter(
            DataLoader(
                _ByPosition(self._train_batches),
                batch_size=None,
                sampler=positions,
                num_workers=workers,
                prefetch_factor=4,
            )
        )

    def _update(self, phase: str, micro: list[Batch], factor: float) -> tuple[float, float]:
        optimizers = self.optimizers[phase]
        optimizers.set_rate(factor)
        mean, norm = self._gradients(phase, micro)
        while self.is_scaled and math.isfinite(mean) and not math.isfinite(norm) and self.scale.halve():
            seed_everything(self.config.seed, self.step, self.rank)
            mean, norm = self._gradients(phase, micro)
        if not (math.isfinite(mean) and math.isfinite(norm)):
            raise Untrainable(
                f"step {self.step + 1}: the loss is {mean} and the gradient norm {norm}. The last checkpoint is untouched; "
                "train on with a lower optim.lr, a longer schedule.warmup_steps or a smaller optim.clip_norm in a new run"
            )
        optimizers.step()
        if self.pruned is not None:
            self.pruned.clear()
        return mean, norm

    def _loss(self, phase: str, batch: Batch) -> Loss:
        """That of a task, of which its teacher has a share."""
        weight = self.config.train.teacher_weight
        with self.device.autocast():
            if self.task.teacher is None:
                return self._whole(self.task.loss, phase, batch)
            hard, soft = self.task.taught(batch, self.config.train.teacher_temperature)
            return Loss((1 - weight) * hard.total + weight * soft, hard.count)

    @property
    def is_scaled(self) -> bool:
        return self.device.dtype == torch.float16

    def _gradients(self, phase: str, micro: list[Batch]) -> tuple[float, float]:
        """Compute those of the mean loss over all micro-batches and processes; that mean, and the norm of the gradients."""
        optimizers, scale = self.optimizers[phase], self.scale.value if self.is_scaled else 1.0
        optimizers.zero_grad()
        total, count = 0.0, 0.0
        for batch in micro:
            loss = self._loss(phase, batch)
            (loss.total * scale if self.is_scaled else loss.total).backward()
            total, count = total + loss.total.item(), count + loss.count
        distributed.sum_gradients([p for p in optimizers.parameters if p.requires_grad and not shards.is_shard(p)])
        total, count = distributed.sum_numbers([total, count], self.device.device)
        optimizers.coalesce()
        if self.pruned is not None:
            self.pruned.clear_gradients()
        norm = optimizers.finish_gradients(max(count, 1) * scale)
        return total / max(count, 1), norm

    def rehearse(self, ahead: int = 0) -> Batch:
        """One forward and backward pass on the batch of a step `ahead`, without an update: what cannot work fails now. Returns the batch.

        Leaves weights, statistics of batch-norms, optimizers and the generators of random numbers as they were.
        """
        self._set_mode(training=True)
        position = (self.step + ahead) * self.config.train.accumulate * self.world
        with _undisturbed(self._buffers, self.device.device):
            seed_everything(self.config.seed, self.step + ahead, self.rank)
            # Features of a fixed backbone are computed with the first batch.
            batch = self._whole(self._train_batches.__getitem__, position).to(self.device.device)
            for phase in self.task.phases:
                self._loss(phase, batch).total.backward()
                self._require_reached(phase)
                self.optimizers[phase].zero_grad()
        return batch

    def _require_reached(self, phase: str) -> None:
        """ConfigError for an adapter that a loss does not depend on: its layer is there for its weight, and is never asked."""
        parts = self.task.phases[phase]
        named = [(name, p) for name, p in self.named.items() if name.split(".")[0] in parts and name.endswith(f".{B}")]
        if idle := [name.removesuffix(f".{B}") for name, p in named if p.grad is None]:
            raise ConfigError(
                f"finetune.lora.targets: {few(idle, NAMED)} cannot be adapted, for what uses it takes its weight alone: name other layers"
            )

    def _set_mode(self, training: bool) -> None:
        """Training mode for modules with something to train; a frozen one keeps its dropout off and its statistics fixed."""
        for module in self.task.modules.values():
            for part in module.modules():
                own = list(part.parameters())
                part.training = training and (not own or any(p.requires_grad for p in own))

    # -- validation ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Every figure of the task on the validation split, with the averaged weights if there are any; the same on every process."""
        meter, batches = self.task.meter(), self._valid_batches
        own = range(self.rank, batches.per_epoch, self.world)
        with self._measuring():
            for position in own:
                said, truth = self._answers(batches[position])
                meter.add(said, truth, np.ones((len(said), 1)))
            if self.is_sharded and len(own) * self.world < batches.per_epoch:
                # Others have one more: what they gather takes all, and of this nothing is kept.
                self._answers(batches[0])
        if self.world > 1:
            meter.join(distributed.gather(meter.state()))
        return {name: float(values[0]) for name, values in meter.figures().items()}

    def _answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        with self.device.autocast():
            return self._whole(self.task.answers, batch.to(self.device.device))

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Evaluation mode, with the averaged weights if there are any."""
        self._set_mode(training=False)
        if self.average is not None:
            self.average.swap()
        try:
            yield
        finally:
            if self.is_sharded:
                self.root.release()
            if self.average is not None:
                self.average.swap()
            self._set_mode(training=True)

    @torch.no_grad()
    def draw(self, folder: Path) -> None:
        """The task's pictures, with the averaged weights if there are any; of several processes the first draws them."""
        if self.rank == 0 and not self.is_sharded:
            with self._measuring():
                self.task.draw(folder)
        elif self.is_sharded:
            # All compute, since shards are gathered, and the others' are thrown away.
            with tempfile.TemporaryDirectory() as elsewhere, self._measuring():
                self._whole(self.task.draw, folder if self.rank == 0 else Path(elsewhere))

    # -- state --------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Every saved tensor by name: parameters and buffers."""
        return self.task.tensors()

    def weights(self) -> dict[str, Tensor]:
        """The tensors to use for anything but training on, without those that the run's base holds."""
        all_ = self.tensors() | (self.average.average if self.average is not None else {})
        return {name: value for name, value in all_.items() if name not in self.task.fixed}

    def state_dict(self) -> dict:
        """What resuming needs besides `weights()`; tensors and plain values only."""
        live = self.average.live if self.average is not None else {}
        return {
            "step": self.step,
            "optimizers": {phase: optimizers.state_dict() for phase, optimizers in self.optimizers.items()},
            "live_weights": {
                name: value.detach() if shards.is_shard(value) else value.detach().cpu() for name, value in live.items()
            },
            "plateau": [self.plateau.scale, self.plateau.waited],
        } | self._additions()

    def _additions(self) -> dict:
        """What only some trainings have."""
        return ({"pruned": self.pruned.state_dict()} if self.pruned is not None else {}) | (
            {"loss_scale": self.scale.state()} if self.is_scaled else {}
        )

    def load(self, weights: Mapping[str, Tensor], state: dict) -> None:
        """Take over what `weights` and `state_dict` gave; tensors may be whole or shared out."""
        self.load_weights(weights)
        if self.average is not None:
            for name, value in self.average.average.items():
                shards.copy(value, weights[name])
        self.load_weights({**weights, **state["live_weights"]})
        if self.is_scaled:
            self.scale.load(state["loss_scale"])
        for phase, saved in state["optimizers"].items():
            self.optimizers[phase].load_state_dict(saved)
        self.plateau.scale, self.plateau.waited = state["plateau"]
        if self.pruned is not None:
            self.pruned.load_state_dict(state["pruned"])
        self.step = state["step"]

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.tensors().items():
            if name not in self.task.fixed:
                shards.copy(value, weights[name])


@contextmanager
def _undisturbed(buffers: dict[str, Tensor], device: torch.device) -> Iterator[None]:
    """Puts back what a step would have changed besides weights: `buffers`, and the generators of random numbers."""
    kept = {name: buffer.clone() for name, buffer in buffers.items()}
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        for name, buffer in kept.items():
            buffers[name].copy_(buffer)


def seed_everything(*numbers: int) -> None:
    """Seed Python, numpy and torch (CPU and CUDA) with a mixture of `numbers`."""
    mixed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
