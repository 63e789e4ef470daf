"""Quantities and lists as people read them."""

import re
from collections.abc import Collection
from itertools import islice


def few(names: Collection[str], most: int) -> str:
    """`a, b, c`, and `, ...` where there are more than so many."""
    return ", ".join(islice(names, most)) + (", ..." if len(names) > most else "")


def shortened(text: str, most: int = 40) -> str:
    """A text of any length, or its first letters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def short(count: float, digits: int = 1) -> str:
    """`640`, `12.3 K` or, from a tenth of a million on, `2.8 M` with so many digits."""
    if count >= 1e5:
        return f"{count / 1e6:.{digits}f} M"
    return f"{count / 1e3:.1f} K" if count >= 1e3 else f"{count}"


def gigabytes(count: float) -> str:
    """`12.3 GB`, of bytes."""
    return f"{count / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h` or `1h30m` in seconds. ValueError for anything else, and for nothing."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    total = sum(int(part or 0) * size for part, size in zip(found.groups(), (3600, 60, 1))) if found else 0
    if not total:
        raise ValueError(f"expected a time such as 90s, 30m, 2h or 1h30m, got {text!r}")
    return float(total)


def age(seconds: float) -> str:
    """`40 s`, `3 min`, `5 h` or `12 d`: one unit, rounded down."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
