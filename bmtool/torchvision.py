"""torchvision, also where its own operators cannot load.

A torchvision built for CUDA fails to import beside a CPU build of torch (`operator torchvision::nms does not exist`), because it describes
operators that its library would have defined. With their schemas defined first, everything but detection works.
"""

import importlib.util
from pathlib import Path

import torch
from torch import library

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def define_missing_operators() -> library.Library | None:
    """Define the schemas that torchvision's library does not; None when it loads, and there is nothing to do."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for built in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(built))
            return None
        except OSError:
            continue
    operators = library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            operators.define(schema)
    return operators


OPERATORS = define_missing_operators()  # they live as long as this object

import torchvision  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

__all__ = ["torchvision", "tv_tensors", "v2"]
