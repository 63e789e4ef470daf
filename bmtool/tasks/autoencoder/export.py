"""An autoencoder as ONNX files, compared with PyTorch before they are kept: the whole, and beside it encoder and decoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.engine import export as onnx_export
from bmtool.engine.onnx import open_model
from bmtool.errors import ExportMismatch
from bmtool.images.pictures import as_input
from bmtool.images.prepare import Images
from bmtool.tasks.autoencoder.onnx import from_onnx

TOLERANCE = 1e-3  # on pixels in 0 .. 1, float32
INT8_LOSS = 0.1  # the largest rise of the squared error that int8 may cost, as a share of it
IMAGES = 200
BATCHES = (1, 2, 7)


class _Part(nn.Module):
    def __init__(self, task: Any, part: str):
        super().__init__()
        self.held = nn.ModuleDict(task.modules)
        self._task, self._part = [task], part

    def forward(self, given: Tensor) -> tuple[Tensor, ...] | Tensor:
        task = self._task[0]
        if self._part == "decoder":
            return task.modules["decoder"](given).sigmoid()
        code = task.encode(given)
        return code if self._part == "encoder" else (code, task.modules["decoder"](code).sigmoid())


def export(task: Any, path: Path, *, int8: bool, metadata: dict) -> dict:
    """Write `path`, NAME.encoder.onnx and NAME.decoder.onnx beside it, and return the report.

    Raises ExportMismatch, leaving no file, when the whole disagrees with PyTorch.
    """
    data = task.config.data
    valid = Images(data.prepared, "valid")
    pixels = valid.pixels(np.arange(min(IMAGES, len(valid))))
    about = {"size": data.size, "channels": data.channels, "code": task.config.code, "int8": int8}
    image, code = torch.rand(3, data.channels, data.size, data.size), torch.randn(3, task.config.code)
    parts = {
        "whole": ("images", image, ["code", "reconstruction"]),
        "encoder": ("images", image, ["code"]),
        "decoder": ("code", code, ["reconstruction"]),
    }
    with onnx_export.kept_if_good(path) as working:
        for part, (name, example, outputs) in parts.items():
            proto = onnx_export.trace(
                _Part(task, part).cpu().eval(), {name: example}, {name: ("batch", *example.shape[1:])}, outputs
            )
            if int8:
                proto = onnx_export.quantise_with(proto, _samples(task, part, pixels, name))
            file = working if part == "whole" else working.with_name(f"{working.stem}.{part}.onnx")
            onnx_export.save(proto, file, metadata | about | {"part": part})
        exported, ours = from_onnx(working, *open_model(working)), task.predictor()
        report = _int8_report(ours, exported, pixels) if int8 else _parity(ours, exported, pixels)
    return report | {"bytes": path.stat().st_size}


def _samples(task: Any, part: str, pixels: np.ndarray, name: str) -> list[dict]:
    given = as_input(pixels)
    given = task.predictor().run(pixels)[0] if part == "decoder" else given
    return [{name: given[i : i + 1]} for i in range(len(given))]


def _parity(ours: Any, exported: Any, pixels: np.ndarray) -> dict:
    worst = 0.0
    for count in BATCHES:
        taken = np.resize(pixels, (count, *pixels.shape[1:]))
        worst = max(worst, float(np.abs(ours.run(taken)[1] - exported.run(taken)[1]).max()))
    if not worst <= TOLERANCE:
        raise ExportMismatch(
            f"pixels differ from PyTorch's by {worst:.2g} (allowed {TOLERANCE:g}); nothing was written"
        )
    return {"largest_pixel_difference": worst, "tolerance": TOLERANCE, "images_compared": sum(BATCHES)}


def _int8_report(ours: Any, exported: Any, pixels: np.ndarray) -> dict:
    before, after = (float(np.square(p.run(pixels)[1] - pixels / np.float32(255)).mean()) for p in (ours, exported))
    if not after <= before * (1 + INT8_LOSS):
        raise ExportMismatch(
            f"int8 raises the squared error from {before:.5f} to {after:.5f} (allowed: by {INT8_LOSS:.0%}); export without --int8"
        )
    return {"images": len(pixels), "mse_float32": before, "mse_int8": after, "allowed_rise": INT8_LOSS}
