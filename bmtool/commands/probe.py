"""`python -m bmtool.commands.probe`: which device `train.device: auto` takes here, as JSON, for whoever has not imported torch."""

import json
from typing import Any

import torch

from bmtool.config.schema import Train
from bmtool.engine.device import choose


def found() -> dict[str, Any]:
    """The device and why, what torch was built for, and every GPU that it sees: name and bytes."""
    chosen = choose(Train())
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(number) for number in range(cuda)]
    return {
        "device": chosen.device.type, "where": chosen.where, "why": chosen.why,
        "built_for": torch.version.cuda or torch.version.hip or "cpu",
        "gpus": [[gpu.name, gpu.total_memory] for gpu in gpus], "mps": torch.backends.mps.is_available(), "torchvision": _torchvision(),
    }  # fmt: skip


def _torchvision() -> str:
    """Why torchvision cannot be imported; "" when it can."""
    try:
        from bmtool import torchvision  # noqa: F401
    except Exception as error:  # what a library of another build raises is anything
        return (str(error).splitlines() or [type(error).__name__])[0]
    return ""


if __name__ == "__main__":
    print(json.dumps(found()))
