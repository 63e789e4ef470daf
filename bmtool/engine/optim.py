"""Optimizers, learning-rate schedules, clipping and the moving average of the weights."""

import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from bmtool.config.schema import OptimSettings, Schedule
from bmtool.engine import shards

Scaled = tuple[float, Tensor]  # a factor on the learning rate, and the parameter that has it


def sparse_parameters(modules: Iterable[nn.Module]) -> set[Tensor]:
    """Tables whose rows get sparse gradients."""
    return {m.weight for module in modules for m in module.modules() if isinstance(m, nn.Embedding) and m.sparse}


def hidden_matrices(modules: Iterable[nn.Module]) -> set[Tensor]:
    """Weights of linear maps: what Muon updates, where AdamW updates the rest."""
    return {m.weight for module in modules for m in module.modules() if isinstance(m, nn.Linear)}


def decays(parameter: Tensor) -> bool:
    """Whether weight decay and L1 act on a parameter: matrices, not biases and norms."""
    return parameter.ndim > 1


class Optimizers:
    """The optimizers of one phase: for dense parameters, for tables with sparse rows, and for hidden matrices where Muon is wanted."""

    def __init__(
        self, named: Mapping[str, Tensor], modules: Collection[nn.Module], settings: OptimSettings, lr_scale: dict[str, float]
    ):  # fmt: skip
        """Updates the parameters `named`, which belong to `modules`."""
        self.settings = settings
        sparse = sparse_parameters(modules)
        hidden = hidden_matrices(modules) if settings.name == "muon" else set()
        self.parameters = [p for p in named.values() if p.requires_grad]
        dense, tables, matrices = (list[Scaled]() for _ in range(3))
        for name, parameter in named.items():
            if parameter.requires_grad:
                kind = tables if parameter in sparse else matrices if parameter in hidden else dense
                kind.append((prefix_scale(name, lr_scale), parameter))
        self._all: list[torch.optim.Optimizer] = []
        if matrices:
            self._all.append(_muon(_groups(matrices, settings.lr, settings.weight_decay)))
        if dense:
            self._all.append(_dense(_groups(dense, settings.lr, settings.weight_decay), settings))
        if tables:
            self._all.append(_sparse(_groups(tables, settings.sparse_lr or settings.lr, 0.0), settings))

    def set_rate(self, factor: float) -> None:
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor

    def finish_gradients(self, count: float) -> float:
        """Turn summed gradients into means over `count` targets, clip them, add L1; returns the norm before clipping."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        gradients.sort(key=lambda gradient: gradient.is_sparse)
        values = [g._values() if g.is_sparse else shards.local(g) for g in gradients]
        norm = (_norm(gradients, values) / count).item()
        clip = self.settings.clip_norm
        factor = min(1.0, clip / (norm + 1e-6)) / count if clip else 1.0 / count
        torch._foreach_mul_(values, factor)
        if self.settings.l1:
            for p in self.parameters:
                if p.grad is not None and not p.grad.is_sparse and decays(p):
                    shards.local(p.grad).add_(shards.local(p).sign(), alpha=self.settings.l1)
        return norm

    def coalesce(self) -> None:
        """Add up the rows that occur more than once in a sparse gradient."""
        for p in self.parameters:
            if p.grad is not None and p.grad.is_sparse:
                p.grad = p.grad.coalesce()

    def step(self) -> None:
        for optimizer in self._all:
            optimizer.step()

    def zero_grad(self) -> None:
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, state: list[dict]) -> None:
        for optimizer, saved in zip(self._all, state, strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            placed = {number: _placed(parameters[number], held) for number, held in saved["state"].items()}
            optimizer.load_state_dict(saved | {"state": placed})


def _norm(gradients: list[Tensor], values: list[Tensor]) -> Tensor:
    """Of all gradients together; `values` are their numbers on this process."""
    if any(map(shards.is_shard, gradients)):
        return shards.norm(gradients, values)
    norms = torch._foreach_norm(values) if gradients else [torch.zeros(())]
    return torch.linalg.vector_norm(torch.stack([n.float() for n in norms]))


def _placed(parameter: Tensor, state: dict) -> dict:
    """What an optimizer keeps of a parameter, shared out where that is."""
    return {key: shards.placed_as(parameter, held) if isinstance(held, Tensor) else held for key, held in state.items()}


def prefix_scale(name: str, lr_scale: dict[str, float]) -> float:
    """The factor of the longest prefix that fits."""
    fitting = [prefix for prefix in lr_scale if name.startswith(prefix)]
    return lr_scale[max(fitting, key=len)] if fitting else 1.0


def _groups(scaled: list[Scaled], lr: float, weight_decay: float) -> list[dict]:
    groups: dict[tuple[float, float], dict] = {}
    for scale, parameter in scaled:
        decay = weight_decay if decays(parameter) else 0.0
        group = groups.setdefault(
            (scale, decay), {"params": [], "lr": lr * scale, "base_lr": lr * scale, "weight_decay": decay}
        )
        group["params"].append(parameter)
    return list(groups.values())


def _dense(groups: list[dict], settings: OptimSettings) -> torch.optim.Optimizer:
    betas = settings.betas[0], settings.betas[1]
    match settings.name:
        case "adamw" | "muon":
            return torch.optim.AdamW(groups, betas=betas, fused=True)
        case "adam":
            return torch.optim.Adam(groups, betas=betas, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, momentum=settings.momentum)
        case "adagrad":
            return torch.optim.Adagrad(groups)
        case "rmsprop":
            return torch.optim.RMSprop(groups, momentum=settings.momentum)


def _muon(groups: list[dict]) -> torch.optim.Optimizer:
    """Orthogonalised momentum (Jordan 2024), scaled so that AdamW's learning rate fits (Liu et al. 2025, arXiv:2502.16982)."""
    return torch.optim.Muon(groups, adjust_lr_fn="match_rms_adamw")


