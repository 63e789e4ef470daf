"""The memory of a server: what there is, what may be used, and what requests under way hold of it."""

import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from bmtool.errors import ConfigError, ResourceError
from bmtool.serve.problems import ProblemError

SHARE = 0.75  # of what there is, unless told otherwise
LEAST = 96_000_000  # bytes for requests and runs of the model, below which a server is of no use
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def size(text: str) -> int:
    """Bytes of `800MB` or `2GB`. ConfigError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ConfigError(f"--memory {text}: expected a size such as 800MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


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


def resident() -> int:
    """Bytes that this process has taken at most so far."""
    for line in _read(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def room(limit: int, taken: int) -> int:
    """What `taken` bytes of a loaded server leave of the limit. ResourceError when that is too little to work with."""
    left = limit - taken
    if left < LEAST:
        raise ResourceError(
            f"--memory {limit / 1e6:.0f}MB is too little: the server and its model take {taken / 1e6:.0f} MB before the first request, "
            f"give --memory {(taken + LEAST) / 1e6:.0f}MB at least"
        )
    return left


class Memory:
    """Bytes that requests under way may hold together."""

    def __init__(self, limit: int):
        self.limit, self.held = limit, 0

    def hold(self) -> "Held":
        return Held(self)


class Held:
    """What one request holds; given back when it ends."""

    def __init__(self, memory: Memory):
        self._memory, self.bytes = memory, 0

    def more(self, count: int) -> None:
        """503 when the others have left too little; 413 when there is not so much at all."""
        memory = self._memory
        if self.bytes + count > memory.limit:
            raise ProblemError(
                413, f"this request takes more than the {memory.limit / 1e6:.0f} MB that requests may hold"
            )
        if memory.held + count > memory.limit:
            raise ProblemError(503, "the memory for requests is in use: try again", {"Retry-After": "1"})
        self.less(-count)

    def less(self, count: int) -> None:
        self.bytes -= count
        self._memory.held -= count

    def release(self) -> None:
        self.less(self.bytes)
