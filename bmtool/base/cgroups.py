"""What the control groups allow that this process is in, and those around them."""

from collections.abc import Iterator
from pathlib import Path


def settings(root: Path, unified: str, *, controller: str, legacy: str) -> Iterator[str]:
    """What the files of a setting hold, from our own group upwards: `unified` of version 2, `legacy` of a controller of version 1."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, kinds, group = line.split(":", 2)
        if kinds == "":  # version 2
            yield from _upwards(root / "sys/fs/cgroup", group, unified)
        elif controller in kinds.split(","):  # version 1
            yield from _upwards(root / "sys/fs/cgroup" / controller, group, legacy)


def _upwards(mount: Path, group: str, name: str) -> Iterator[str]:
    for folder in (mount / group.strip("/"), *(mount / group.strip("/")).parents):
        if folder.is_relative_to(mount) and (text := read(folder / name).strip()):
            yield text


def read(path: Path) -> str:
    """A file of the kernel's; "" where there is none."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
