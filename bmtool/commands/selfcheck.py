"""`selfcheck resume`: prove on a user's own config that a killed training, started again, ends with the same weights."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bmtool.base.console import Console
from bmtool.base.files import sha256
from bmtool.config.load import load
from bmtool.engine.checkpoint import WEIGHTS
from bmtool.errors import BmtoolError

STEPS, SAVE_EVERY = 6, 2
PATIENCE_S = 300.0  # for the first checkpoint of the training that will be killed


def resume(config: str, *, parent: str | None = None, overrides: list[str] | None = None) -> None:
    """Train STEPS steps at once; train again, kill -9 in between, go on with loader workers; compare every byte of the weights.

    Raises BmtoolError (exit 1) when they differ: that is a bug.
    """
    load(config, overrides)  # a config that is wrong is said so at once
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bmtool-selfcheck-") as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        start = ["finetune", config, "--from", parent] if parent else ["pretrain", config]
        console.say(f"1/3  {STEPS} steps without a stop")
        _run(_command(start, whole, overrides, workers=0))
        console.say(f"2/3  the same, killed (SIGKILL) after a checkpoint at step {SAVE_EVERY} or later")
        stopped_at = _run_and_kill(_command(start, killed, overrides, workers=0), killed)
        console.say(f"3/3  started again from {stopped_at}, with 2 loader workers")
        _run(_command(start, killed, overrides, workers=2))
        last = f"step-{STEPS:08d}"
        digests = [sha256(run / "checkpoints" / last / WEIGHTS) for run in (whole, killed)]
    if digests[0] != digests[1]:
        raise BmtoolError(
            f"resume is NOT exact for {config}: weights after step {STEPS} differ ({digests[0][:12]}, {digests[1][:12]})"
        )
    console.say(f"resume is exact: the weights after step {STEPS} are the same bit for bit (sha256 {digests[0][:12]})")


def _command(start: list[str], run: Path, overrides: list[str] | None, workers: int) -> list[str]:
    settings = [
        *(overrides or []),
        f"run={run}",
        f"train.stop_after={STEPS}",
        f"train.save_every={SAVE_EVERY}",
        f"train.workers={workers}",
    ]
    return [sys.executable, "-m", "bmtool", *start, *(part for setting in settings for part in ("--set", setting))]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failure(done.returncode, done.stderr)


def _run_and_kill(command: list[str], run: Path) -> str:
    """Kill the training as soon as its first checkpoint is there; returns the name of the newest one."""
    last = run / "checkpoints" / "last"
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not last.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not last.is_file():
            errors.seek(0)
            raise _failure(process.returncode, errors.read())
    return last.read_text(encoding="utf-8").strip()


def _failure(code: int, output: str) -> BmtoolError:
    """The failed training's own last words and exit code."""
    error = BmtoolError(
        f"the training of the check failed: {output.strip().splitlines()[-1] if output.strip() else 'no output'}"
    )
    error.exit_code = code if code > 0 else 1
    return error
