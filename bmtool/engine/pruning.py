"""Magnitude pruning (Han et al. 2015): the smallest weights of linear layers and convolutions become 0, and stay so in training."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


def prunable(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The weights of linear layers and convolutions, by name; biases, norms and embeddings stay."""
    return dict(_weights(modules))


def _weights(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for part, module in modules.items():
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear | _ConvNd):
                yield ".".join(filter(None, (part, name, "weight"))), layer.weight


def zeros(modules: Mapping[str, nn.Module]) -> tuple[int, int]:
    """How many of these weights are 0, and how many there are."""
    weights = prunable(modules).values()
    return sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)


class Pruned:
    """The weights of a model of which a share is 0; gradients and optimizers are kept from changing that."""

    def __init__(self, modules: Mapping[str, nn.Module], share: float):
        """Sets this share of each layer's weights, those next to 0, to 0."""
        self.weights = prunable(modules)
        self.kept = {name: _largest(weight.detach(), share) for name, weight in self.weights.items()}
        self.clear()

    @torch.no_grad()
    def clear_gradients(self) -> None:
        for name, weight in self.weights.items():
            if weight.grad is not None:
                weight.grad.mul_(self.kept[name])

    @torch.no_grad()
    def clear(self) -> None:
        for name, weight in self.weights.items():
            weight.mul_(self.kept[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Which weights are kept, eight in a byte."""
        return {name: torch.from_numpy(np.packbits(kept.cpu().numpy())) for name, kept in self.kept.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, kept in self.kept.items():
            bits = np.unpackbits(state[name].numpy(), count=kept.numel())
            kept.copy_(torch.from_numpy(bits).view(kept.shape))


def _largest(weight: Tensor, share: float) -> Tensor:
    """Which weights are kept, bool: all but a share of the smallest; of equal ones the first go."""
    kept = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    kept[weight.abs().flatten().argsort(stable=True)[: round(share * weight.numel())]] = False
    return kept.view(weight.shape)
