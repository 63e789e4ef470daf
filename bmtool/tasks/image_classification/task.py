"""image-classification as the engine sees it."""

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmtool.config.image import Augment
from bmtool.engine.task import Best, Identity, Loss
from bmtool.errors import ConfigError
from bmtool.images import backbones, pictures
from bmtool.images.batches import Batch, batches
from bmtool.images.features import FeatureBatches, on_features
from bmtool.images.prepare import Images, load_labels, require_classes
from bmtool.nn import vision
from bmtool.tasks.image_classification import export
from bmtool.tasks.image_classification.config import Config
from bmtool.tasks.image_classification.predict import Classifier

SHEET = 40  # augmented images that are shown before training


class Task:
    phases: ClassVar = {"model": ("backbone", "head")}
    best = Best("accuracy", "max")
    bound: ClassVar = ("head",)
    unit: ClassVar = "images"

    def __init__(self, config: Config, assets: Path | None = None):
        """From prepared images; or, for a run that only predicts, from its `assets` directory alone."""
        self.config = config
        mean = deviation = [0.5] * config.data.channels
        if assets is None:
            self._images = Images(config.data.prepared, "train")
            manifest = self._images.manifest
            self.labels: list[str] = manifest["labels"]
            require_classes(self.labels, config.data.source)
            mean, deviation = manifest["mean"], manifest["deviation"]
            self.identity = Identity(
                manifest["data_hash"], hashlib.sha256(json.dumps(self.labels).encode()).hexdigest()
            )
        else:
            self.labels = load_labels(assets)
        backbone = backbones.build(config.model, config.data, mean, deviation, pretrained=assets is None)
        self.pretrained = backbones.is_pretrained(config.model)
        self.modules = {"backbone": backbone, "head": nn.Linear(backbone.features, len(self.labels))}
        self._weights = self._class_weights() if assets is None and config.loss.class_weights else None

    def _class_weights(self) -> Tensor:
        """[classes], inverse to their frequency, 1 on average over the training images; 0 for a class without any."""
        counts = np.bincount(self._images.labels, minlength=len(self.labels))
        weight = np.where(counts > 0, len(self._images) / np.maximum(counts, 1) / max(1, (counts > 0).sum()), 0)
        return torch.from_numpy(weight).float()

    # -- batches --------------------------------------------------------------------------------------------------------

    def batches(self, split: str, seed: int | None) -> Any:
        if split == "train" and seed is not None and on_features(self.config):
            settings = {"batch_size": self.config.train.batch_size, "seed": seed, "balance": self.config.balance}
            return FeatureBatches(self.modules["backbone"], self._images, **settings)
        return batches(self.config, split, seed, len(self.labels), self.config.balance)

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

    def measure(self, batch: Batch) -> dict[str, tuple[float, int]]:
        logits = self.logits(batch.images)
        right = (logits.argmax(dim=1) == batch.labels).sum().item()
        return {
            "loss": (functional.cross_entropy(logits, batch.labels, reduction="sum").item(), batch.tokens),
            "accuracy": (right, batch.tokens),
        }

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

    def predictor(self) -> Classifier:
        return Classifier(
            self.labels, TorchBackend(self), self.config.data.size, self.config.data.channels, self.config.views
        )

    def export(self, path: Path, *, int8: bool, metadata: dict) -> dict:
        return export.export(self, path, int8=int8, metadata=metadata)

    def inherit(self, assets: Path) -> None:
        """Weights are all that is taken over."""

    def assets(self) -> dict[str, str | bytes]:
        return {"labels.json": json.dumps(self.labels, ensure_ascii=False)}


class TorchBackend:
    """Log-probabilities by the modules of a task; see `predict.Classifier`."""

    def __init__(self, task: Task):
        self.task = task

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        device = next(self.task.modules["head"].parameters()).device
        logits = self.task.logits(torch.from_numpy(images).to(device))
        return torch.log_softmax(logits.float(), dim=1).cpu().numpy()

    def heat(self, images: np.ndarray) -> np.ndarray:
        """Grad-CAM [B, H', W'] of the likeliest class, on the last feature maps. ConfigError for a model that has none."""
        convolutions = [m for m in self.task.modules["backbone"].modules() if isinstance(m, nn.Conv2d)]
        if not convolutions:
            raise ConfigError(f"--explain needs a model with convolutions, not {self.task.config.model.kind}")
        held: list[Tensor] = []
        handle = convolutions[-1].register_forward_hook(lambda module, given, maps: held.append(maps))
        device = next(self.task.modules["head"].parameters()).device
        with torch.enable_grad():
            logits = self.task.logits(torch.from_numpy(images).to(device).requires_grad_())
            handle.remove()
            return vision.grad_cam(held[0], logits.amax(dim=1)).detach().cpu().numpy()
