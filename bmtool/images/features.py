"""Training a head on what a fixed backbone makes of the images: the backbone runs once an image, a step takes milliseconds."""

import numpy as np
import torch
from torch import nn

from bmtool.base.needs import needs
from bmtool.data.batching import Order
from bmtool.errors import ConfigError
from bmtool.images.batches import Batch, as_tensor
from bmtool.images.prepare import Images

_CHUNK = 128
LEARNED = (
    "finetune.train: head trains on the features of a backbone that has learned: use `bmtool finetune`, or leave it out"
)


class FeatureBatches:
    """What a fixed backbone makes of the training images; with `balance` "smote", classes are filled up to the largest.

    Features are computed when the first batch is asked for, which is after weights of a parent run have been loaded.
    """

    def __init__(self, backbone: nn.Module, images: Images, *, batch_size: int, seed: int, balance: str = "none"):
        self._backbone, self._images, self._seed, self._smote = backbone, images, seed, balance == "smote"
        self.examples = len(images)
        self._labels = images.labels.astype(np.int64)
        if self._smote:
            counts = np.bincount(self._labels)
            self._labels = np.repeat(np.flatnonzero(counts), counts.max())
        self._order = Order(self._labels, batch_size, seed, "none" if self._smote else balance)
        self.per_epoch = self._order.per_epoch
        self._features: np.ndarray | None = None

    def __getitem__(self, position: int) -> Batch:
        """`images` are features [B, F]. ConfigError when the backbone learns: its features would be out of date at once."""
        if self._features is None:
            self._features, self._labels = self._compute()
        chosen = self._order[position]
        return Batch(torch.from_numpy(self._features[chosen]), torch.from_numpy(self._labels[chosen]), len(chosen))

    def _compute(self) -> tuple[np.ndarray, np.ndarray]:
        """Features [N, F] and labels [N], in an order by class when SMOTE has added some."""
        if any(parameter.requires_grad for parameter in self._backbone.parameters()):
            raise ConfigError(LEARNED)
        features, labels = self._features_of_all(), self._images.labels.astype(np.int64)
        if not self._smote:
            return features, labels
        features, labels = _smote(features, labels, self._seed)
        order = np.argsort(labels, kind="stable")
        return features[order], labels[order]

    @torch.no_grad()
    def _features_of_all(self) -> np.ndarray:
        backbone, device = self._backbone, next(self._backbone.parameters()).device
        mode = backbone.training
        backbone.eval()
        every = np.arange(len(self._images))
        chunks = np.split(every, range(_CHUNK, len(every), _CHUNK))
        parts = [backbone(as_tensor(self._images.pixels(chunk)).to(device)).cpu() for chunk in chunks]
        backbone.train(mode)
        return torch.cat(parts).numpy()


def _smote(features: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """New feature vectors between neighbours of a class (Chawla et al. 2002), as many as the largest class has."""
    with needs("imbalanced-learn", "balance: smote comes with imbalanced-learn"):
        from imblearn.over_sampling import SMOTE
    fewest = int(np.bincount(labels)[np.unique(labels)].min())
    if fewest < 2:
        raise ConfigError("balance: smote needs at least two images of every class")
    return SMOTE(random_state=seed, k_neighbors=min(5, fewest - 1)).fit_resample(features, labels)
