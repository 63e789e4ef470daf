"""gan as the engine sees it: two phases, each with its own optimizer."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.engine.task import Allowed, Best, Graph, Loss
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch
from bmtool.images.task import ImageTask, Statistics
from bmtool.tasks.gan.config import Config
from bmtool.tasks.gan.distances import Features
from bmtool.tasks.gan.metrics import DistanceMeter
from bmtool.tasks.gan.predict import Generator

SHEET = 64  # samples that are drawn, always from the same noise


class Task(ImageTask):
    """Goodfellow et al. 2014 with the non-saturating loss; networks after Radford et al. 2016."""

    phases: ClassVar = {"discriminator": ("backbone", "critic"), "generator": ("generator",)}
    best: ClassVar = Best("kernel_distance", "min")
    int8: ClassVar = Allowed(None, 0.02)

    def __init__(self, config: Config, statistics: Statistics, labels: list[str], *, pretrained: bool):
        self.config, data = config, config.data
        backbone = backbones.build(config.model, data, *statistics, pretrained=False)
        shape = (data.channels, data.size, data.size)
        self.modules = {
            "backbone": backbone, "critic": nn.Linear(backbone.features, 1),
            "generator": backbones.decoder(config.model, config.noise, shape),
        }  # fmt: skip
        for module in self.modules.values():
            module.apply(_initialise)
        self._features = Features(config.features)

    def _score(self, images: Tensor) -> Tensor:
        """[B]: how real images look to the discriminator, as logits."""
        return self.modules["critic"](self.modules["backbone"](images))[:, 0]

    def _make(self, count: int, device: torch.device) -> Tensor:
        drawn = torch.randn(count, self.config.noise, device=device)
        return self.modules["generator"](drawn).sigmoid()

    def loss(self, phase: str, batch: Batch) -> Loss:
        made = self._make(len(batch.images), batch.images.device)
        if phase == "generator":
            return Loss(functional.softplus(-self._score(made)).sum(), len(made))
        real, fake = self._score(batch.images), self._score(made.detach())
        return Loss(functional.softplus(-real).sum() + functional.softplus(fake).sum(), len(made))

    def meter(self) -> DistanceMeter:
        return DistanceMeter(self._features)

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """From noise that is the same every time."""
        real = batch.images.permute(0, 2, 3, 1).cpu().numpy()
        return self.predictor().make(range(len(real))), real

    def draw(self, folder: Path) -> None:
        """A sheet of samples from fixed noise."""
        pixels = pictures.as_pixels(self.predictor().make(range(SHEET)))
        pictures.save(pictures.sheet(pixels, 8), folder / "samples.png")

    def about(self) -> dict[str, Any]:
        return super().about() | {"noise": self.config.noise, "features": self.config.features}

    def graphs(self) -> list[Graph]:
        width = self.config.noise
        return [
            Graph(
                "model", _Generator(self.modules["generator"]), {"noise": ("batch", width)}, ("images",), calibrated=True,
                example=lambda sizes: {"noise": torch.randn(sizes["batch"], width, generator=torch.Generator().manual_seed(0))},
            )
        ]  # fmt: skip

    def predictor(self) -> Generator:
        return Generator(self.about(), self.backend())


class _Generator(nn.Module):
    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator

    def forward(self, drawn: Tensor) -> Tensor:
        return self.generator(drawn).float().sigmoid()


def _initialise(module: nn.Module) -> None:
    """Normal with deviation 0.02 (Radford et al. 2016, section 4)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
