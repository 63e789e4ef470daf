"""Choosing where and in which precision to compute, and saying why."""

import ctypes
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from bmtool.base import environment
from bmtool.base.cores import cores, threads
from bmtool.config.schema import Train
from bmtool.errors import ConfigError

# What glibc's mallopt sets: how many blocks come from the system by themselves, and how much is kept that is free at the end.
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
KEPT = 256 << 20  # bytes
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TENSOR_CORES = 7  # the compute capability from which a GPU is faster in float16


@dataclass(frozen=True)
class Device:
    device: torch.device
    precision: str  # a key of DTYPES
    where: str
    why: str  # this precision

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def reason(self) -> str:
        """One line for the log."""
        return f"{self.where}; {self.why}"

    def autocast(self) -> AbstractContextManager:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose(settings: Train) -> Device:
    """The device and precision that `settings` ask for; ConfigError when the machine does not have them.

    `precision: auto` is float32 on a CPU until `engine.precision` has raced the two.
    """
    cuda, local_rank = torch.cuda.is_available(), environment.whole("LOCAL_RANK", 0)
    name = settings.device if settings.device != "auto" else "cuda" if cuda else "cpu"
    if name.startswith("cuda") and not cuda:
        raise ConfigError(
            f"train.device: {name} was asked for, but PyTorch {torch.__version__} sees no CUDA device here"
        )
    if name == "cuda":
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cpu":
        where = _threads(settings.threads) + ("" if cuda else " (no CUDA device)")
    else:
        torch.cuda.set_device(device)
        where = torch.cuda.get_device_name(device)
    precision, why = _precision(settings.precision, device)
    return Device(device, precision, where, why)


def keep_memory(device: torch.device) -> None:
    """Have the memory of one large tensor serve the next, on a CPU: glibc gives each back and asks for new pages, which takes longer than
    most of what is computed in them. Elsewhere there is nothing to set."""
    library = ctypes.CDLL(None)
    if device.type == "cpu" and hasattr(library, "mallopt"):
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, KEPT)


def make_deterministic(wanted: bool) -> None:
    """Only algorithms that give the same bits every time, or any. On a GPU cuBLAS promises that with a workspace of fixed size alone,
    which it is told by the environment before its first product."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)


def _threads(asked: int) -> str:
    """Give PyTorch its threads; says how many, and what made them fewer than there are cores."""
    torch.set_num_threads(asked or threads())
    count = torch.get_num_threads()
    fewer = not asked and "OMP_NUM_THREADS" in os.environ and count < cores()
    return f"CPU, {count} threads" + (f" of {cores()} cores (OMP_NUM_THREADS)" if fewer else "")


def _precision(asked: str, device: torch.device) -> tuple[str, str]:
    if asked != "auto":
        return asked, f"{asked}, as configured"
    if device.type == "cpu":
        return "fp32", "fp32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "bf16 autocast, because this GPU computes in it"
    if torch.cuda.get_device_capability(device)[0] >= TENSOR_CORES:
        return "fp16", "fp16 autocast with scaled losses, because this GPU has no bf16"
    return "fp32", "fp32, because this GPU has no bf16 and is no faster in fp16"
