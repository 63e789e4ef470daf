"""From pixels to probabilities of classes. numpy and Pillow only: the same code on PyTorch and on an exported model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bmtool.errors import ConfigError, DataError
from bmtool.images import pictures

CHUNK = 64
_SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # in sixteenths of the side


class Backend(Protocol):
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Log-probabilities [B, classes] of images [B, C, H, W], float32 in 0 .. 1."""
        ...


class Classifier:
    """Images uint8 [N, size, size, channels] to probabilities [N, classes], independent of what else is in the batch."""

    max_length = 0  # of text; see metrics.file_examples

    def __init__(self, labels: Sequence[str], backend: Backend, size: int, channels: int, views: str):
        self.labels, self.backend, self.size, self.channels, self.views = list(labels), backend, size, channels, views

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        parts = [self._mean(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def _mean(self, images: np.ndarray) -> np.ndarray:
        views = list(_views(images, self.views))
        return np.mean([np.exp(self.backend(pictures.as_input(view))) for view in views], axis=0)

    def decode(self, source: Path | bytes) -> np.ndarray:
        """[size, size, channels] of an image file; BadImage when it is none."""
        return pictures.decode(source, self.size, self.channels)


class Ensemble:
    """The mean of the probabilities of several classifiers of the same classes and kind of image."""

    max_length = 0

    def __init__(self, members: Sequence[Classifier]):
        first = members[0]
        self.members, self.labels, self.size, self.channels = list(members), first.labels, first.size, first.channels

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.mean([member.probabilities(images) for member in self.members], axis=0)

    def decode(self, source: Path | bytes) -> np.ndarray:
        return self.members[0].decode(source)


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


def answers(
    predictor: Classifier | Ensemble, inputs: Sequence[str], *, top: int, bad: Callable[[str, str], None]
) -> Iterator[tuple[str, dict]]:
    """(line, record) for each image file, folders taken apart, with its `top` likeliest classes; `bad` hears of files that are no image."""
    for path, pixels in pictures.read(inputs, predictor.decode, bad):
        record = describe(predictor, pixels[None], top)[0]
        shown = "\t".join(f"{found['label']} {found['probability']:.4f}" for found in record["classes"])
        yield f"{path}\t{shown}", {"file": str(path)} | record


def describe(predictor: Classifier | Ensemble, images: np.ndarray, top: int) -> list[dict]:
    """The `top` likeliest classes of each image [N, size, size, channels]."""
    out = []
    for p in predictor.probabilities(images):
        best = np.argsort(-p, kind="stable")[:top]
        found = [{"label": predictor.labels[c], "probability": round(float(p[c]), 6)} for c in best]
        out.append({"label": found[0]["label"], "classes": found})
    return out


# --- several models, and why ---

PICTURES = ("explain",)


def combine(predictors: Sequence[Classifier]) -> Ensemble:
    """ConfigError unless all tell the same classes apart on images of one size."""
    kinds = {(tuple(p.labels), p.size, p.channels) for p in predictors}
    if len(kinds) > 1:
        raise ConfigError("the models to average differ in their classes or in the size of their images")
    return Ensemble(predictors)


def explain(predictor: Classifier, inputs: Sequence[str], path: Path) -> Path:
    """A sheet of the images with what spoke for the likeliest class in red (Grad-CAM). ConfigError for a model without convolutions."""
    heat = getattr(predictor.backend, "heat", None)
    if heat is None:
        raise ConfigError("--explain needs gradients: name the run instead of its .onnx file")
    found = list(pictures.read(inputs, predictor.decode, lambda name, why: None))
    if not found:
        raise DataError("no image to explain")
    pixels = np.stack([image for _, image in found])
    overlay = pictures.overlay(pixels, heat(pictures.as_input(pixels)))
    pairs = np.stack([np.broadcast_to(pixels, overlay.shape), overlay], axis=1).reshape(-1, *overlay.shape[1:])
    labels = [predictor.labels[c] for c in predictor.probabilities(pixels).argmax(axis=1)]
    shown = [text for (name, _), label in zip(found, labels) for text in (name.name, label)]
    return pictures.save(
        pictures.sheet(pairs, min(8, 2 * len(found)), shown, scale=max(1, 128 // predictor.size)), path
    )
