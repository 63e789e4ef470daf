"""gan as the engine sees it: two phases, each with its own optimizer."""

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.engine.task import Best, Identity, Loss
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch, PixelBatches, batches
from bmtool.images.prepare import Images
from bmtool.tasks.gan import export
from bmtool.tasks.gan.config import Config
from bmtool.tasks.gan.distances import Features, diversity, kernel_distance
from bmtool.tasks.gan.predict import Generator

SHEET = 64  # samples that are drawn, always from the same noise


class Task:
    """Goodfellow et al. 2014 with the non-saturating loss; networks after Radford et al. 2016."""

    phases: ClassVar = {"discriminator": ("backbone", "critic"), "generator": ("generator",)}
    best = Best("kernel_distance", "min")
    pretrained: ClassVar = False
    bound: ClassVar = ()
    unit: ClassVar = "images"

    def __init__(self, config: Config, assets: Path | None = None):
        """From prepared images; or, for a run that only predicts, without them."""
        self.config, data = config, config.data
        mean = deviation = [0.5] * data.channels
        if assets is None:
            manifest = Images(data.prepared, "train").manifest
            mean, deviation = manifest["mean"], manifest["deviation"]
            self.identity = Identity(manifest["data_hash"], hashlib.sha256(b"").hexdigest())
        backbone = backbones.build(config.model, data, mean, deviation, pretrained=False)
        shape = (data.channels, data.size, data.size)
        self.modules = {
            "backbone": backbone, "critic": nn.Linear(backbone.features, 1),
            "generator": backbones.decoder(config.model, config.noise, shape),
        }  # fmt: skip
        for module in self.modules.values():
            module.apply(_initialise)
        self._features = Features(config.features)

    def batches(self, split: str, seed: int | None) -> PixelBatches:
        return batches(self.config, split, seed)

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

    def measure(self, batch: Batch) -> dict[str, tuple[float, int]]:
        """Per batch, from noise that is the same every time; a batch of one image says nothing."""
        count = len(batch.images)
        if count < 2:
            return {name: (0.0, 0) for name in ("kernel_distance", "diversity")}
        made = self.predictor().make(range(count))
        real = batch.images.permute(0, 2, 3, 1).cpu().numpy()
        ours, theirs = (self._features(pixels) for pixels in (made, real))
        return {"kernel_distance": (kernel_distance(ours, theirs), 1), "diversity": (diversity(made, real), 1)}

    def draw(self, folder: Path) -> None:
        """A sheet of samples from fixed noise."""
        pixels = pictures.as_pixels(self.predictor().make(range(SHEET)))
        pictures.save(pictures.sheet(pixels, 8), folder / "samples.png")

    def predictor(self) -> Generator:
        data = self.config.data
        return Generator(TorchBackend(self), self.config.noise, data.size, data.channels, self.config.features)

    def export(self, path: Path, *, int8: bool, metadata: dict) -> dict:
        return export.export(self, path, int8=int8, metadata=metadata)

    def inherit(self, assets: Path) -> None:
        """Weights are all that is taken over."""

    def assets(self) -> dict[str, str | bytes]:
        return {}


def _initialise(module: nn.Module) -> None:
    """Normal with deviation 0.02 (Radford et al. 2016, section 4)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)


class TorchBackend:
    """See `predict.Backend`."""

    def __init__(self, task: Task):
        self.task = task

    @torch.no_grad()
    def __call__(self, drawn: np.ndarray) -> np.ndarray:
        generator = self.task.modules["generator"]
        device = next(generator.parameters()).device
        return generator(torch.from_numpy(drawn).to(device)).sigmoid().float().cpu().numpy()
