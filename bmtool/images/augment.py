"""What is done to training images at random, and to their boxes, masks and paired images with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bmtool.config.image import Augment
from bmtool.errors import ConfigError
from bmtool.images.batches import as_tensor
from bmtool.images.targets import NAMES, VOID, Target, clip
from bmtool.torchvision import tv_tensors, v2


def require_together(settings: Augment, kind: str) -> None:
    """ConfigError for what would change an image and not its target; `kind` is that of the targets."""
    wrong = [name for name in ("trivial", "mixup", "cutmix") if getattr(settings, name)] if kind != "label" else []
    if wrong:
        raise ConfigError(
            f"augment.{wrong[0]} is for images with one class each: it cannot be done to {NAMES[kind]} too"
        )


class Augmenter:
    """Training images changed at random as `config.image.Augment` says, the same way for the same (seed, position).

    `crop` and `flip` are done to a whole batch at once: 1.5 ms for 128 images of 28 x 28, image by image 5.8 ms.
    """

    def __init__(self, settings: Augment, size: int, classes: int):
        self._settings = settings
        each = list(_transforms(settings, size))
        self._each = v2.Compose(each) if each else None
        self._erase = v2.RandomErasing(p=settings.erase) if settings.erase else None
        mixers = [v2.MixUp(alpha=settings.mixup, num_classes=classes)] if settings.mixup else []
        mixers += [v2.CutMix(alpha=settings.cutmix, num_classes=classes)] if settings.cutmix else []
        self._mix = v2.RandomChoice(mixers) if mixers else None

    def __call__(self, pixels: np.ndarray, labels: Tensor, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """uint8 [B, H, W, C] and labels [B] to images [B, C, H, W] in 0 .. 1 and labels [B], or [B, classes] when images are mixed."""
        random = np.random.default_rng(key)
        pixels = self._moves(random, pixels.shape).pixels(pixels)
        with _seeded(random):
            if self._each is not None:
                pixels = np.stack([self._each(_first(image)).permute(1, 2, 0).numpy() for image in pixels])
            images = self._erased(as_tensor(pixels))
            return (images, labels) if self._mix is None else self._mix(images, labels)

    def together(self, pixels: np.ndarray, targets: list[Target], key: tuple[int, int]) -> tuple[Tensor, list[Target]]:
        """uint8 [B, H, W, C] and the target of each to images [B, C, H, W] in 0 .. 1 and what became of the targets.

        Geometry is the same for an image and all that belongs to it. Boxes are cut at the edges and left out where under a pixel
        remains; a rotated box becomes the upright one around it; what a rotation uncovers is VOID in a mask. Colours change in a
        paired image as in its image; `erase` is for the image alone.
        """
        random = np.random.default_rng(key)
        moves = self._moves(random, pixels.shape)
        targets = [moves.target(number, target, pixels.shape[1]) for number, target in enumerate(targets)]
        pixels = moves.pixels(pixels)
        with _seeded(random):
            if self._each is not None:
                changed = [self._one(image, target) for image, target in zip(pixels, targets)]
                pixels, targets = np.stack([image for image, _ in changed]), [target for _, target in changed]
            return self._erased(as_tensor(pixels)), targets

    def _one(self, pixels: np.ndarray, target: Target) -> tuple[np.ndarray, Target]:
        """One image [H, W, C] and its target, changed together."""
        sample = {"pixels": tv_tensors.Image(_first(pixels))}
        if target.boxes is not None:
            boxes = torch.from_numpy(np.array(target.boxes))
            sample["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=pixels.shape[:2])
        if target.mask is not None:
            sample["mask"] = tv_tensors.Mask(torch.from_numpy(target.mask))
        if target.image is not None:
            sample["image"] = tv_tensors.Image(_first(target.image))
        made = {name: np.asarray(value.as_subclass(Tensor)) for name, value in self._each(sample).items()}
        image = made["image"].transpose(1, 2, 0) if "image" in made else None
        moved = Target(target.label, made.get("boxes"), target.box_labels, made.get("mask"), image)
        return made["pixels"].transpose(1, 2, 0), clipped(moved, pixels.shape[0])

    def _erased(self, images: Tensor) -> Tensor:
        return images if self._erase is None else torch.stack([self._erase(image) for image in images])

    def _moves(self, random: np.random.Generator, shape: tuple[int, ...]) -> "_Moves":
        """`crop` and `flip` drawn for each image of a batch of `shape` [B, H, W, C]."""
        count, border = shape[0], self._settings.crop
        top, left = random.integers(0, 2 * border + 1, (2, count)) if border else np.zeros((2, count), np.int64)
        flip = self._settings.flip
        return _Moves(border, top, left, random.random(count) < flip if flip else np.zeros(count, bool))


def _transforms(settings: Augment, size: int) -> Iterator[v2.Transform]:
    """What is drawn image by image, in this order."""
    if settings.resized_crop < 1:
        yield v2.RandomResizedCrop(size, scale=(settings.resized_crop, 1.0), antialias=True)
    if settings.rotation:
        fill = {tv_tensors.Mask: VOID, "others": 0}
        yield v2.RandomRotation(settings.rotation, v2.InterpolationMode.BILINEAR, fill=fill)
    if settings.colour:
        yield v2.ColorJitter(settings.colour, settings.colour, settings.colour)
    if settings.trivial:
        yield v2.TrivialAugmentWide()


@contextmanager
def _seeded(random: np.random.Generator) -> Iterator[None]:
    """torch's generator, which v2 draws from, set by ours for a while."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(random.integers(2**62)))
        yield


