"""The few things the trainer asks of torch.distributed. Without torchrun, world size is 1 and nothing here communicates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from bmtool.base import environment
from bmtool.errors import BmtoolError, ConfigError

T = TypeVar("T")


def rank() -> int:
    """Of this process, from 0. ConfigError when there are not so many."""
    number = environment.whole("RANK", 0)
    if number >= world_size():
        raise ConfigError(f"RANK={number} of WORLD_SIZE={world_size()}: start it with torchrun, or unset both")
    return number


def world_size() -> int:
    return environment.whole("WORLD_SIZE", 1, least=1)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the group that torchrun described in the environment, and leave it at the end; a program that has joined it stays in it."""
    if world_size() == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        dist.barrier()  # a process that leaves while another still works brings gloo's threads down with it
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


def sum_numbers(values: list[float], device: torch.device) -> list[float]:
    """Each value added up over all processes."""
    if world_size() == 1:
        return values
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def gather(arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
    """The arrays of every process, in the order of their ranks."""
    out: list[list[np.ndarray]] = [[]] * world_size()
    dist.all_gather_object(out, arrays)
    return out


def from_first(value: Any) -> Any:
    """What the first process gave, on every process."""
    if world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def together(work: Callable[[], T]) -> list[T]:
    """What `work` gave on each process, in the order of their ranks. Where it fails on one, all raise its error, and none waits."""
    done, error = None, None
    try:
        done = work()
    except Exception as failure:
        error = failure
    if world_size() == 1:
        outcomes: list[Any] = [(done, error)]
    else:
        outcomes = [None] * world_size()
        dist.all_gather_object(outcomes, (done, error if error is None else _sendable(error)))
    for failed in [error, *(other for _, other in outcomes)]:
        if failed is not None:
            raise failed
    return [one for one, _ in outcomes]


def on_first(work: Callable[[], T]) -> T:
    """What `work` gave on the first process, which alone does it, on all; or its error."""
    return together(work if rank() == 0 else lambda: None)[0]  # type: ignore[return-value]


def _sendable(error: Exception) -> Exception:
    """Those of others may hold anything."""
    return error if isinstance(error, (BmtoolError, OSError)) else RuntimeError(f"{type(error).__name__}: {error}")


def sum_gradients(parameters: list[Tensor]) -> None:
    """Add every parameter's gradient up over all processes, in place. Missing gradients count as zero."""
    if world_size() == 1:
        return
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    dense = [p.grad for p in parameters if p.grad is not None and not p.grad.is_sparse]
    if dense:
        flat = torch.cat([gradient.flatten() for gradient in dense])
        dist.all_reduce(flat)
        for gradient, summed in zip(dense, flat.split([gradient.numel() for gradient in dense])):
            gradient.copy_(summed.view_as(gradient))
    for p in parameters:
        if p.grad is not None and p.grad.is_sparse:
            p.grad = _sum_sparse(p.grad.coalesce())


def _sum_sparse(gradient: Tensor) -> Tensor:
    """Rows of all processes side by side; coalescing adds up those that meet."""
    rows, values = gradient.indices()[0], gradient.values()
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(counts))
    gathered_rows = [rows.new_zeros(longest) for _ in counts]
    gathered_values = [values.new_zeros(longest, values.shape[1]) for _ in counts]
    dist.all_gather(gathered_rows, torch.nn.functional.pad(rows, (0, longest - len(rows))))
    dist.all_gather(gathered_values, torch.nn.functional.pad(values, (0, 0, 0, longest - len(rows))))
    rows = torch.cat([r[: int(n)] for r, n in zip(gathered_rows, counts)])
    values = torch.cat([v[: int(n)] for v, n in zip(gathered_values, counts)])
    return torch.sparse_coo_tensor(rows[None], values, gradient.shape, check_invariants=False).coalesce()
