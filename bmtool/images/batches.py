"""Batches of images by position."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bmtool.config.image import Augment
from bmtool.data.batching import Order
from bmtool.errors import ConfigError
from bmtool.images.fingerprint import require_same
from bmtool.images.prepare import Images
from bmtool.images.targets import NAMES, Target

if TYPE_CHECKING:
    from bmtool.images.augment import Augmenter


@dataclass
class Batch:
    """`images` [B, C, H, W] in 0 .. 1, `labels` [B] (int64, -1: none) or [B, classes] shares of a mixture; `tokens` is B.

    Of the other targets there are those that the data have.
    """

    images: Tensor
    labels: Tensor
    tokens: int
    # of each image float [N, 4]: x1, y1, x2, y2 in its pixels; and int64 [N]
    boxes: list[Tensor] | None = None
    box_labels: list[Tensor] | None = None
    # int64 [B, H, W], `targets.VOID` where there is no class
    masks: Tensor | None = None
    # [B, C, H, W] in 0 .. 1
    paired: Tensor | None = None

    @property
    def size(self) -> int:
        return self.tokens

    def to(self, device: torch.device) -> "Batch":
        return replace(self, **{name: _moved(value, device) for name, value in vars(self).items()})


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [tensor.to(device) for tensor in value]
    return value.to(device) if isinstance(value, Tensor) else value


def as_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [B, H, W, C] to float [B, C, H, W] in 0 .. 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float().div_(255)


class PixelBatches:
    """Batches of a split by position; their order, and what augmentation does to them, are functions of (seed, position)."""

    def __init__(self, images: Images, order: Order, *, augment: "Augmenter | None"):
        self._images, self._order, self._augment = images, order, augment
        self.examples, self.per_epoch = len(images), order.per_epoch

    def __getitem__(self, position: int) -> Batch:
        examples = self._order[position]
        pixels, key = self._images.pixels(examples), (self._order.seed, position)
        if self._images.kind != "label":
            return self._with_targets(pixels, examples, key)
        labels = torch.from_numpy(self._images.labels[examples].astype(np.int64))
        if self._augment is None:
            return Batch(as_tensor(pixels), labels, len(examples))
        return Batch(*self._augment(pixels, labels, key), len(examples))

    def _with_targets(self, pixels: np.ndarray, examples: np.ndarray, key: tuple[int, int]) -> Batch:
        targets = self._images.targets(examples)
        if self._augment is None:
            return collate(as_tensor(pixels), targets)
        return collate(*self._augment.together(pixels, targets, key))


def collate(images: Tensor, targets: list[Target]) -> Batch:
    """A batch of images [B, C, H, W] and the target of each, all of one kind."""
    batch = Batch(images, torch.tensor([target.label for target in targets]), len(targets))
    if targets[0].boxes is not None:
        batch.boxes = [torch.from_numpy(np.array(target.boxes)) for target in targets]
        batch.box_labels = [torch.from_numpy(target.box_labels.astype(np.int64)) for target in targets]
    if targets[0].mask is not None:
        batch.masks = torch.from_numpy(np.stack([target.mask for target in targets]).astype(np.int64))
    if targets[0].image is not None:
        batch.paired = as_tensor(np.stack([target.image for target in targets]))
    return batch


def batches(config: Any, split: str, seed: int | None, classes: int = 0, balance: str = "none") -> PixelBatches:
    """The batches of an image task: with a seed, which is training, augmented and balanced; else in stored order as they are.

    With `classes`, how many there are to tell apart, ConfigError unless each image has one.
    """
    images = Images(config.data.prepared, split)
    require_same(images.manifest, config.data)
    if classes and images.kind != "label":
        raise ConfigError(
            f"{config.data.source} holds {NAMES[images.kind]}, and no class for each image: choose another task"
        )
    training = split == "train" and seed is not None
    augmenter = None
    if training and config.augment != Augment():
        from bmtool.images.augment import Augmenter, require_together  # torchvision takes two seconds to import

        require_together(config.augment, images.kind)
        augmenter = Augmenter(config.augment, config.data.size, classes)
    order = Order(images.labels, config.train.batch_size, seed, balance if training else "none")
    return PixelBatches(images, order, augment=augmenter)
