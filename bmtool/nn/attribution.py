"""Attributions by gradients. Shapes: B rows, T tokens, D width."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gradients_times_input(embedding: nn.Module, score: Callable[[], Tensor]) -> Tensor:
    """[B, T]: what each token's vector, as `embedding` gives it, adds to the scores [B] that `score` computes with it, to first order
    (Shrikumar et al. 2017)."""
    held: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Tensor, ...], vectors: Tensor) -> Tensor:
        held.append(vectors.detach().requires_grad_())
        return held[-1]

    handle = embedding.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            total = score().float().sum()
        slope = torch.autograd.grad(total, held[-1])[0]
    finally:
        handle.remove()
    return (slope * held[-1]).sum(dim=-1).detach().float()
