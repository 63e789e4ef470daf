"""The memory of a server: what there is, what may be used, and what requests under way hold of it."""

import re
import resource
import sys
from pathlib import Path

from bmtool.errors import ConfigError, ResourceError
from bmtool.serve.problems import ProblemError

SHARE = 0.75  # of what there is, unless told otherwise
LEAST = 96_000_000  # bytes for requests and runs of the model, below which a server is of no use
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # version 2, version 1
_MEMINFO = "/proc/meminfo"
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def size(text: str) -> int:
    """Bytes of `800MB` or `2GB`. ConfigError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ConfigError(f"--memory {text}: expected a size such as 800MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def available(root: Path = Path("/")) -> int:
    """Bytes that this machine, or the container that we are in, has."""
    limits = [_number(root / name.lstrip("/")) for name in _CGROUPS]
    return min([_machine(root / _MEMINFO.lstrip("/")), *(limit for limit in limits if limit)])


def _number(path: Path) -> int:
    """0 where there is no limit (`max`) or no such file."""
    try:
        text = path.read_text("ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _machine(meminfo: Path) -> int:
    try:
        return 1024 * int(meminfo.read_text("ascii").split()[1])
    except OSError:  # no Linux
        import os

        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes that this process has taken at most so far."""
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
