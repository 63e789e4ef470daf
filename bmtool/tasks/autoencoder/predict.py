"""From an image to its code and what is made of it. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from bmtool.errors import DataError
from bmtool.images import pictures

CHUNK = 64
PICTURES = ("explain",)


class Backend(Protocol):
    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes [B, code] and reconstructions [B, C, H, W] of images [B, C, H, W], all float32, pixels in 0 .. 1."""
        ...


class Autoencoder:
    def __init__(self, backend: Backend, size: int, channels: int):
        self.backend, self.size, self.channels = backend, size, channels

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes [N, code] and reconstructions float32 [N, H, W, C] in 0 .. 1 of uint8 images [N, H, W, C]."""
        given = pictures.as_input(images)
        parts = [self.backend(given[start : start + CHUNK]) for start in range(0, len(given), CHUNK)]
        codes, made = (np.concatenate(part) for part in zip(*parts))
        return codes, made.transpose(0, 2, 3, 1)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, C] in and out."""
        return pictures.as_pixels(self.run(images)[1])

    def decode(self, source: Path | bytes) -> np.ndarray:
        return pictures.decode(source, self.size, self.channels)


def answers(
    predictor: Autoencoder, inputs: Sequence[str], *, top: int, bad: Callable[[str, str], None]
) -> Iterator[tuple[str, dict]]:
    """(line, record) for each image: how far the reconstruction is from it, and its code."""
    for path, pixels in pictures.read(inputs, predictor.decode, bad):
        record = describe(predictor, pixels[None], top)[0]
        yield f"{path}\tmse {record['mse']:.6f}", {"file": str(path)} | record


def describe(predictor: Autoencoder, images: np.ndarray, top: int) -> list[dict]:
    """The error of the reconstruction of each image [N, size, size, channels], and its code."""
    codes, made = predictor.run(images)
    errors = np.square(made - images / np.float32(255)).reshape(len(images), -1).mean(axis=1)
    return [{"mse": float(error), "code": code.round(5).tolist()} for error, code in zip(errors, codes)]


def explain(predictor: Autoencoder, inputs: Sequence[str], path: Path) -> Path:
    """A sheet of the images, each beside what is made of it."""
    images = [pixels for _, pixels in pictures.read(inputs, predictor.decode, lambda name, why: None)]
    if not images:
        raise DataError("no image to show")
    pixels = np.stack(images)
    return pictures.save(beside(pixels, predictor.reconstruct(pixels)), path)


def beside(images: np.ndarray, made: np.ndarray) -> Image.Image:
    """uint8 [N, H, W, C] each, in pairs."""
    pairs = np.stack([images, made], axis=1).reshape(-1, *images.shape[1:])
    return pictures.sheet(pairs, 10)
