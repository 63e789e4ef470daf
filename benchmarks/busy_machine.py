"""Training on an idle machine and beside processes that use every core, with waiting threads that spin on and that soon sleep.

python benchmarks/busy_machine.py [--seconds 5] [--rounds 3] [--others 8]

Trains configs/pinyin2hanzi/tiny.yaml and boosted trees (LightGBM), each measurement in a process of its own and in turn. "spin" is how
GNU's OpenMP waits by itself, "sleep" is what bmtool sets.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import common

CONFIG = "configs/pinyin2hanzi/tiny.yaml"
SPIN = {"GOMP_SPINCOUNT": "300000"}  # what GNU's library does unless it is told
WAYS: dict[str, dict[str, str]] = {"spin": SPIN, "sleep": {}}


# --- in a process of its own ---


def rate(work: Callable[[], int], seconds: float) -> float:
    """Units of work a second."""
    work()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        done += work()
    return done / (time.perf_counter() - began)


def training(folder: Path) -> Callable[[], int]:
    """One step; tokens."""
    from bmtool.config.load import load
    from bmtool.engine.device import choose
    from bmtool.engine.trainer import Trainer
    from bmtool.tasks.pinyin2hanzi.task import Task

    config = load(CONFIG, [*common.settings(folder), "train.steps=1000000"])
    steps = Trainer(Task.fresh(config), config, choose(config.train)).run(config.train.steps)
    return lambda: next(steps).tokens


def trees(_folder: Path) -> Callable[[], int]:
    """One tree; 1."""
    import bmtool  # noqa: F401, I001  before LightGBM, as in every command
    import lightgbm
    import numpy as np

    values = np.random.default_rng(1).random((3000, 20))
    settings = {"verbose": -1, "objective": "l2", "num_threads": len(os.sched_getaffinity(0))}
    booster = lightgbm.Booster(settings, lightgbm.Dataset(values, values.sum(1), params={"verbose": -1}).construct())
    return lambda: 1 + 0 * booster.update()


WORK = {"training, tokens/s": training, "LightGBM, trees/s": trees}


# --- from outside ---


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """So many processes that do nothing else than use a core."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def measured(work: str, way: str, folder: Path, seconds: float) -> float:
    bare = {
        name: v for name, v in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    }
    command = [sys.executable, __file__, "--work", work, "--folder", str(folder), "--seconds", str(seconds)]
    done = subprocess.run(command, env=bare | WAYS[way], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout)


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    for others in (0, arguments.others):
        for work in WORK:
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            with spinning(others):
                for _ in range(arguments.rounds):
                    for way, rates in found.items():
                        rates.append(measured(work, way, folder, arguments.seconds))
            ratios = [sleep / spin for spin, sleep in zip(found["spin"], found["sleep"])]
            shown = ", ".join(f"{way} {common.spread(rates)}" for way, rates in found.items())
            print(f"{others} others  {work:20} {shown}, sleep / spin {common.spread(ratios)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=int, default=8)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(rate(WORK[arguments.work](arguments.folder), arguments.seconds))
        return
    with tempfile.TemporaryDirectory() as name:
        overrides = common.settings(Path(name))
        common.bmtool("prepare-data", CONFIG, *(part for value in overrides for part in ("--set", value)))
        compare(Path(name), arguments)


if __name__ == "__main__":
    main()
