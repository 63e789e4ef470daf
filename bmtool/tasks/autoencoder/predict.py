"""From an image to its code and what is made of it. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bmtool.images import pictures
from bmtool.images.predict import CHUNK, About, ImageReader
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.values import Vector
from bmtool.tasks.autoencoder.config import Options

__all__ = ["About", "Autoencoder", "beside", "predictor"]


class Autoencoder(ImageReader):
    def run(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Codes [N, code] and reconstructions float32 [N, H, W, C] in 0 .. 1 of images uint8 [N, H, W, C]."""
        parts = [self._chunk(np.stack(images[start : start + CHUNK])) for start in range(0, len(images), CHUNK)]
        codes, made = (np.concatenate(part) for part in zip(*parts))
        return codes, made.transpose(0, 2, 3, 1)

    def _chunk(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self.backend.run("model", {"images": pictures.as_input(images)})
        return self.backend.numpy(found["code"]), self.backend.numpy(found["reconstruction"])

    def predict(self, images: Sequence[np.ndarray], options: Options = Options()) -> list[Vector]:
        """The code of each image, and how far what is made of it is from it."""
        if not len(images):
            return []
        codes, made = self.run(images)
        errors = np.square(made - np.stack(images) / np.float32(255)).reshape(len(images), -1).mean(axis=1)
        return [Vector("code", code, {"mse": float(error)}) for code, error in zip(codes, errors)]

    def draw(self, picture: str, inputs: Sequence[tuple[str, np.ndarray]], path: Path) -> Path:
        """A sheet of the images, each beside what is made of it."""
        pixels = np.stack([image for _, image in inputs])
        return pictures.save(beside(pixels, pictures.as_pixels(self.run(pixels)[1])), path)


def predictor(about: dict, backend: Backend, assets: Assets) -> Autoencoder:
    return Autoencoder(about, backend)


def beside(images: np.ndarray, made: np.ndarray) -> Image.Image:
    """uint8 [N, H, W, C] each, in pairs."""
    pairs = np.stack([images, made], axis=1).reshape(-1, *images.shape[1:])
    return pictures.sheet(pairs, 10)
