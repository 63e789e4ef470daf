"""Single tensors of which each process holds its rows: a shard is a DTensor, placed as `engine.sharding` does it.

Nothing here is imported of torch.distributed's tensors until there are some.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from bmtool.config.schema import Train
from bmtool.engine import distributed

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_on(settings: Train) -> bool:
    """Whether weights are shared out: a single process has all of them anyway."""
    return settings.sharding == "full" and distributed.world_size() > 1


def is_shard(tensor: Tensor) -> "TypeGuard[DTensor]":
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """What of it lies on this process: its rows of a shard, all of another tensor. Shares its memory."""
    with torch.no_grad():
        return tensor.to_local() if is_shard(tensor) else tensor


@torch.no_grad()
def copy(into: Tensor, value: Tensor) -> None:
    """Take over a value that is whole, or is shared out as `into` is."""
    local(into).copy_(local(placed_as(into, value)))


def placed_as(like: Tensor, value: Tensor) -> Tensor:
    """A whole value of the shape of `like`, shared out where that is; anything else as it is."""
    if not is_shard(like) or is_shard(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    # Without a source every process takes its own rows of what all have.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All of each in the first process's own memory, one after the other; nothing elsewhere. Every process calls it."""
    out = {}
    for name, value in tensors.items():
        full = value.full_tensor() if is_shard(value) else value
        if distributed.rank() == 0:
            out[name] = full.detach().cpu()
    return out


def norm(gradients: Iterable[Tensor], values: list[Tensor]) -> Tensor:
    """Of gradients together, some of which are shared out: the same on every process. `values` are their numbers on this one."""
    squares = {True: 0.0, False: 0.0}
    for gradient, one in zip(gradients, torch._foreach_norm(values), strict=True):
        squares[is_shard(gradient)] += one.item() ** 2
    (shared,) = distributed.sum_numbers([squares[True]], values[0].device)
    return torch.tensor(shared + squares[False]).sqrt()
