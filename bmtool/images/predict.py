"""What the predictors of image tasks share: reading files, and probes. numpy and Pillow only."""

from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import NotRequired

from bmtool.images import pictures
from bmtool.predict import exported
from bmtool.predict.backends import Backend

CHUNK = 64  # images of one run of the model


class About(exported.About):
    """What the export of an image task says."""

    size: int
    channels: int
    fit: NotRequired[str]


class ImageReader:
    """Reads images at the size that a model takes, uint8 [size, size, channels]."""

    def __init__(self, about: dict, backend: Backend):
        self.about, self.backend = about, backend
        self.size, self.channels = about["size"], about["channels"]
        self.frame = pictures.Frame.of(about)

    def read(self, raw: Any) -> np.ndarray:
        """From a file, its bytes, a PIL image, or pixels uint8 [H, W] or [H, W, C]; BadInput when it is no image."""
        return pictures.read(raw, self.channels, self.frame)

    def facts(self) -> dict:
        """What a model card says of it."""
        return {"size": self.size, "channels": self.channels}

    def probes(self, count: int) -> list[np.ndarray]:
        """Pixels with structure at all scales, always the same: noise alone looks like nothing that a model has learned."""
        random, made = np.random.default_rng(0), []
        for number in range(count):
            coarse = random.integers(0, 256, (2 + number % 5, 2 + number % 5, self.channels), np.uint8)
            image = Image.fromarray(coarse.squeeze(-1) if self.channels == 1 else coarse)
            smooth = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC), np.int64)
            noisy = smooth.reshape(self.size, self.size, self.channels) + random.integers(
                -20, 21, (self.size, self.size, self.channels)
            )
            made.append(noisy.clip(0, 255).astype(np.uint8))
        return made
