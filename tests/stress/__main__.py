"""`make stress`: everything that tries to break bmtool, and a table of what was tried and what failed. Hours on 2 cores.

python -m stress [PART ...] [--sample N] [--seed S]      with tests/ in PYTHONPATH; a sample takes minutes
"""

import argparse
import sys
import time
from collections.abc import Iterator
from importlib import import_module

from rich.console import Console
from rich.table import Table

from stress import Attempt

PARTS = {
    "kills": "killed at a call that changes a file, and started again",
    "tampering": "a file is not what was written",
    "schema": "values at, inside and outside of every setting's range",
    "outside": "configurations, settings, arguments, environments and streams that nobody should write",
    "images": "image files with bytes changed or cut, folders and lists of anything",
    "server": "hostile requests; then a good one",
    "soak": "ten minutes of mixed traffic, memory watched",
}


def main() -> int:
    asked = _arguments()
    table = Table("part", "what is tried", "tried", "failed", "minutes")
    failed = 0
    for part in asked.parts or PARTS:
        began, problems, tried = time.monotonic(), 0, 0
        for attempt in _attempts(part, asked.sample, asked.seed):
            tried += 1
            problems += bool(attempt.problem)
            if attempt.problem:
                print(f"{part}: {attempt.name}: {attempt.problem}", flush=True)
        minutes = (time.monotonic() - began) / 60
        table.add_row(part, PARTS[part], f"{tried:,}", f"{problems:,}", f"{minutes:.1f}")
        failed += problems + (tried == 0)
    Console(width=120).print(table)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stress", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them when none is named")
    parser.add_argument("--sample", type=int, help="this many of each part, drawn, instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    return parser.parse_args()


def _attempts(part: str, sample: int | None, seed: int) -> Iterator[Attempt]:
    return import_module(f"stress.{part}").attempts(sample, seed)


if __name__ == "__main__":
    sys.exit(main())
