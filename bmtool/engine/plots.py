"""PNG curves of a run's metrics.jsonl."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from bmtool.base.files import write_bytes


def curves(events: list[dict], directory: Path) -> list[Path]:
    """One PNG a figure: training and validation values over the steps. Returns the files written."""
    series: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for event in events:
        for name, value in event.items():
            part, _, figure = name.partition("/")
            if figure and isinstance(value, (int, float)):
                series.setdefault(figure, {}).setdefault(part, []).append((event["step"], value))
    return [_curve(figure, parts, directory / f"{figure}.png") for figure, parts in series.items()]


def _curve(figure: str, parts: dict[str, list[tuple[int, float]]], path: Path) -> Path:
    canvas, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for part, points in parts.items():
        axes.plot(*zip(*points), label=part, marker="o" if len(points) < 30 else None, markersize=3)
    axes.set(xlabel="step", ylabel=figure.replace("_", " "))
    axes.grid(alpha=0.3)
    if len(parts) > 1:
        axes.legend()
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=120)
    plt.close(canvas)
    write_bytes(path, drawn.getvalue())
    return path
