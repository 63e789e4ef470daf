"""How much of the machine is ours, and how threads that wait for each other leave the rest of it alone."""

import os
from pathlib import Path

from bmtool.base import cgroups, environment

# What decides how a thread of OpenMP waits: the standard's variable, that of GNU's library and that of LLVM's and Intel's.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Turns of a loop, and milliseconds.
BRIEFLY = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}


def cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def granted(root: Path = Path("/")) -> float | None:
    """Cores whose time the container or service that we are in has, where that is bounded; threads are not made fewer by it."""
    shares = [text.split() for text in cgroups.settings(root, "cpu.max", controller="cpu", legacy="cpu.cfs_quota_us")]
    # Of version 1, whose period stands in a file of its own.
    periods = cgroups.settings(root, "cpu.max", controller="cpu", legacy="cpu.cfs_period_us")
    pairs = [(share[0], (share + period.split())[1]) for share, period in zip(shares, periods)]
    bounds = [int(quota) / int(period) for quota, period in pairs if quota.isdigit() and int(period) > 0]
    return min(bounds, default=None)


def threads() -> int:
    """Threads for this process: its share of the cores, or OMP_NUM_THREADS where that is lower.

    torchrun sets OMP_NUM_THREADS=1 of itself for several processes: that is nobody's wish, and passed over.
    """
    processes = environment.whole("LOCAL_WORLD_SIZE", 1, least=1)
    share = max(1, cores() // processes)
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    is_asked = asked.isdecimal() and int(asked) > 0 and not (processes > 1 and asked == "1")
    return min(share, int(asked)) if is_asked else share


def spin_briefly() -> None:
    """Let threads of OpenMP spin for a moment only while they wait for each other, then sleep, unless the environment says otherwise.

    By default they spin for milliseconds. On a machine with other work a thread that spins takes the core from the one it waits for, and
    training is many times slower; threads that sleep at once make small networks and boosted trees many times slower on an idle one. The
    libraries read this when they are loaded, so it comes before torch and LightGBM are imported.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ |= BRIEFLY
