"""What comes from data, as text of Markdown."""

import re
from collections.abc import Iterable

_MEANT = re.compile(r"[|`]")


def escaped(text: str) -> str:
    """On one line, with nothing in it that ends a cell, or begins code, HTML or a comment."""
    return _MEANT.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


def line(cells: Iterable[str]) -> str:
    """Of a table."""
    return f"| {' | '.join(map(escaped, cells))} |"