def _sparse(groups: list[dict], settings: OptimSettings) -> torch.optim.Optimizer:
    """SGD and Adagrad take sparse rows themselves; for the others SparseAdam updates the moments of the rows it meets."""
    for group in groups:
        del group["weight_decay"]
    match settings.name:
        case "sgd":
            return torch.optim.SGD(groups)
        case "adagrad":
            return torch.optim.Adagrad(groups)
        case _:
            return torch.optim.SparseAdam(groups, betas=(settings.betas[0], settings.betas[1]))


def rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """The share of the configured learning rate at `step` (0-based) of `steps`: a pure function of the step.

    `plateau` is constant here; the trainer multiplies by what its validations have asked for.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    match schedule.name:
        case "linear":
            return 1.0 + (schedule.final - 1.0) * done
        case "wsd":  # Hu et al. 2024, "MiniCPM", section 4: training can go on from before the decay
            return 1.0 + (schedule.final - 1.0) * max(0.0, min(1.0, 1.0 - (steps - step) / schedule.decay_steps))
        case "cosine":
            return schedule.final + (1.0 - schedule.final) * 0.5 * (1.0 + math.cos(math.pi * done))
        case "exponential":
            return max(schedule.final, 1e-8) ** done
        case "step":
            return schedule.factor ** ((step - warmup) // schedule.step_every)
        case "inverse_sqrt":
            return math.sqrt(max(1, warmup) / max(1, warmup, step + 1))
        case _:
            return 1.0


def settled_steps(steps: int, schedule: Schedule) -> int:
    """So many first steps of a training of `steps` have the rate that they have in any longer one; 0 where it falls over all of them."""
    match schedule.name:
        case "wsd":
            return steps - schedule.decay_steps + 1
        case "linear" | "cosine" | "exponential":
            return 0
        case _:
            return steps


class Plateau:
    """Multiply the rate by `factor` after `patience` validations without a better figure."""

    def __init__(self, schedule: Schedule):
        self.schedule, self.scale, self.waited = schedule, 1.0, 0

    def see(self, improved: bool) -> None:
        if self.schedule.name != "plateau":
            return
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.schedule.plateau_patience:
            self.scale, self.waited = self.scale * self.schedule.factor, 0


class MovingAverage:
    """Exponential moving average of the trained weights (Polyak & Juditsky 1992), tables with sparse rows left out: they are as
    large as the rest together and hardly move. Statistics of batch-norms (`buffers`) are averaged alike, since those of other
    weights would not fit."""

    def __init__(self, named: Mapping[str, Tensor], buffers: Mapping[str, Tensor], sparse: set[Tensor], decay: float):
        self.decay = decay
        self.live: dict[str, Tensor] = {name: p for name, p in named.items() if p.requires_grad and p not in sparse}
        self.live |= {name: b for name, b in buffers.items() if b.is_floating_point()}
        self.average = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Early on the decay is smaller, so that the first weights are soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, live = (list(map(shards.local, held.values())) for held in (self.average, self.live))
        if live:
            torch._foreach_lerp_(averages, live, 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights in use with the averages; calling it again undoes it."""
        for name, parameter in self.live.items():
            kept = parameter.detach().clone()
            shards.copy(parameter, self.average[name])
            shards.copy(self.average[name], kept)
