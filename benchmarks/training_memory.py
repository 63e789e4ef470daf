"""Peak memory of a training on 1, 10 and 100 times the same prepared text: the shards are memory-mapped, so it should not grow."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import common

TIMES = (1, 10, 100)
STEPS = 30
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def multiply(prepared: Path, times: int, target: Path) -> None:
    """The prepared data with its training shards repeated."""
    shutil.copytree(prepared, target)
    for field in ("offsets", "source", "hanzi", "tone"):
        for shard in range(1, times):
            shutil.copy(prepared / f"train-00000.{field}.npy", target / f"train-{shard:05d}.{field}.npy")


def peak_mb(command: list[str]) -> float:
    """Peak resident memory of a process, mapped file pages included."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.bmtool("prepare-data", common.CONFIG, *(p for v in common.settings(folder) for p in ("--set", v)))
        for times in TIMES:
            data = folder / f"prepared-{times}"
            multiply(folder / "prepared", times, data)
            changes = [
                *common.settings(
                    folder, "model.ngram_rows=1000", f"train.steps={STEPS}", f"train.validate_every={STEPS}"
                )
            ]
            changes += [f"data.prepared={data}", f"run={folder / f'run-{times}'}"]
            peak = peak_mb(
                [sys.executable, "-m", "bmtool", "pretrain", common.CONFIG, *(p for v in changes for p in ("--set", v))]
            )
            tokens = json.loads((data / "manifest.json").read_text())["splits"]["train"]["tokens"] * times
            print(f"{times:4} x the text, {tokens / 1e6:8.2f} M tokens: peak {peak:,.0f} MB")


if __name__ == "__main__":
    main()
