"""From pixels to probabilities of classes. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bmtool.errors import ConfigError
from bmtool.images import pictures, predict
from bmtool.images.predict import CHUNK, ImageReader
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.labels import likeliest
from bmtool.predict.values import Labels
from bmtool.tasks.image_classification.config import Options

_SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # in sixteenths of the side


class About(predict.About):
    labels: list[str]
    views: str


class Classifier(ImageReader):
    """Images uint8 [N, size, size, channels] to probabilities [N, classes], independent of what else is in the batch.

    `heat`, where it is given, says where in images [N, C, H, W] the evidence for the likeliest class lies, [N, h, w] in 0 .. 1.
    """

    heat: Callable[[np.ndarray], np.ndarray] | None = None

    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.labels, self.views = list(about["labels"]), about["views"]

    def facts(self) -> dict:
        return super().facts() | {"labels": self.labels}

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        parts = [self._mean(np.stack(images[start : start + CHUNK])) for start in range(0, len(images), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def _mean(self, images: np.ndarray) -> np.ndarray:
        return np.mean([np.exp(self._log_p(view)) for view in _views(images, self.views)], axis=0)

    def _log_p(self, images: np.ndarray) -> np.ndarray:
        return self.backend.numpy(self.backend.run("model", {"images": pictures.as_input(images)})["log_p"])

    def predict(self, images: Sequence[np.ndarray], options: Options = Options()) -> list[Labels]:
        return likeliest(self.labels, self.probabilities(images), options)

    def draw(self, picture: str, inputs: Sequence[tuple[str, np.ndarray]], path: Path) -> Path:
        """A sheet of the images with what spoke for the likeliest class in red (Grad-CAM). ConfigError for an exported model."""
        if self.heat is None:
            raise ConfigError("--explain needs gradients: name the run instead of its .onnx file")
        pixels = np.stack([image for _, image in inputs])
        overlay = pictures.overlay(pixels, self.heat(pictures.as_input(pixels)))
        pairs = np.stack([np.broadcast_to(pixels, overlay.shape), overlay], axis=1).reshape(-1, *overlay.shape[1:])
        labels = [self.labels[c] for c in self.probabilities(pixels).argmax(axis=1)]
        shown = [text for (name, _), label in zip(inputs, labels) for text in (Path(name).name, label)]
        scale = max(1, 128 // self.size)
        return pictures.save(pictures.sheet(pairs, min(8, 2 * len(inputs)), shown, scale=scale), path)


def predictor(about: dict, backend: Backend, assets: Assets) -> Classifier:
    return Classifier(about, backend)


def _views(images: np.ndarray, kind: str) -> Iterator[np.ndarray]:
    """The images, and for test-time augmentation their mirror images, or the same a sixteenth further in four directions."""
    if kind == "shifts":
        unit = max(1, images.shape[1] // 16)
        padded = np.pad(images, ((0, 0), (unit, unit), (unit, unit), (0, 0)), "edge")
        for down, right in _SHIFTS:
            top, left = unit * (1 + down), unit * (1 + right)
            yield padded[:, top : top + images.shape[1], left : left + images.shape[2]]
        return
    yield images
    if kind == "flip":
        yield images[:, :, ::-1]
