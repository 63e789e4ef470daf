"""How much memory there is, and how much of it this process has taken."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from bmtool.base import cgroups
from bmtool.base.units import gigabytes
from bmtool.errors import ResourceError


def available(root: Path = Path("/")) -> int:
    """Bytes that this machine, or the container or service that we are in, has."""
    return min([_machine(root), *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """What the control groups allow that we are in."""
    for text in cgroups.settings(root, "memory.max", controller="memory", legacy="memory.limit_in_bytes"):
        if text.isdigit():  # "max": no limit
            yield int(text)


def free(root: Path = Path("/")) -> int:
    """Bytes that nobody has taken now, of those that are `available`; all of them where the system does not say."""
    for line in cgroups.read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return min(available(root), 1024 * int(line.split()[1]))
    return available(root)


def require_room(numbers: float, what: str, instead: str) -> str:
    """What to say before so many float32 are taken. ResourceError that names the alternative when they do not fit."""
    needed, there = 4 * numbers, free()
    if needed > there:
        raise ResourceError(f"{what} takes {gigabytes(needed)} of memory, and {gigabytes(there)} are free: {instead}")
    return f"{what}: {gigabytes(needed)} of memory"


def _machine(root: Path) -> int:
    if text := cgroups.read(root / "proc/meminfo"):
        return 1024 * int(text.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # no Linux


def is_short(error: Exception) -> bool:
    """Whether an error says that memory is short: Python's, or torch's of a CPU or a GPU, which says so in words."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_of_torch


def resident() -> int:
    """Bytes that this process has taken at most so far."""
    return _status("VmHWM:")


def resident_now() -> int:
    """Bytes that this process has taken; where the system does not tell, at most so far."""
    return _status("VmRSS:")


def _status(name: str) -> int:
    for line in cgroups.read(Path("/proc/self/status")).splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
