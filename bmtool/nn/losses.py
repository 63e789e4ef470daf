"""Losses of classifiers. Shapes: B examples, C classes."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """[classes], inverse to their frequency among labels [N], 1 on average over them; 0 for a class without any."""
    counts = np.bincount(labels, minlength=classes)
    weight = np.where(counts > 0, len(labels) / np.maximum(counts, 1) / max(1, (counts > 0).sum()), 0)
    return torch.from_numpy(weight).float()


def classified(
    logits: Tensor, target: Tensor, weight: Tensor | None, *, label_smoothing: float, focal: float
) -> Tensor:
    """The sum over examples: cross-entropy, or where `focal` is its gamma the focal loss (Lin et al. 2017).

    `logits` [B, C], `target` class numbers [B], `weight` [C] of each class.
    """
    if not focal:
        return F.cross_entropy(logits, target, weight=weight, label_smoothing=label_smoothing, reduction="sum")
    each = F.cross_entropy(logits, target, weight=weight, reduction="none")
    sure = F.cross_entropy(logits, target, reduction="none").neg().exp()
    return (_unsure(sure, focal) * each).sum()


def several(logits: Tensor, target: Tensor, weight: Tensor | None, *, focal: float) -> Tensor:
    """The sum over examples of the mean over classes, each told apart from the rest by itself; `target` [B, C] in 0 .. 1.

    `weight` [C] is that of a class that is there.
    """
    each = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    if focal:
        sure = torch.where(target > 0.5, logits, -logits).sigmoid()
        each = _unsure(sure, focal) * each
    return each.mean(dim=1).sum()


def _unsure(sure: Tensor, gamma: float) -> Tensor:
    # Of a power below 1 the slope at 0 has no end.
    return (1 - sure).clamp_min(torch.finfo(sure.dtype).eps) ** gamma
