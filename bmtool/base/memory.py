"""How much memory there is, and how much of it this process has taken."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path


def available(root: Path = Path("/")) -> int:
    """Bytes that this machine, or the container or service that we are in, has."""
    return min([_machine(root), *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """What the control groups that we are in, and those around them, allow."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, kinds, group = line.split(":", 2)
        if kinds == "":  # version 2
            yield from _upwards(root / "sys/fs/cgroup", group, "memory.max")
        elif "memory" in kinds.split(","):  # version 1
            yield from _upwards(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes")


def _upwards(mount: Path, group: str, name: str) -> Iterator[int]:
    for folder in (mount / group.strip("/"), *(mount / group.strip("/")).parents):
        if folder.is_relative_to(mount) and (text := _read(folder / name).strip()).isdigit():  # "max": no limit
            yield int(text)


def _read(path: Path) -> str:
    """A file of the kernel's; "" where there is none."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""


def _machine(root: Path) -> int:
    if text := _read(root / "proc/meminfo"):
        return 1024 * int(text.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # no Linux


def is_short(error: Exception) -> bool:
    """Whether an error says that memory is short: Python's, or torch's of a CPU or a GPU, which says so in words."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_of_torch


def resident() -> int:
    """Bytes that this process has taken at most so far."""
    for line in _read(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
