"""A classifier as an ONNX file, compared with PyTorch before it is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine import export as onnx_export
from bmtool.engine.onnx import open_model
from bmtool.errors import ExportMismatch
from bmtool.images.prepare import Images
from bmtool.tasks.image_classification.onnx import from_onnx

TOLERANCE = 1e-3  # on probabilities, float32
INT8_LOSS = 0.01  # the largest fall in accuracy that int8 may cost
INT8_EXAMPLES, CALIBRATION = 500, 128
BATCHES = (1, 2, 7)


class _Whole(nn.Module):
    def __init__(self, modules: dict[str, nn.Module]):
        super().__init__()
        self.backbone, self.head = modules["backbone"], modules["head"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(images)
        return torch.log_softmax(self.head(features), dim=1), features


def export(task: Any, path: Path, *, int8: bool, metadata: dict) -> dict:
    """Write `path` and return the report. Raises ExportMismatch, leaving no file, when the model disagrees with PyTorch."""
    data = task.config.data
    whole = _Whole(task.modules).cpu().eval()
    axes = {"images": ("batch", data.channels, data.size, data.size)}
    proto = onnx_export.trace(
        whole, {"images": torch.rand(3, data.channels, data.size, data.size)}, axes, ["log_p", "features"]
    )
    valid = Images(data.prepared, "valid")
    pixels = valid.pixels(np.arange(min(INT8_EXAMPLES, len(valid))))
    if int8:
        batches = [
            {"images": pixels[i : i + 1].transpose(0, 3, 1, 2).astype(np.float32) / 255}
            for i in range(min(CALIBRATION, len(pixels)))
        ]
        proto = onnx_export.quantise_with(proto, batches)
    about = {
        "labels": task.labels,
        "size": data.size,
        "channels": data.channels,
        "views": task.config.views,
        "int8": int8,
    }
    with onnx_export.kept_if_good(path) as working:
        onnx_export.save(proto, working, metadata | about)
        exported, ours = from_onnx(working, *open_model(working)), task.predictor()
        labels = valid.labels[: len(pixels)]
        report = _int8_report(ours, exported, pixels, labels) if int8 else _parity(ours, exported, pixels)
    return report | {"bytes": path.stat().st_size}


def _parity(ours: Any, exported: Any, pixels: np.ndarray) -> dict:
    worst = 0.0
    for count in BATCHES:
        taken = np.resize(pixels, (count, *pixels.shape[1:]))
        worst = max(worst, float(np.abs(ours.probabilities(taken) - exported.probabilities(taken)).max()))
    if not worst <= TOLERANCE:
        raise ExportMismatch(
            f"probabilities differ from PyTorch's by {worst:.2g} (allowed {TOLERANCE:g}); nothing was written"
        )
    return {"largest_p_difference": worst, "tolerance": TOLERANCE, "images_compared": sum(BATCHES)}


def _int8_report(ours: Any, exported: Any, pixels: np.ndarray, labels: np.ndarray) -> dict:
    expected, found = ours.probabilities(pixels).argmax(1), exported.probabilities(pixels).argmax(1)
    before, after = float((expected == labels).mean()), float((found == labels).mean())
    if not before - after <= INT8_LOSS:
        raise ExportMismatch(
            f"int8 costs {before - after:.3f} of accuracy on {len(labels)} validation images (allowed {INT8_LOSS}); export without --int8"
        )
    return {
        "images": len(labels), "accuracy_float32": before, "accuracy_int8": after,
        "agreement": float((expected == found).mean()), "allowed_loss": INT8_LOSS,
    }  # fmt: skip
