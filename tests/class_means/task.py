import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.files import read_json
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Fitted, Graph, Identity
from bmtool.images.prepare import Images
from bmtool.predict.backends import TorchBackend
from class_means.config import Config
from class_means.predict import Nearest


class Means(nn.Module):
    """Log-probabilities [B, classes] by the distance of images [B, C, H, W] in 0 .. 1 to the mean of each class."""

    def __init__(self, means: np.ndarray, temperature: float):
        super().__init__()
        self.register_buffer("means", torch.from_numpy(means).float())
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        distance = (images.flatten(1)[:, None] - self.means[None]).square().sum(dim=2)
        return torch.log_softmax(-distance / self.temperature, dim=1)


class Task(Fitted):
    int8: ClassVar = Allowed("accuracy", 0.01)
    best: ClassVar = Best("accuracy", "max")
    killed_after: ClassVar[int] = 0  # figures, after which a signal comes: for tests

    def __init__(self, config: Config, labels: list[str]):
        self.config, self.labels = config, labels
        self._means = np.zeros((len(labels), config.data.size**2 * config.data.channels))

    @classmethod
    def fresh(cls, config: Config) -> "Task":
        manifest = Images(config.data.prepared, "train").manifest
        task = cls(config, manifest["labels"])
        task.identity = Identity(manifest["data_hash"], hashlib.sha256(repr(task.labels).encode()).hexdigest())
        return task

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Task":
        return cls(config, read_json(assets / "labels.json", list[str], TRAIN_AGAIN))

    def assets(self) -> dict[str, str | bytes]:
        return {"labels.json": json.dumps(self.labels)}

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        images, valid = (Images(self.config.data.prepared, split) for split in ("train", "valid"))
        pixels = images.pixels(np.arange(len(images))).reshape(len(images), -1) / 255
        say(f"means of {len(images)} images")
        for share in (0.1, 1.0):
            count = int(share * len(images))
            for label in range(len(self.labels)):
                self._means[label] = pixels[:count][images.labels[:count] == label].mean(axis=0)
            given = self.predictor().probabilities(list(valid.pixels(np.arange(len(valid))))).argmax(axis=1)
            yield {"train/examples": float(count), "valid/accuracy": float((given == valid.labels).mean())}
            if self.killed_after:
                os.kill(os.getpid(), signal.SIGTERM)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"means": self._means, "classes": np.array(len(self.labels))}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._means = arrays["means"]

    def about(self) -> dict[str, Any]:
        return {"size": self.config.data.size, "channels": self.config.data.channels, "labels": self.labels}

    def graphs(self) -> list[Graph]:
        shape = (self.config.data.channels, self.config.data.size, self.config.data.size)
        module = Means(self._means, self.config.model.temperature)
        return [
            Graph("model", module, {"images": ("batch", *shape)}, ("log_p",), lambda n: {"images": torch.rand(n["batch"], *shape)})
        ]  # fmt: skip

    def predictor(self) -> Nearest:
        return Nearest(self.about(), TorchBackend(self.graphs()))
