"""matplotlib for pictures in files: no window is opened, and Chinese names are written where this machine has letters for them."""

import io
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import font_manager

from bmtool.base.files import write_bytes

CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "SimHei",
)
_there = {font.name for font in font_manager.fontManager.ttflist}
plt.rcParams["font.family"] = ["DejaVu Sans", *(name for name in CHINESE if name in _there)]


def lacks_letters(text: str) -> bool:
    """Whether there are Chinese letters in it, and no font for them here."""
    return not _there.intersection(CHINESE) and any(ord(letter) >= 0x2E80 for letter in text)


def save(canvas: plt.Figure, path: Path, *, dpi: int = 110) -> Path:
    """Write a PNG, and close what it was drawn on. Letters of no font that is here are boxes, without a warning for each."""
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        canvas.savefig(drawn, dpi=dpi)
    plt.close(canvas)
    write_bytes(path, drawn.getvalue())
    return path
