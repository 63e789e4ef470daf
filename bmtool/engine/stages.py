"""The parts of a model from its output to its input: what gradual unfreezing and layer-wise learning rates go by."""

from torch import nn


def stages(modules: dict[str, nn.Module]) -> list[list[str]]:
    """Parameter names: all outside the backbone; then its blocks from the last to the first; then the rest of it."""
    backbone = modules.get("backbone")
    outside = [
        f"{part}.{key}"
        for part, module in modules.items()
        if part != "backbone"
        for key, _ in module.named_parameters()
    ]
    if backbone is None:
        return [outside]
    name_of = {id(p): f"backbone.{key}" for key, p in backbone.named_parameters()}
    blocks = [[name_of[id(p)] for p in block.parameters()] for block in reversed(list(getattr(backbone, "blocks", [])))]
    taken = {name for block in blocks for name in block}
    return [part for part in [outside, *blocks, [name for name in name_of.values() if name not in taken]] if part]
