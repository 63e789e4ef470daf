"""From noise to images. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bmtool.errors import DataError
from bmtool.images import pictures

CHUNK = 64
PICTURES = ("output",)


class Backend(Protocol):
    def __call__(self, drawn: np.ndarray) -> np.ndarray:
        """Images [B, C, H, W] in 0 .. 1 from noise [B, noise], float32."""
        ...


class Generator:
    """A number makes an image, always the same one."""

    def __init__(self, backend: Backend, noise: int, size: int, channels: int, features: str | None):
        self.backend, self.noise, self.size, self.channels, self.features = backend, noise, size, channels, features

    def make(self, seeds: Iterable[int]) -> np.ndarray:
        """Images float32 [N, H, W, C] in 0 .. 1."""
        drawn = noise(seeds, self.noise)
        parts = [self.backend(drawn[start : start + CHUNK]) for start in range(0, len(drawn), CHUNK)]
        return np.concatenate(parts).transpose(0, 2, 3, 1)


def noise(seeds: Iterable[int], width: int) -> np.ndarray:
    """Standard normal numbers, float32 [N, width]; those of a seed do not depend on the others."""
    return np.stack([np.random.default_rng(seed).standard_normal(width, np.float32) for seed in seeds])


def answers(
    predictor: Generator, inputs: Sequence[str], *, top: int, bad: Callable[[str, str], None]
) -> Iterator[tuple[str, dict]]:
    """(line, record) for each seed: how bright its image is. --output shows the images."""
    for name in inputs:
        if not (name.isascii() and name.isdigit()):
            bad(name, "expected a number: it chooses the noise that an image is made from")
            continue
        brightness = float(predictor.make([int(name)]).mean())
        yield f"{name}\tbrightness {brightness:.4f}", {"seed": int(name), "brightness": brightness}


def output(predictor: Generator, inputs: Sequence[str], path: Path) -> Path:
    """A sheet of the images of all seeds."""
    seeds = [int(name) for name in inputs if name.isascii() and name.isdigit()]
    if not seeds:
        raise DataError("no number to make an image from")
    made = pictures.as_pixels(predictor.make(seeds))
    return pictures.save(pictures.sheet(made, min(8, len(seeds))), path)
