"""Pictures of interactions (PNG)."""

from pathlib import Path

import numpy as np

from bmtool.base.drawing import plt, save


def popularity(taken: np.ndarray, path: Path) -> None:
    """How often each item was taken [items], the commonest first, and the share of all that those up to it have."""
    ordered = np.sort(taken)[::-1]
    canvas, area = plt.subplots(figsize=(7, 3.5), layout="constrained")
    places = np.arange(1, len(ordered) + 1)
    area.plot(places, ordered, color="tab:blue")
    area.set(xscale="log", yscale="symlog", xlabel="items, the commonest first")
    area.set_ylabel("interactions", color="tab:blue")
    share = area.twinx()
    share.plot(places, np.cumsum(ordered) / max(1, ordered.sum()), color="tab:orange")
    share.set_ylim(0, 1)
    share.set_ylabel("share of all", color="tab:orange")
    save(canvas, path)
