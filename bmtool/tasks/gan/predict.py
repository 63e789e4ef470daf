"""From noise to images. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.images import pictures, predict
from bmtool.images.predict import CHUNK
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.inputs import seed
from bmtool.predict.values import Picture
from bmtool.tasks.gan.config import Options


class About(predict.About):
    noise: int
    features: str | None


class Generator:
    """A number makes an image, always the same one."""

    def __init__(self, about: dict, backend: Backend):
        self.about, self.backend = about, backend
        self.noise, self.size, self.channels, self.features = (
            about[key] for key in ("noise", "size", "channels", "features")
        )
        self.frame = pictures.Frame.of(about)

    def read(self, raw: Any) -> int:
        return seed(raw)

    def facts(self) -> dict:
        """What a model card says of it."""
        return {"size": self.size, "channels": self.channels}

    def probes(self, count: int) -> list[int]:
        return list(range(count))

    def make(self, seeds: Sequence[int]) -> np.ndarray:
        """Images float32 [N, H, W, C] in 0 .. 1."""
        drawn = noise(seeds, self.noise)
        parts = [self._chunk(drawn[start : start + CHUNK]) for start in range(0, len(drawn), CHUNK)]
        return np.concatenate(parts).transpose(0, 2, 3, 1)

    def _chunk(self, drawn: np.ndarray) -> np.ndarray:
        return self.backend.numpy(self.backend.run("model", {"noise": drawn})["images"])

    def predict(self, seeds: Sequence[int], options: Options = Options()) -> list[Picture]:
        return [Picture(image, {"brightness": float(image.mean())}) for image in (self.make(seeds) if seeds else [])]

    def draw(self, picture: str, inputs: Sequence[tuple[str, int]], path: Path) -> Path:
        """A sheet of the images of all seeds."""
        made = pictures.as_pixels(self.make([number for _, number in inputs]))
        return pictures.save(pictures.sheet(made, min(8, len(inputs))), path)


def predictor(about: dict, backend: Backend, assets: Assets) -> Generator:
    return Generator(about, backend)


def noise(seeds: Sequence[int], width: int) -> np.ndarray:
    """Standard normal numbers, float32 [N, width]; those of a seed do not depend on the others."""
    return np.stack([np.random.default_rng(seed).standard_normal(width, np.float32) for seed in seeds])
