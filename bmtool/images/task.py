"""What the tasks that look at images share."""

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bmtool.base.files import read_json
from bmtool.engine.task import TRAIN_AGAIN, Batches, Graph, Identity, Trained
from bmtool.images.batches import batches
from bmtool.images.prepare import Images

# Of the `data` section: what an image is when a model sees it.
SHAPE = ("size", "channels", "fit", "range")


class Statistics(NamedTuple):
    """Of the training images: mean and deviation of each channel in 0 .. 1."""

    mean: list[float]
    deviation: list[float]

    @classmethod
    def unknown(cls, channels: int) -> "Statistics":
        """For a model whose weights bring their own."""
        return cls([0.5] * channels, [0.5] * channels)


class ImageTask(Trained):
    """Built from a config, the statistics of its images, and the names of their classes where these matter."""

    unit: ClassVar = "images"
    labelled: ClassVar = False  # whether the names of the classes are part of the model

    def __init__(self, config: Any, statistics: Statistics, labels: list[str], *, pretrained: bool):
        raise NotImplementedError

    @classmethod
    def fresh(cls, config: Any) -> "ImageTask":
        images = Images(config.data.prepared, "train")
        manifest = images.manifest
        labels = manifest["labels"] if cls.labelled else []
        task = cls(config, Statistics(manifest["mean"], manifest["deviation"]), labels, pretrained=True)
        vocabulary = json.dumps(labels).encode() if cls.labelled else b""
        task.identity = Identity(manifest["data_hash"], hashlib.sha256(vocabulary).hexdigest())
        task.prepared(images)
        return task

    @classmethod
    def open(cls, config: Any, assets: Path) -> "ImageTask":
        labels = read_json(assets / "labels.json", list[str], TRAIN_AGAIN) if cls.labelled else []
        return cls(config, Statistics.unknown(config.data.channels), labels, pretrained=False)

    def prepared(self, images: Images) -> None:
        """Hears of the training images of a fresh task."""

    def batches(self, split: str, seed: int | None) -> Batches:
        return batches(self.config, split, seed)

    def reads_otherwise(self, other: "ImageTask") -> str:
        """What another model's images are and these are not; "" where both read the same."""
        pairs = ((key, getattr(other.config.data, key), getattr(self.config.data, key)) for key in SHAPE)
        return ", ".join(
            f"its data.{key} is {theirs}, and here it is {ours}" for key, theirs, ours in pairs if theirs != ours
        )

    def about(self) -> dict[str, Any]:
        data = self.config.data
        return {key: getattr(data, key) for key in SHAPE}

    def image_graph(self, module: nn.Module, outputs: tuple[str, ...], **more: Any) -> Graph:
        """A graph that takes `images` [batch, C, H, W]."""
        data = self.config.data
        shape = (data.channels, data.size, data.size)
        return Graph(
            module=module, axes={"images": ("batch", *shape)}, outputs=outputs, calibrated=True,
            example=lambda sizes: {"images": uniform(sizes["batch"], *shape)}, **more,
        )  # fmt: skip


def uniform(*shape: int) -> Tensor:
    """Numbers in 0 .. 1, always the same."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
