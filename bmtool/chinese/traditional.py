"""Traditional and simplified characters, by OpenCC's phrase tables. ConfigError when OpenCC is not installed."""

from functools import cache
from typing import Any

from bmtool.base.needs import needs


@cache
def _opencc(direction: str) -> Any:
    """The converter, `t2s` or `s2t`; loaded once."""
    with needs("opencc", "changing between traditional and simplified characters takes OpenCC"):
        import opencc
    return opencc.OpenCC(direction)


def to_simplified(text: str) -> str:
    return _opencc("t2s").convert(text)


def to_traditional(text: str) -> str:
    return _opencc("s2t").convert(text)
