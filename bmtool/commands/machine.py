"""What `doctor` says of the machine: the device that a training would take, cores and load, memory, room on disks.

torch is asked in a process of its own: only it knows which devices it can use, and a broken one must not take the doctor along.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import TypedDict

from bmtool.base import cores, memory, packages
from bmtool.base.files import parse_json
from bmtool.base.units import gigabytes
from bmtool.commands.diagnosis import Finding, broken, warning
from bmtool.errors import BmtoolError, ConfigError, ResourceError

SECONDS = 120  # that torch has to be imported
DRIVER = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg")
LITTLE_MEMORY, LITTLE_ROOM = 1 << 30, 2 << 30  # bytes
PREPARED = "data/prepared"  # where the configurations that ship put their data
REPAIR = "pip install --force-reinstall torch torchvision"


class Probed(TypedDict):
    """What `commands.probe` prints."""

    device: str
    where: str
    why: str
    built_for: str
    gpus: list[tuple[str, int]]
    mps: bool
    torchvision: str


# --- the device ---


def device() -> Iterator[Finding]:
    """Which device `auto` takes, and why that one."""
    if packages.installed("torch") is None:
        return
    try:
        probed = _probed()
    except BmtoolError as error:
        yield broken("device", "torch", str(error), REPAIR, error=type(error))
        return
    yield from of_probe(probed, has_driver=any(map(os.path.exists, DRIVER)) or shutil.which("nvidia-smi") is not None)


def _probed() -> Probed:
    """What torch says in a process of its own. ConfigError when it cannot be imported or does not answer."""
    command = [sys.executable, "-m", "bmtool.commands.probe"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"was not imported in {SECONDS} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise ConfigError(f"cannot be used: {last[:200]}")
    return parse_json(done.stdout.splitlines()[-1], Probed, origin="what torch said", again=REPAIR)


def of_probe(probed: Probed, *, has_driver: bool) -> Iterator[Finding]:
    """What the probe has found, beside whether the system has the driver of a GPU."""
    part = "device"
    yield Finding(part, "auto", f"{probed['device']}: {probed['where']}")
    raced = "fp32 or bf16, whichever is faster when a run begins"
    yield Finding(part, "precision", raced if probed["device"] == "cpu" else probed["why"])
    for number, (name, size) in enumerate(probed["gpus"]):
        yield Finding(part, f"cuda:{number}", f"{name}, {gigabytes(size)}")
    if has_driver and not probed["gpus"]:
        yield _unseen(part, probed["built_for"], os.environ.get("CUDA_VISIBLE_DEVICES"))
    if probed["mps"]:
        yield Finding(part, "mps", "seen, and not used: bmtool trains on CPUs and CUDA")
    if probed["torchvision"]:
        said = f"cannot be imported: {probed['torchvision'][:200]}"
        yield broken(part, "torchvision", said, f"{REPAIR} -c constraints.txt, in its clone", error=ConfigError)


def _unseen(part: str, built_for: str, visible: str | None) -> Finding:
    """A GPU may be there, and torch sees none."""
    if visible is not None:
        said, do = (
            f"a driver is here, and CUDA_VISIBLE_DEVICES={visible!r} hides its GPUs",
            "unset CUDA_VISIBLE_DEVICES",
        )
    elif built_for == "cpu":
        said, do = "the driver of a GPU is here, and torch is a build for CPUs", f"{REPAIR}, a build for CUDA"
    else:
        said = f"the driver of a GPU is here, and torch, built for CUDA {built_for}, sees none"
        do = "nvidia-smi says whether the driver works, and whether it is new enough for that"
    return warning(part, "GPU", said, do)


# --- cores, load, memory ---


def processors(root: Path = Path("/"), load: float | None = None) -> Iterator[Finding]:
    """Cores, those that the container grants, threads, and whether others use them; `load` is that of the last minute."""
    part, there, granted = "machine", cores.cores(), cores.granted(root)
    yield Finding(part, "threads", f"{cores.threads()} on {there} cores")
    if granted is not None and granted < cores.threads():
        fewer = max(1, int(granted))
        said = f"the container has the time of {granted:.1f} cores: more threads wait for each other"
        yield warning(part, "container", said, f"export OMP_NUM_THREADS={fewer}")
    load = os.getloadavg()[0] if load is None else load
    if load >= there:
        said = f"{load:.1f} on {there} cores: busy, so that everything takes longer and speeds that are measured mean little"
        yield warning(part, "load", said, "wait for other work to end, or look at it with top")
    else:
        yield Finding(part, "load", f"{load:.1f} on {there} cores")


def room(there: int, free: int) -> Finding:
    """Bytes of memory that this machine or its container has, and that nobody has taken."""
    said = f"{gigabytes(free)} free of {gigabytes(there)}"
    if free < LITTLE_MEMORY:
        return warning(
            "machine", "memory", f"{said}: little", "make room: a training takes 1 GB and more, translate 150 MB"
        )
    return Finding("machine", "memory", said)


def machine() -> Iterator[Finding]:
    yield from processors()
    yield room(memory.available(), memory.free())


# --- places to write to ---


def places() -> Iterator[Finding]:
    """Where runs, prepared data, temporary files and caches go."""
    yield _place("current folder", Path.cwd(), "go to a folder of yours, or name places with --set run=DIR")
    if not Path(PREPARED).is_symlink() and not Path(PREPARED).exists():
        yield Finding("places", PREPARED, "not there yet: preparing makes it")
    else:
        yield _place(PREPARED, Path(PREPARED), "name another with --set data.prepared=DIR")
    yield _temporary()
    yield _place("home", Path.home(), "export MPLCONFIGDIR=DIR, a folder for the caches of matplotlib")


def _temporary() -> Finding:
    try:
        return _place("temporary files", Path(tempfile.gettempdir()), "export TMPDIR=DIR")
    except FileNotFoundError:
        said = "no folder for temporary files can be written to"
        return broken("places", "temporary files", said, "export TMPDIR=DIR", error=ResourceError)


def _place(name: str, path: Path, do: str) -> Finding:
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return warning("places", name, f"{path}: {error.strerror}", do)
    if not os.access(path, os.W_OK | os.X_OK):
        return warning("places", name, f"{path} cannot be written to", do)
    said = f"{path}: {gigabytes(free)} free"
    return (
        warning("places", name, f"{said}: little", "make room") if free < LITTLE_ROOM else Finding("places", name, said)
    )
