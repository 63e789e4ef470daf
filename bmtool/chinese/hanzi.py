"""What a hanzi is, in patterns, strings and arrays alike."""

import re
from functools import reduce

import numpy as np

HANZI = "㐀-䶿一-鿿〇"  # inside the brackets of a pattern: the basic plane's ideographs and the zero
_RUN = re.compile(f"[{HANZI}]+")
_RANGES = tuple((ord(piece[0]), ord(piece[-1])) for piece in re.findall(".-.|.", HANZI))


def is_hanzi(character: str) -> bool:
    return _RUN.fullmatch(character) is not None


def hanzi_runs(text: str) -> list[str]:
    """Every maximal run of hanzi."""
    return _RUN.findall(text)


def hanzi_mask(codes: np.ndarray) -> np.ndarray:
    """Which code points are hanzi, bool of the same shape."""
    return reduce(np.logical_or, ((codes >= low) & (codes <= high) for low, high in _RANGES))


def gb2312() -> set[str]:
    """The 6,763 hanzi of GB 2312, levels 1 and 2."""
    codes = ((high, low) for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF))
    return {text for high, low in codes if (text := bytes((high, low)).decode("gb2312", "ignore"))}
