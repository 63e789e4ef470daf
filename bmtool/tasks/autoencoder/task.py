"""autoencoder as the engine sees it."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.engine.task import Allowed, Best, Graph, Loss
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch
from bmtool.images.prepare import Images
from bmtool.images.task import ImageTask, Statistics, uniform
from bmtool.nn import vision
from bmtool.tasks.autoencoder.config import Config
from bmtool.tasks.autoencoder.metrics import ReconstructionMeter
from bmtool.tasks.autoencoder.predict import Autoencoder, beside

SHEET = 20  # images that are drawn with what is made of them


class Task(ImageTask):
    phases: ClassVar = {"model": ("backbone", "code", "decoder")}
    best: ClassVar = Best("mse", "min")
    int8: ClassVar = Allowed("mse", 0.1, relative=True)

    def __init__(self, config: Config, statistics: Statistics, labels: list[str], *, pretrained: bool):
        self.config, data = config, config.data
        backbone = backbones.build(config.model, data, *statistics, pretrained=False)
        shape = (data.channels, data.size, data.size)
        size = _maps(backbone, torch.zeros(1, *shape)).shape[1]
        self.modules = {
            "backbone": backbone, "code": nn.Linear(size, config.code), "decoder": backbones.decoder(config.model, config.code, shape),
        }  # fmt: skip

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

    def meter(self) -> ReconstructionMeter:
        return ReconstructionMeter()

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        made = self.modules["decoder"](self.encode(batch.images)).float().sigmoid()
        return made.cpu().numpy(), batch.images.cpu().numpy()

    def draw(self, folder: Path) -> None:
        """Validation images, each beside what is made of it."""
        images = Images(self.config.data.prepared, "valid")
        pixels = images.pixels(np.arange(min(SHEET, len(images))))
        made = pictures.as_pixels(self.predictor().run(pixels)[1])
        pictures.save(beside(pixels, made), folder / "reconstructions.png")

    def about(self) -> dict[str, Any]:
        return super().about() | {"code": self.config.code}

    def graphs(self) -> list[Graph]:
        """The whole, and encoder and decoder as files of their own."""
        width = self.config.code
        return [
            self.image_graph(_Part(self, "whole"), ("code", "reconstruction"), name="model"),
            self.image_graph(_Part(self, "encoder"), ("code",), name="encoder", part=True),
            Graph(
                "decoder", _Part(self, "decoder"), {"code": ("batch", width)}, ("reconstruction",), part=True, calibrated=True,
                example=lambda sizes: {"code": uniform(sizes["batch"], width)},
            ),
        ]  # fmt: skip

    def predictor(self) -> Autoencoder:
        return Autoencoder(self.about(), self.backend())


def _maps(backbone: nn.Module, images: Tensor) -> Tensor:
    """[B, F'] of all that the backbone knows: its last feature maps, or its features where it has none."""
    maps = backbone.maps(images) if isinstance(backbone, vision.Cnn) else backbone(images)
    return maps.flatten(1)


class _Part(nn.Module):
    def __init__(self, task: Task, part: str):
        super().__init__()
        self.held = nn.ModuleDict(task.modules)
        self._task, self._part = [task], part

    def forward(self, given: Tensor) -> tuple[Tensor, ...] | Tensor:
        task = self._task[0]
        if self._part == "decoder":
            return task.modules["decoder"](given).float().sigmoid()
        code = task.encode(given)
        return code if self._part == "encoder" else (code, task.modules["decoder"](code).float().sigmoid())
