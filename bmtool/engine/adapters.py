"""Adapters of a backbone (`finetune.lora`): which layers have some, which weights these are, and the model without them."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

from bmtool.base.units import short
from bmtool.config.schema import Lora
from bmtool.errors import ConfigError
from bmtool.nn import lora


def adapt(backbone: nn.Module, settings: Lora) -> None:
    """Give the layers that are meant adapters. ConfigError, naming the layers there are, for a target that fits none."""
    layers = lora.adaptable(backbone)
    if not layers:
        raise ConfigError("finetune.lora: the backbone of this model has no linear layers or convolutions to adapt")
    targets = settings.targets or ["*"]
    for target in targets:
        if not any(_is_meant(name, target) for name in layers):
            kinds = ", ".join(dict.fromkeys(re.sub(r"\b\d+\b", "*", name) for name in layers))
            raise ConfigError(
                f"finetune.lora.targets: no layer of the backbone is called {target!r} (there are {kinds})"
            )
    for name, layer in layers.items():
        if any(_is_meant(name, target) for target in targets):
            lora.adapt(layer, settings.rank, settings.scale)


def _is_meant(name: str, target: str) -> bool:
    """Whether a target is the name of a layer, or the end of it."""
    return fnmatchcase(f".{name}", f"*.{target}")


def of(names: Iterable[str]) -> set[str]:
    """Of the names of tensors those that are of adapters."""
    return {name for name in names if lora.is_of_adapter(name)}


def merged(tensors: Mapping[str, Tensor], settings: Lora) -> dict[str, Tensor]:
    """The tensors of a model without adapters that computes the same."""
    return lora.merged(tensors, settings.scale)


def said(backbone: nn.Module, settings: Lora) -> str:
    """How many layers have adapters, and their size."""
    held = {name: p for name, p in backbone.named_parameters() if lora.is_of_adapter(name)}
    size, layers = sum(p.numel() for p in held.values()), len(lora.adaptable(backbone))
    return f"adapters: rank {settings.rank} on {len(held) // 2} of {layers} layers of the backbone, {short(size, 2)} parameters"
