"""Whether prepared data are still what was prepared: looked at once, before a training, an evaluation or an export uses them."""

from collections.abc import Callable
from pathlib import Path

from bmtool.base.units import short
from bmtool.data import prepared
from bmtool.registry import Entry

NOTICED = 1.0  # seconds from which on the time is said


def checked(folder: Path, entry: Entry, say: Callable[[str], None]) -> Path:
    """The folder itself. DataError that names what has changed, unless `--no-verify` leaves the check out."""
    if prepared.verifies.get():
        took = prepared.check(folder, entry.load("content"))
        if took.seconds >= NOTICED:
            say(f"checked {short(took.bytes)}B of prepared data in {took.seconds:.1f} s (--no-verify leaves it out)")
    return folder
