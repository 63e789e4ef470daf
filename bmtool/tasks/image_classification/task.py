"""image-classification as the engine sees it."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.config.image import Augment
from bmtool.engine.task import Allowed, Best, Graph, Loss
from bmtool.errors import ConfigError
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch, Order, as_tensor, batches
from bmtool.images.prepare import Images, require_classes
from bmtool.images.task import ImageTask, Statistics
from bmtool.measure.labels import LabelMeter
from bmtool.nn import vision
from bmtool.tasks.image_classification.config import Config
from bmtool.tasks.image_classification.predict import Classifier

SHEET = 40  # augmented images that are shown before training


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
        self.pretrained = backbones.is_pretrained(config.model)
        self.modules = {"backbone": backbone, "head": nn.Linear(backbone.features, len(labels))}
        self._weights: Tensor | None = None

    def prepared(self, images: Images) -> None:
        self._images = images
        if self.config.loss.class_weights:
            self._weights = class_weights(images.labels, len(self.labels))

    # -- batches --------------------------------------------------------------------------------------------------------

    def batches(self, split: str, seed: int | None) -> Any:
        if split == "train" and seed is not None and self._on_features():
            return FeatureBatches(self, self._images, seed)
        return batches(self.config, split, seed, len(self.labels), self.config.balance)

    def _on_features(self) -> bool:
        """Whether only the head learns, from images that never change: then the backbone runs once an image."""
        fixed = not any(p.requires_grad for p in self.modules["backbone"].parameters())
        if self.config.balance == "smote" and not fixed:
            raise ConfigError("balance: smote needs a fixed backbone: use `bmtool finetune` with finetune.train: head")
        return fixed and self.config.augment == Augment()

    # -- training -------------------------------------------------------------------------------------------------------

    def logits(self, images: Tensor) -> Tensor:
        """[B, classes] of images [B, C, H, W], or of features [B, F]."""
        features = images if images.ndim == 2 else self.modules["backbone"](images)
        return self.modules["head"](features)

    def loss(self, phase: str, batch: Batch) -> Loss:
        settings, logits = self.config.loss, self.logits(batch.images)
        weight = None if self._weights is None else self._weights.to(logits.device)
        if not settings.focal:
            total = functional.cross_entropy(
                logits, batch.labels, weight=weight, label_smoothing=settings.label_smoothing, reduction="sum"
            )
            return Loss(total, len(batch.images))
        each = functional.cross_entropy(logits, batch.labels, weight=weight, reduction="none")
        sure = functional.cross_entropy(logits, batch.labels, reduction="none").neg().exp()
        return Loss(((1 - sure) ** settings.focal * each).sum(), len(batch.images))

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


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """[classes], inverse to their frequency among labels [N], 1 on average over them; 0 for a class without any."""
    counts = np.bincount(labels, minlength=classes)
    weight = np.where(counts > 0, len(labels) / np.maximum(counts, 1) / max(1, (counts > 0).sum()), 0)
    return torch.from_numpy(weight).float()


class FeatureBatches:
    """What a fixed backbone makes of the training images, computed once; with SMOTE, classes are filled up to the largest."""

    def __init__(self, task: Task, images: Images, seed: int):
        self._task, self._images, self._seed = task, images, seed
        self.examples = len(images)
        self._labels = images.labels.astype(np.int64)
        if task.config.balance == "smote":
            counts = np.bincount(self._labels)
            self._labels = np.repeat(np.flatnonzero(counts), counts.max())
        balance = task.config.balance if task.config.balance in ("over", "under") else "none"
        self._order = Order(self._labels, task.config.train.batch_size, seed, balance)
        self.per_epoch = self._order.per_epoch
        self._features: np.ndarray | None = None

    def __getitem__(self, position: int) -> Batch:
        if self._features is None:
            self._features, self._labels = self._compute()
        chosen = self._order[position]
        return Batch(torch.from_numpy(self._features[chosen]), torch.from_numpy(self._labels[chosen]), len(chosen))

    @torch.no_grad()
    def _compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Features [N, F] and labels [N], in an order by class when SMOTE has added some."""
        backbone = self._task.modules["backbone"]
        mode, device = backbone.training, next(backbone.parameters()).device
        backbone.eval()
        parts = [
            backbone(
                as_tensor(self._images.pixels(np.arange(start, min(start + 128, len(self._images))))).to(device)
            ).cpu()
            for start in range(0, len(self._images), 128)
        ]
        backbone.train(mode)
        features, labels = torch.cat(parts).numpy(), self._images.labels.astype(np.int64)
        if self._task.config.balance != "smote":
            return features, labels
        features, labels = _smote(features, labels, self._seed)
        order = np.argsort(labels, kind="stable")
        return features[order], labels[order]


def _smote(features: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError as error:
        raise ConfigError("balance: smote needs imbalanced-learn: pip install 'bmtool[imbalance]'") from error
    fewest = int(np.bincount(labels)[np.unique(labels)].min())
    if fewest < 2:
        raise ConfigError("balance: smote needs at least two images of every class")
    return SMOTE(random_state=seed, k_neighbors=min(5, fewest - 1)).fit_resample(features, labels)
