"""Pictures of an evaluation (PNG)."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

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
    canvas.savefig(path, dpi=110)
    plt.close(canvas)


def roc(curves: dict[str, tuple[np.ndarray, np.ndarray, float]], path: Path) -> None:
    """One class against the rest; of many classes the hardest."""
    canvas, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    for name in sorted(curves, key=lambda name: curves[name][2])[:_CURVES]:
        false, true, area = curves[name]
        axes.plot(false, true, label=f"{name} ({area:.3f})", linewidth=1)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5, linestyle="--")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    if curves:
        axes.legend(fontsize=7, loc="lower right")
    axes.grid(alpha=0.3)
    canvas.savefig(path, dpi=110)
    plt.close(canvas)
