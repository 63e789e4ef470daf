"""What a source of images lists: each image, undecoded where it is a file, with what is known of it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from bmtool.sources.cells import Cell
from bmtool.sources.tars import Member


class Box(NamedTuple):
    """In pixels of the upright image: x1 < x2 from its left edge, y1 < y2 from its upper one."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str


class Item(NamedTuple):
    name: str
    label: str | None
    # None: by a hash of the pixels
    split: str | None
    # a file, a place in a tar or a table, or pixels uint8 [H, W] or [H, W, 3]
    content: Path | Member | Cell | np.ndarray
    # None where the source has no boxes; empty for an image without any
    boxes: tuple[Box, ...] | None = None
    # a file of class numbers, one for each pixel
    mask: Path | None = None
    # the image that is to be made of this one
    paired: Path | None = None
    # other columns of its row, by which figures may be parted
    fields: Mapping[str, str] = MappingProxyType({})
