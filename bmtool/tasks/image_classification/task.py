"""image-classification as the engine sees it."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.units import few
from bmtool.config.image import Augment, on_features
from bmtool.engine.task import Allowed, Batches, Best, Graph, Loss
from bmtool.errors import ConfigError
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch, batches
from bmtool.images.features import LEARNED, FeatureBatches
from bmtool.images.prepare import Images, require_classes
from bmtool.images.task import ImageTask, Statistics
from bmtool.measure.labels import LabelMeter
from bmtool.nn import losses, vision
from bmtool.tasks.image_classification.config import Config
from bmtool.tasks.image_classification.predict import Classifier

SHEET = 40  # augmented images that are shown before training
SHOWN = 10  # classes that a message names


class Task(ImageTask):
    phases: ClassVar = {"model": ("backbone", "head")}
    best: ClassVar = Best("accuracy", "max")
    bound: ClassVar = ("head",)
    labelled: ClassVar = True
    int8: ClassVar = Allowed("accuracy", 0.01)

    def __init__(self, config: Config, statistics: Statistics, labels: list[str], *, pretrained: bool):
        self.config, self.labels = config, labels
        require_classes(labels, config.data.source)
        backbone = backbones.build(config.model, config.data, *statistics, pretrained=pretrained)
        self.modules = {"backbone": backbone, "head": nn.Linear(backbone.features, len(labels))}
        self._weights: Tensor | None = None

    @classmethod
    def pretrained_from(cls, config: Config) -> Path | None:
        return backbones.pretrained_from(config.model)

    def take(self, weights: Path) -> set[str]:
        return {f"backbone.{key}" for key in backbones.take(self.modules["backbone"], self.config.model, weights)}

    @classmethod
    def untrainable_from_scratch(cls, config: Config) -> str:
        return LEARNED if on_features(config) else ""

    def remark(self) -> str:
        if not on_features(self.config):
            return ""
        return "only the head learns, on features: the network reads each image once, before the first step; images/s are the head's"

    def prepared(self, images: Images) -> None:
        self._images = images
        if self.config.loss.class_weights:
            self._weights = losses.class_weights(images.labels, len(self.labels))

    # -- batches --------------------------------------------------------------------------------------------------------

    def batches(self, split: str, seed: int | None) -> Batches:
        if split == "train" and seed is not None and on_features(self.config):
            settings = {"batch_size": self.config.train.batch_size, "seed": seed, "balance": self.config.balance}
            return FeatureBatches(self.modules["backbone"], self._images, **settings)
        return batches(self.config, split, seed, len(self.labels), self.config.balance)

    # -- training -------------------------------------------------------------------------------------------------------

    def refuses(self, teacher: "Task") -> str:
        if self.labels != teacher.labels:
            return f"its classes are {few(teacher.labels, SHOWN)}, and here they are {few(self.labels, SHOWN)}"
        return self.reads_otherwise(teacher)

    def scores(self, batch: Batch) -> Tensor:
        return self.logits(batch.images)

    def logits(self, images: Tensor) -> Tensor:
        """[B, classes] of images [B, C, H, W], or of features [B, F]."""
        features = images if images.ndim == 2 else self.modules["backbone"](images)
        return self.modules["head"](features)

    def loss(self, phase: str, batch: Batch) -> Loss:
        return self.loss_of(batch, self.scores(batch))

    def loss_of(self, batch: Batch, scores: Tensor) -> Loss:
        settings, weight = self.config.loss, None if self._weights is None else self._weights.to(scores.device)
        how = {"label_smoothing": settings.label_smoothing, "focal": settings.focal}
        return Loss(losses.classified(scores, batch.labels, weight, **how), len(batch.images))

    def meter(self) -> LabelMeter:
        return LabelMeter(self.labels)

    def answers(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        return self.logits(batch.images).float().softmax(dim=1).cpu().numpy(), batch.labels.cpu().numpy()

    def draw(self, folder: Path) -> None:
        """A sheet of augmented training images, once, before training."""
        path = folder / "augmented.png"
        if path.exists() or self.config.augment == Augment():
            return
        shown = self.config.train.model_copy(update={"batch_size": min(SHEET, len(self._images))})
        batch = batches(self.config.model_copy(update={"train": shown}), "train", self.config.seed, len(self.labels))[0]
        pixels = (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        pictures.save(pictures.sheet(pixels, 10), path)

    # -- use ------------------------------------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        return super().about() | {"labels": self.labels, "views": self.config.views}

    def graphs(self) -> list[Graph]:
        return [self.image_graph(_Whole(self.modules), ("log_p", "features"), name="model")]

    def predictor(self) -> Classifier:
        made = Classifier(self.about(), self.backend())
        made.heat = self._heat
        return made

    def _heat(self, images: np.ndarray) -> np.ndarray:
        """Grad-CAM [B, H', W'] of the likeliest class, on the last feature maps. ConfigError for a model that has none."""
        convolutions = [m for m in self.modules["backbone"].modules() if isinstance(m, nn.Conv2d)]
        if not convolutions:
            raise ConfigError(f"--explain needs a model with convolutions, not {self.config.model.kind}")
        held: list[Tensor] = []
        handle = convolutions[-1].register_forward_hook(lambda module, given, maps: held.append(maps))
        device = next(self.modules["head"].parameters()).device
        with torch.enable_grad():
            logits = self.logits(torch.from_numpy(images).to(device).requires_grad_())
            handle.remove()
            return vision.grad_cam(held[0], logits.amax(dim=1)).detach().cpu().numpy()

    def assets(self) -> dict[str, str | bytes]:
        return {"labels.json": json.dumps(self.labels, ensure_ascii=False)}


class _Whole(nn.Module):
    def __init__(self, modules: dict[str, nn.Module]):
        super().__init__()
        self.backbone, self.head = modules["backbone"], modules["head"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(images)
        return torch.log_softmax(self.head(features).float(), dim=1), features
