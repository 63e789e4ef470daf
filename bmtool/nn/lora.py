"""LoRA (Hu et al. 2021): a layer keeps its weight W [O, I] and learns two small matrices beside it, W + scale B A.

B [O, R] begins at 0, A [R, I] at random. Of a convolution I counts all that a place of its output sees. A layer is changed where it stands,
so that its name and those of its weights stay as they are.
"""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

A, B = "lora_a", "lora_b"


class _Adapted(nn.Module):
    weight: Tensor
    lora_a: nn.Parameter
    lora_b: nn.Parameter
    lora_scale: float


class _Linear(_Adapted, nn.Linear):
    """The least arithmetic: W itself has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + functional.linear(functional.linear(x, self.lora_a), self.lora_b) * self.lora_scale


class _Other(_Adapted):
    """Any layer that computes with its own `weight`: it is given the sum. The kernel of a convolution is small beside its maps."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self._parameters["weight"]
        self._parameters["weight"] = _sum(self.weight, self.lora_a, self.lora_b, self.lora_scale)  # type: ignore[assignment]
        try:
            return super().forward(x)
        finally:
            self._parameters["weight"] = weight


@cache
def _adapted(kind: type[nn.Module]) -> type[nn.Module]:
    return _Linear if kind is nn.Linear else type(f"Adapted{kind.__name__}", (_Other, kind), {})


def adaptable(module: nn.Module) -> dict[str, nn.Module]:
    """The layers that can be adapted, by name: linear ones and convolutions, but for those whose weights another module computes with."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and not isinstance(layer, NonDynamicallyQuantizableLinear)
    }


def adapt(layer: nn.Module, rank: int, scale: float) -> None:
    """Give a layer its two matrices. It computes what it did until they have learned something."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    rows, columns = weight.flatten(1).shape
    layer.__class__ = _adapted(type(layer))
    layer.lora_a = nn.Parameter(weight.new_empty(rank, columns))
    layer.lora_b = nn.Parameter(weight.new_zeros(rows, rank))
    layer.lora_scale = scale  # type: ignore[assignment]
    nn.init.kaiming_uniform_(layer.lora_a, a=math.sqrt(5))


def is_of_adapter(name: str) -> bool:
    """Whether a tensor of this name is one of the two matrices."""
    return name.rpartition(".")[2] in (A, B)


@torch.no_grad()
def merged(tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The tensors of a model without adapters that computes the same, from those of one with them."""
    out = {name: tensor for name, tensor in tensors.items() if not is_of_adapter(name)}
    for name in tensors:
        layer, _, kind = name.rpartition(".")
        if kind == A:
            weight = f"{layer}.weight"
            out[weight] = _sum(out[weight], tensors[name], tensors[f"{layer}.{B}"], scale)
    return out


def _sum(weight: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    return weight + (b_OR @ a_RI).view_as(weight) * scale
