"""Choosing where and in which precision to compute, and saying why."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from bmtool.base import environment
from bmtool.base.cores import cores
from bmtool.config.schema import Train
from bmtool.errors import ConfigError


@dataclass(frozen=True)
class Device:
    device: torch.device
    dtype: torch.dtype
    reason: str  # one line for the log

    def autocast(self) -> AbstractContextManager:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose(settings: Train) -> Device:
    """The device and precision that `settings` ask for; ConfigError when the machine does not have them."""
    cuda, local_rank = torch.cuda.is_available(), environment.whole("LOCAL_RANK", 0)
    name = settings.device if settings.device != "auto" else "cuda" if cuda else "cpu"
    if name.startswith("cuda") and not cuda:
        raise ConfigError(
            f"train.device: {name} was asked for, but PyTorch {torch.__version__} sees no CUDA device here"
        )
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cpu":
        local_processes = environment.whole("LOCAL_WORLD_SIZE", 1, least=1)
        torch.set_num_threads(settings.threads or max(1, cores() // local_processes))
        where = f"CPU, {torch.get_num_threads()} threads" + ("" if cuda else " (no CUDA device)")
    else:
        torch.cuda.set_device(device)
        where = torch.cuda.get_device_name(device)
    dtype, why = _precision(settings.precision, device)
    return Device(device, dtype, f"{where}; {why}")


def _precision(asked: str, device: torch.device) -> tuple[torch.dtype, str]:
    if asked != "auto":
        return (torch.bfloat16 if asked == "bf16" else torch.float32), f"{asked}, as configured"
    if device.type == "cpu":
        return torch.float32, "fp32, because bf16 is no faster on most CPUs"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "bf16 autocast, because this GPU computes in it"
    return torch.float32, "fp32, because this GPU has no bf16"