def _first(pixels: np.ndarray) -> Tensor:
    """[H, W, C] to [C, H, W]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def clipped(target: Target, size: int) -> Target:
    """A target whose boxes lie in an image of `size` pixels a side, those left out that do not."""
    if target.boxes is None or target.box_labels is None:
        return target
    return Target(target.label, *clip(target.boxes, target.box_labels, size), target.mask, target.image)


class _Moves(NamedTuple):
    """Of each image of a batch: where its window lies in the image with a mirrored `border`, and whether it is flipped."""

    border: int
    # [B]
    top: np.ndarray
    left: np.ndarray
    flipped: np.ndarray

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Images [B, H, W, C] or masks [B, H, W]."""
        count, height, width = values.shape[:3]
        rest = values.ndim - 3
        if self.border:
            around = ((0, 0), *[(self.border, self.border)] * 2, *[(0, 0)] * rest)
            values = np.pad(values, around, "reflect")
            rows, columns = self.top[:, None] + np.arange(height), self.left[:, None] + np.arange(width)
            values = values[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
        if self.flipped.any():
            chosen = self.flipped.reshape(-1, *[1] * (values.ndim - 1))
            values = np.where(chosen, values[:, :, ::-1], values)
        return values

    def target(self, number: int, target: Target, size: int) -> Target:
        """What belongs to one image of the batch, moved with it; images are `size` pixels a side."""
        alone = _Moves(self.border, *(drawn[number : number + 1] for drawn in (self.top, self.left, self.flipped)))
        mask, image = (None if held is None else alone.pixels(held[None])[0] for held in (target.mask, target.image))
        boxes = None if target.boxes is None else alone._boxes(target.boxes, size)
        return clipped(Target(target.label, boxes, target.box_labels, mask, image), size)

    def _boxes(self, boxes: np.ndarray, size: int) -> np.ndarray:
        """Boxes [N, 4] of the one image that this is about."""
        right, down = self.border - self.left[0], self.border - self.top[0]
        moved = boxes + np.array([right, down, right, down], boxes.dtype)
        if self.flipped[0]:
            moved[:, [0, 2]] = size - moved[:, [2, 0]]
        return moved
