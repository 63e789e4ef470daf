"""Pictures of an evaluation (PNG)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bmtool.base.drawing import plt, save
from bmtool.measure.ranking import Curve

_NAMED = 40  # classes that are named on the axes
_CURVES = 10  # that are drawn one by one


def confusion(matrix: np.ndarray, names: list[str], path: Path) -> None:
    """Counts [true, given], coloured by the share of the true class."""
    size = min(14.0, 3 + 0.4 * len(names))
    canvas, axes = plt.subplots(figsize=(size, size), layout="constrained")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="given", ylabel="true")
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= 20:
        for row, column in np.argwhere(matrix):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", color=colour, fontsize=7)
    save(canvas, path)


def roc(curves: dict[str, Curve], path: Path) -> None:
    """One class against the rest; of many classes the hardest."""
    shown = {f"{name} ({curve.auc:.3f})": (curve.false, curve.true) for name, curve in _hardest(curves, "auc")}
    _lines(shown, ("false positive rate", "true positive rate"), path, chance=True)


def precision_recall(curves: dict[str, Curve], path: Path) -> None:
    """One class against the rest; of many classes the hardest."""
    hardest = _hardest(curves, "average_precision")
    shown = {f"{name} ({curve.average_precision:.3f})": (curve.true, curve.precision) for name, curve in hardest}
    _lines(shown, ("recall", "precision"), path)


def _hardest(curves: dict[str, Curve], area: str) -> list[tuple[str, Curve]]:
    return sorted(curves.items(), key=lambda item: getattr(item[1], area))[:_CURVES]


def _lines(
    lines: dict[str, tuple[np.ndarray, np.ndarray]], axes: tuple[str, str], path: Path, *, chance: bool = False
) -> None:
    canvas, area = plt.subplots(figsize=(6, 5), layout="constrained")
    for name, (x, y) in lines.items():
        area.plot(x, y, label=name, linewidth=1)
    if chance:
        area.plot([0, 1], [0, 1], color="grey", linewidth=0.5, linestyle="--")
    area.set(xlabel=axes[0], ylabel=axes[1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if lines:
        area.legend(fontsize=7, loc="best")
    area.grid(alpha=0.3)
    save(canvas, path)


def scatter(truth: np.ndarray, said: np.ndarray, path: Path) -> None:
    """What was said against what is true, and where both are the same."""
    canvas, area = plt.subplots(figsize=(6, 5), layout="constrained")
    area.plot(truth, said, ".", markersize=4, alpha=0.5)
    ends = [float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))]
    area.plot(ends, ends, color="grey", linewidth=0.5, linestyle="--")
    area.set(xlabel="true", ylabel="predicted")
    area.grid(alpha=0.3)
    save(canvas, path)


def calibration(points: np.ndarray, path: Path) -> None:
    """[bins, 3]: mean probability, share that came true, examples; the larger a point, the more of these."""
    canvas, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.7)
    axes.plot(points[:, 0], points[:, 1], color="tab:blue", linewidth=1)
    axes.scatter(points[:, 0], points[:, 1], s=10 + 150 * points[:, 2] / points[:, 2].max())
    axes.set(xlabel="mean probability", ylabel="share that was taken", xlim=(0, 1), ylim=(0, 1))
    save(canvas, path)


def lorenz(counts: Mapping[str, np.ndarray], path: Path) -> None:
    """The share of all that the rarest things have, of counts [things] by what they are of; the diagonal is all alike (Lorenz 1905)."""
    canvas, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    for name, found in counts.items():
        ordered = np.sort(found).astype(np.float64)
        share = np.cumsum(ordered) / max(1.0, ordered.sum())
        axes.plot(np.linspace(0, 1, len(share) + 1), np.append(0.0, share), label=name)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    axes.set(xlabel="share of the items, the rarest first", ylabel="share of all")
    axes.legend(fontsize=7)
    save(canvas, path)
