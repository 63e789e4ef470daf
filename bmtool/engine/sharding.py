"""`train.sharding: full`: each process holds its rows of every weight, gradient and optimizer state (FSDP2, `fully_shard`).

Yanli Zhao et al.: PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel, VLDB 2023.

What is gathered, and when: the blocks that a task names, one at a time while they compute; all other weights while a loss, or an
answer, is computed. Imported where something is sharded only: it takes half a second.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from bmtool.engine import distributed
from bmtool.engine.device import Device
from bmtool.engine.optim import sparse_parameters
from bmtool.engine.task import Trained
from bmtool.errors import ConfigError

TESTED = "2.13"  # of torch: earlier ones lack what is called here
NORMS = (nn.LayerNorm, nn.RMSNorm)


class Root(nn.Module):
    """All modules of a task under one roof: what is computed within has their weights as if they were whole."""

    def __init__(self, modules: Mapping[str, nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(modules.values())

    def forward(self, compute: Callable[..., Any], *given: Any) -> Any:
        """`compute(*given)`; all processes compute at once, with the same calls of blocks."""
        return compute(*given)

    def release(self) -> None:
        """Let go of what was gathered for answers: no backward pass does it."""
        for module in _sharded(self):
            module.reshard()


def shard(task: Trained, device: Device) -> Root:
    """Share out the weights of a task and move what is this process's own to `device`, block by block. ConfigError with an older torch.

    Tables with sparse gradients stay whole: a step reads few of their rows.
    """
    if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
        raise ConfigError(
            f"train.sharding: full takes torch {TESTED}, and {torch.__version__} is here: `pip install --upgrade torch`, or leave it out"
        )
    mesh = init_device_mesh(device.device.type, (distributed.world_size(),))
    tables = sparse_parameters(task.modules.values())
    for table in tables:
        table.data = table.data.to(device.device)
    root = Root(task.modules)
    how: dict[str, Any] = {"mesh": mesh, "ignored_params": tables}
    for block in task.blocks():
        if device.dtype != torch.float32:
            for norm in [module for module in block.modules() if isinstance(module, NORMS)]:
                fully_shard(norm, reshard_after_forward=False, **how)
        fully_shard(block, mp_policy=_policy(device), **how)
    fully_shard(root, reshard_after_forward=False, **how)
    for module in _sharded(root):
        # A loss is a sum: gradients are added up over processes, and a missing one counts as zero.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
        module.set_reduce_scatter_unused_params(True)
    return root


def _policy(device: Device) -> MixedPrecisionPolicy:
    """Matrices of a block are gathered in the precision of their products, which halves what is sent; gradients are added up in float32.

    That is what autocast makes of them, under which blocks compute as ever. It leaves norms in float32, which are gathered so.
    """
    dtype = None if device.dtype == torch.float32 else device.dtype
    return MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _sharded(root: nn.Module) -> list[FSDPModule]:
    return [module for module in root.modules() if isinstance(module, FSDPModule)]
