"""Batches of pixels, and what is done to them before training sees them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bmtool.config.image import Augment
from bmtool.images.prepare import Images, require_same


@dataclass
class Batch:
    """`images` [B, C, H, W] in 0 .. 1, `labels` [B] (int64, -1: none) or [B, classes] shares of a mixture; `tokens` is B."""

    images: Tensor
    labels: Tensor
    tokens: int

    @property
    def size(self) -> int:
        return self.tokens

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.images.to(device), self.labels.to(device), self.tokens)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [B, H, W, C] to float [B, C, H, W] in 0 .. 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float().div_(255)


class PixelBatches:
    """Batches of a split by position; their order, and what augmentation does to them, are functions of (seed, position)."""

    def __init__(self, images: Images, order: "Order", *, augment: "Augmenter | None"):
        self._images, self._order, self._augment = images, order, augment
        self.examples, self.per_epoch = len(images), order.per_epoch

    def __getitem__(self, position: int) -> Batch:
        examples = self._order[position]
        pixels, labels = self._images.pixels(examples), torch.from_numpy(self._images.labels[examples].astype(np.int64))
        if self._augment is None:
            return Batch(as_tensor(pixels), labels, len(examples))
        return Batch(*self._augment(pixels, labels, (self._order.seed or 0, position)), len(examples))


def batches(config: Any, split: str, seed: int | None, classes: int = 0, balance: str = "none") -> PixelBatches:
    """The batches of an image task: with a seed, which is training, augmented and balanced; else in stored order as they are."""
    images = Images(config.data.prepared, split)
    require_same(images.manifest, config.data)
    training = split == "train" and seed is not None
    augmenter = (
        Augmenter(config.augment, config.data.size, classes) if training and config.augment != Augment() else None
    )
    order = Order(images.labels, config.train.batch_size, seed, balance if training else "none")
    return PixelBatches(images, order, augment=augmenter)


class Order:
    """Which examples make up each batch: every epoch another permutation, its last incomplete batch left out; stored order without a seed.

    `balance`: "over" draws with replacement so that all classes are equally frequent; "under" takes as many of each class as the
    rarest has, other ones every epoch.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, seed: int | None, balance: str = "none"):
        self.seed, self._labels, self._batch, self._balance = seed, labels, batch_size, balance
        self._size = len(labels)
        if balance == "under":
            counts = np.bincount(labels)
            self._size = int(counts[counts > 0].min() * (counts > 0).sum())
        self.per_epoch = -(-self._size // batch_size) if seed is None else max(1, self._size // batch_size)
        self._cached: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, position: int) -> np.ndarray:
        epoch, batch = divmod(position, self.per_epoch)
        if self._cached[0] != epoch:
            self._cached = epoch, self._epoch(epoch)
        return self._cached[1][batch * self._batch : (batch + 1) * self._batch]

    def _epoch(self, epoch: int) -> np.ndarray:
        if self.seed is None:
            return np.arange(self._size)
        random = np.random.default_rng((self.seed, epoch))
        if self._balance == "over":
            weight = 1.0 / np.bincount(self._labels)[self._labels]
            return random.choice(self._size, self._size, p=weight / weight.sum())
        if self._balance == "under":
            classes = [np.flatnonzero(self._labels == label) for label in np.unique(self._labels)]
            each = self._size // len(classes)
            return random.permutation(np.concatenate([random.permutation(held)[:each] for held in classes]))
        return random.permutation(self._size)


class Augmenter:
    """Training images changed at random as `config.image.Augment` says, the same way for the same (seed, position)."""

    def __init__(self, settings: Augment, size: int, classes: int):
        from bmtool.torchvision import v2

        self._settings = settings
        each = []
        if settings.resized_crop < 1:
            each.append(v2.RandomResizedCrop(size, scale=(settings.resized_crop, 1.0), antialias=True))
        if settings.rotation:
            each.append(v2.RandomRotation(settings.rotation, v2.InterpolationMode.BILINEAR))
        if settings.colour:
            each.append(v2.ColorJitter(settings.colour, settings.colour, settings.colour))
        if settings.trivial:
            each.append(v2.TrivialAugmentWide())
        self._each = v2.Compose(each) if each else None
        self._erase = v2.RandomErasing(p=settings.erase) if settings.erase else None
        mixers = [v2.MixUp(alpha=settings.mixup, num_classes=classes)] if settings.mixup else []
        mixers += [v2.CutMix(alpha=settings.cutmix, num_classes=classes)] if settings.cutmix else []
        self._mix = v2.RandomChoice(mixers) if mixers else None

    def __call__(self, pixels: np.ndarray, labels: Tensor, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """uint8 [B, H, W, C] and labels [B] to images [B, C, H, W] in 0 .. 1 and labels [B], or [B, classes] when images are mixed."""
        random = np.random.default_rng(key)
        pixels = self._shift_and_flip(pixels, random)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.integers(2**62)))
            if self._each is not None:
                images = torch.stack(
                    [self._each(image) for image in torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())]
                )
                images = images.float().div_(255)
            else:
                images = as_tensor(pixels)
            if self._erase is not None:
                images = torch.stack([self._erase(image) for image in images])
            if self._mix is not None:
                return self._mix(images, labels)
        return images, labels

    def _shift_and_flip(self, pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Crop and flip of a whole batch at once: 1.5 ms for 128 images of 28 x 28, image by image 5.8 ms."""
        count, height, width = pixels.shape[:3]
        if border := self._settings.crop:
            pixels = np.pad(pixels, ((0, 0), (border, border), (border, border), (0, 0)), "reflect")
            top, left = random.integers(0, 2 * border + 1, (2, count))
            rows, columns = top[:, None] + np.arange(height), left[:, None] + np.arange(width)
            pixels = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        if self._settings.flip:
            chosen = random.random(count) < self._settings.flip
            pixels = np.where(chosen[:, None, None, None], pixels[:, :, ::-1], pixels)
        return pixels
