"""autoencoder as the engine sees it."""

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.engine.task import Best, Identity, Loss
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch, PixelBatches, batches
from bmtool.images.prepare import Images
from bmtool.nn import vision
from bmtool.tasks.autoencoder import export
from bmtool.tasks.autoencoder.config import Config
from bmtool.tasks.autoencoder.predict import Autoencoder, beside

SHEET = 20  # images that are drawn with what is made of them


class Task:
    phases: ClassVar = {"model": ("backbone", "code", "decoder")}
    best = Best("mse", "min")
    pretrained: ClassVar = False
    bound: ClassVar = ()
    unit: ClassVar = "images"

    def __init__(self, config: Config, assets: Path | None = None):
        """From prepared images; or, for a run that only predicts, without them."""
        self.config, data, model = config, config.data, config.model
        mean = deviation = [0.5] * data.channels
        if assets is None:
            manifest = Images(data.prepared, "train").manifest
            mean, deviation = manifest["mean"], manifest["deviation"]
            self.identity = Identity(manifest["data_hash"], hashlib.sha256(b"").hexdigest())
        backbone = backbones.build(model, data, mean, deviation, pretrained=False)
        shape = (data.channels, data.size, data.size)
        size = _maps(backbone, torch.zeros(1, *shape)).shape[1]
        self.modules = {
            "backbone": backbone, "code": nn.Linear(size, config.code), "decoder": backbones.decoder(model, config.code, shape),
        }  # fmt: skip

    def batches(self, split: str, seed: int | None) -> PixelBatches:
        return batches(self.config, split, seed)

    def encode(self, images: Tensor) -> Tensor:
        """[B, code] of images [B, C, H, W]."""
        return self.modules["code"](_maps(self.modules["backbone"], images))

    def loss(self, phase: str, batch: Batch) -> Loss:
        seen = batch.images + self.config.noise * torch.randn_like(batch.images) if self.config.noise else batch.images
        logits = self.modules["decoder"](self.encode(seen))
        if self.config.loss == "bce":
            total = functional.binary_cross_entropy_with_logits(logits, batch.images, reduction="sum")
        else:
            total = functional.mse_loss(logits.sigmoid(), batch.images, reduction="sum")
        return Loss(total / batch.images[0].numel(), len(batch.images))

    def measure(self, batch: Batch) -> dict[str, tuple[float, int]]:
        made = self.modules["decoder"](self.encode(batch.images)).sigmoid()
        each = (made - batch.images).square().flatten(1).mean(dim=1)
        return {
            "mse": (each.sum().item(), batch.tokens),
            "psnr": ((-10 * each.clamp_min(1e-10).log10()).sum().item(), batch.tokens),
        }

    def draw(self, folder: Path) -> None:
        """Validation images, each beside what is made of it."""
        images = Images(self.config.data.prepared, "valid")
        pixels = images.pixels(np.arange(min(SHEET, len(images))))
        pictures.save(beside(pixels, self.predictor().reconstruct(pixels)), folder / "reconstructions.png")

    def predictor(self) -> Autoencoder:
        return Autoencoder(TorchBackend(self), self.config.data.size, self.config.data.channels)

    def export(self, path: Path, *, int8: bool, metadata: dict) -> dict:
        return export.export(self, path, int8=int8, metadata=metadata)

    def inherit(self, assets: Path) -> None:
        """Weights are all that is taken over."""

    def assets(self) -> dict[str, str | bytes]:
        return {}


def _maps(backbone: nn.Module, images: Tensor) -> Tensor:
    """[B, F'] of all that the backbone knows: its last feature maps, or its features where it has none."""
    maps = backbone.maps(images) if isinstance(backbone, vision.Cnn) else backbone(images)
    return maps.flatten(1)


class TorchBackend:
    """See `predict.Backend`."""

    def __init__(self, task: Task):
        self.task = task

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        device = next(self.task.modules["code"].parameters()).device
        code = self.task.encode(torch.from_numpy(images).to(device))
        made: Any = self.task.modules["decoder"](code).sigmoid()
        return code.float().cpu().numpy(), made.float().cpu().numpy()
