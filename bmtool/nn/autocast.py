"""Where mixed precision does not pay."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def in_float32(compute: Callable[..., T], *tensors: Tensor) -> T:
    """`compute(*tensors)`; under autocast on a CPU in float32, and otherwise as it comes.

    There bf16 loses time outside of large matrix products: the backward pass of attention takes several times as long, and small products
    of many shapes cost more, to cast and to make a kernel for each, than they save.
    """
    if not (tensors[0].device.type == "cpu" and torch.is_autocast_enabled("cpu")):
        return compute(*tensors)
    with torch.autocast("cpu", enabled=False):
        return compute(*(tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors))
