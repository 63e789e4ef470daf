"""Which values of an image are black and white: images of 8 bits say it themselves, of others one rule for a whole data set does.

Integers of 16 bits are 0 to 65,535, floats are 0 to 1, unless `data.range` says otherwise. An image that does not fit the rule is
refused: nothing is guessed from its own values.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from bmtool.errors import BadInput

# As `data.range` has it: auto, 8bit, 12bit, 16bit, unit, or the values that are black and white.
Range: TypeAlias = str | Sequence[float]

DEPTHS = {"8bit": 255, "12bit": 4095, "16bit": 65535}
_INTEGERS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_SEVERAL_16 = re.compile(
    r";16[BLN]$"
)  # raw modes of 16 bits a channel, of which Pillow keeps the upper 8 in other modes than these
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

SIXTEEN = "16 bits a pixel, scaled to 8"
DEEP = "floats, or whole numbers of neither 8 nor 16 bits, scaled to 8 bits"
DIM = "16 bits a pixel, and no value over 4,095"
SHALLOW = "8 bits a pixel where data.range is of more, read as 0 to 255"
CUT = "values beyond data.range, cut at its ends"
TURNED = "zero is white, as the file says, and was made black"


class BadImage(BadInput):
    """Why an image cannot be used, in a few words that are the same for every such image."""


class Stored(NamedTuple):
    """How a file holds its pixels, known before they are decoded."""

    # the largest value that its type holds; None where that says nothing of what is white
    top: float | None
    # 16 bits in each of several channels, of which Pillow keeps 8
    halved: bool = False
    white_is_zero: bool = False


def stored(image: Image.Image) -> Stored:
    """Of an image that is not decoded yet."""
    raw = _raw_mode(image)
    if image.mode == "F":
        top: float | None = 1.0
    elif image.mode == "I":
        top = 65535 if image.format in ("PNG", "PPM") else None  # of other files 32 bits, or a sign
    else:
        top = 4095 if raw == "I;12" else 65535 if image.mode in _INTEGERS else 255
    tags = getattr(image, "tag_v2", {}) if image.mode in (*_INTEGERS, "F") else {}
    halved = image.mode not in _INTEGERS and bool(_SEVERAL_16.search(raw))
    return Stored(top, halved, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def to_8bit(image: Image.Image, how: Stored, wanted: Range) -> tuple[Image.Image, list[str]]:
    """An image of any mode as one of 8 bits a channel, and what is to be said of it. BadImage when `wanted` does not fit it."""
    if how.halved:
        return image, [SIXTEEN, *_dim(_require_whole(image, wanted), 4095 >> 8, wanted)]
    if image.mode not in (*_INTEGERS, "F"):
        return image, [] if wanted in ("auto", "8bit") else [SHALLOW]
    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all():
        raise BadImage("values that are no numbers")
    low, high = _ends(image, how, wanted)
    outside = bool(values.min(initial=high) < low or values.max(initial=low) > high)
    if outside and isinstance(wanted, str):
        raise BadImage(f"values outside {low:,g} to {high:,g}: data.range says which are black and white")
    depth = [SIXTEEN, *_dim(values, 4095, wanted)] if how.top == DEPTHS["16bit"] else [DEEP]
    scaled = np.rint((values.clip(low, high) - low) * np.float32(255 / (high - low))).astype(np.uint8)
    notes = [*depth, *([CUT] if outside else []), *([TURNED] if how.white_is_zero else [])]
    return Image.fromarray(255 - scaled if how.white_is_zero else scaled), notes


def _require_whole(image: Image.Image, wanted: Range) -> np.ndarray:
    """The upper 8 bits of each channel. BadImage when others are needed."""
    if wanted not in ("auto", "16bit"):
        raise BadImage(
            "16 bits in each of several channels, of which the upper 8 are read: data.range is auto or 16bit"
        )
    return np.asarray(image)


def _ends(image: Image.Image, how: Stored, wanted: Range) -> tuple[float, float]:
    """The values that are black and white."""
    if not isinstance(wanted, str):
        return float(wanted[0]), float(wanted[1])
    floats = image.mode == "F"
    if wanted != "auto" and floats != (wanted == "unit"):
        raise BadImage(f"{'floats' if floats else 'whole numbers'}, where data.range is {wanted}")
    top = DEPTHS.get(wanted, how.top)
    if top is None:
        raise BadImage("whole numbers of 32 bits or with a sign: data.range says which are black and white")
    return 0.0, float(top)


def _dim(values: np.ndarray, limit: int, wanted: Range) -> list[str]:
    return [DIM] if wanted == "auto" and values.max(initial=0) <= limit else []
