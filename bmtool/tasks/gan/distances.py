"""How far generated images are from real ones. numpy only; the features come from a classifier of ours, if one is named."""

from pathlib import Path

import numpy as np

from bmtool.errors import ConfigError
from bmtool.predict.exported import open_model

COARSE = 8  # pixels a side of what stands for features without a classifier
_CHUNK = 64


class Features:
    """Images float32 [N, H, W, C] in 0 .. 1 to features [N, F], by an exported image classifier; without one, to coarse pixels."""

    def __init__(self, path: str | None):
        self._backend = None
        if path is None:
            return
        opened = open_model(Path(path))
        self._backend, metadata = opened.backend, opened.about
        if metadata["task"] != "image-classification":
            raise ConfigError(f"features: {path} is a model of {metadata['task']}, not an image classifier")
        self._shape = (metadata["size"], metadata["size"], metadata["channels"])
        self._path = path

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self._backend is None:
            return _coarse(images)
        if images.shape[1:] != self._shape:
            raise ConfigError(f"features: {self._path} takes images {self._shape}, these are {images.shape[1:]}")
        given = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        parts = [
            self._backend.run("model", {"images": given[start : start + _CHUNK]})["features"]
            for start in range(0, len(given), _CHUNK)
        ]
        return np.concatenate(parts)


def _coarse(images: np.ndarray) -> np.ndarray:
    """Means over a grid of COARSE x COARSE tiles, or of single pixels where there are fewer."""
    edges = [np.linspace(0, side, min(COARSE, side) + 1).astype(int)[:-1] for side in images.shape[1:3]]
    tiles = np.add.reduceat(np.add.reduceat(images, edges[0], axis=1), edges[1], axis=2)
    areas = np.outer(*(np.diff(np.append(edge, side)) for edge, side in zip(edges, images.shape[1:3])))
    return (tiles / areas[:, :, None]).reshape(len(images), -1)


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Squared maximum mean discrepancy with a cubic kernel, unbiased (Binkowski et al. 2018, "KID"), of features [N, F] and [M, F]."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) @ b.T / a.shape[1] + 1) ** 3

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return float(within(ours) + within(theirs) - 2 * kernel(ours, theirs).mean())


def diversity(made: np.ndarray, real: np.ndarray) -> float:
    """Mean distance between two generated images, as a share of that between two real ones: 0 when all are the same (collapse)."""

    def spread(images: np.ndarray) -> float:
        flat = images.reshape(len(images), -1).astype(np.float64)
        squared = (flat**2).sum(1)
        distance = np.sqrt(np.maximum(squared[:, None] + squared[None] - 2 * flat @ flat.T, 0))
        return distance.sum() / (len(flat) * (len(flat) - 1))

    return float(spread(made) / max(spread(real), 1e-12))


class Moments:
    """Weighted sums of features and of their products, for means and covariances with resamples."""

    def __init__(self, width: int, columns: int):
        self.count = np.zeros(columns)
        self.first, self.second = np.zeros((columns, width)), np.zeros((columns, width * width))

    @classmethod
    def of(cls, state: list[np.ndarray]) -> "Moments":
        """From added-up states."""
        made = cls(0, 0)
        made.count, made.first, made.second = state
        return made

    def state(self) -> list[np.ndarray]:
        return [self.count, self.first, self.second]

    def add(self, features: np.ndarray, weight: np.ndarray) -> None:
        """Features [B, F], weight [B, columns]."""
        features = features.astype(np.float64)
        self.count += weight.sum(0)
        self.first += weight.T @ features
        if len(self.count) == 1:
            self.second += ((features * weight).T @ features).reshape(1, -1)
        else:
            self.second += weight.T @ (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)

    def gaussians(self) -> tuple[np.ndarray, np.ndarray]:
        """Means [columns, F] and covariances [columns, F, F]."""
        count = np.maximum(self.count, 1)  # a resample may have drawn none
        mean = self.first / count[:, None]
        width = mean.shape[1]
        second = (self.second / count[:, None]).reshape(-1, width, width)
        return mean, second - mean[:, :, None] * mean[:, None, :]


def frechet(ours: Moments, theirs: Moments) -> np.ndarray:
    """Frechet distance [columns] between Gaussians with these moments (Heusel et al. 2017); NaN where under two images count."""
    (mean_a, spread_a), (mean_b, spread_b) = ours.gaussians(), theirs.gaussians()
    known = np.minimum(ours.count, theirs.count) >= 2
    spread_a, spread_b = (np.where(known[:, None, None], spread, 0.0) for spread in (spread_a, spread_b))
    values, vectors = np.linalg.eigh(spread_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    between = np.linalg.eigvalsh(root @ spread_b @ root)
    trace = np.trace(spread_a + spread_b, axis1=1, axis2=2) - 2 * np.sqrt(np.maximum(between, 0)).sum(1)
    return np.where(known, np.square(mean_a - mean_b).sum(1) + trace, np.nan)
