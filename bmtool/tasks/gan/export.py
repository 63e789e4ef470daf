"""A generator as an ONNX file, compared with PyTorch before it is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine import export as onnx_export
from bmtool.engine.onnx import open_model
from bmtool.errors import ExportMismatch
from bmtool.tasks.gan.onnx import from_onnx
from bmtool.tasks.gan.predict import noise

TOLERANCE = 1e-3  # on pixels in 0 .. 1, float32
INT8_TOLERANCE = 0.02  # on the mean difference of pixels
BATCHES = (1, 2, 7)
CALIBRATION = 128


class _Generator(nn.Module):
    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator

    def forward(self, drawn: Tensor) -> Tensor:
        return self.generator(drawn).sigmoid()


def export(task: Any, path: Path, *, int8: bool, metadata: dict) -> dict:
    """Write `path` and return the report. Raises ExportMismatch, leaving no file, when the generator disagrees with PyTorch."""
    data, width = task.config.data, task.config.noise
    whole = _Generator(task.modules["generator"]).cpu().eval()
    proto = onnx_export.trace(whole, {"noise": torch.randn(3, width)}, {"noise": ("batch", width)}, ["images"])
    if int8:
        proto = onnx_export.quantise_with(proto, [{"noise": noise([seed], width)} for seed in range(CALIBRATION)])
    about = {
        "noise": width,
        "size": data.size,
        "channels": data.channels,
        "features": task.config.features,
        "int8": int8,
    }
    with onnx_export.kept_if_good(path) as working:
        onnx_export.save(proto, working, metadata | about)
        exported, ours = from_onnx(working, *open_model(working)), task.predictor()
        differences = [np.abs(ours.make(range(count)) - exported.make(range(count))) for count in BATCHES]
        worst = float(max(d.mean() if int8 else d.max() for d in differences))
        allowed = INT8_TOLERANCE if int8 else TOLERANCE
        if not worst <= allowed:
            raise ExportMismatch(
                f"pixels differ from PyTorch's by {worst:.2g} (allowed {allowed:g}); nothing was written"
            )
    kind = "mean" if int8 else "largest"
    return {
        f"{kind}_pixel_difference": worst,
        "tolerance": allowed,
        "images_compared": sum(BATCHES),
        "bytes": path.stat().st_size,
    }
