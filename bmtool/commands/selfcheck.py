"""`selfcheck resume`: prove on a user's own config that a killed training, started again, ends as the same run."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import sha256
from bmtool.config.load import load
from bmtool.engine.checkpoint import WEIGHTS
from bmtool.engine.run_dir import RunDir
from bmtool.errors import BmtoolError, ConfigError

STEPS, SAVE_EVERY = 6, 2
VALIDATE_EVERY = 4
LAST = f"step-{STEPS:08d}"
PATIENCE_S = 300.0  # for the first checkpoint of the training that will be killed


def resume(config: str, *, parent: str | None = None, overrides: list[str] | None = None) -> None:
    """Train STEPS steps at once; train again, kill -9 in between, go on with loader workers; compare all that does not tell the time.

    Raises BmtoolError (exit 1) when they differ: that is a bug.
    """
    loaded = load(config, overrides)  # a config that is wrong is said so at once
    if registry.find(loaded.task).load("task").of(loaded).fitted:
        raise ConfigError(f"this model of {loaded.task} is fitted: an interrupted fit is done again from its start")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bmtool-selfcheck-") as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        start = ["finetune", config, "--from", parent] if parent else ["pretrain", config]
        console.say(f"1/3  {STEPS} steps without a stop")
        _run(_command(start, whole, overrides, workers=0))
        # On this machine another race might end otherwise.
        settings = [*(overrides or []), f"train.precision={RunDir(whole).info()['precision']}"]
        console.say(f"2/3  the same, killed (SIGKILL) after a checkpoint at step {SAVE_EVERY} or later")
        stopped_at = _run_and_kill(_command(start, killed, settings, workers=0), killed)
        console.say(f"3/3  started again from {stopped_at}, with 2 loader workers")
        _run(_command(start, killed, settings, workers=2))
        different = list(differences(whole, killed))
        digest = sha256(whole / "checkpoints" / LAST / WEIGHTS)[:12]
    if different:
        raise BmtoolError(f"resume is NOT exact for {config}: after step {STEPS} {', '.join(different)} differ")
    console.say(
        f"resume is exact: after step {STEPS} weights (sha256 {digest}), optimizers, the best checkpoint and metrics are the same"
    )


def differences(whole: Path, killed: Path) -> Iterator[str]:
    """What is not the same in two runs; bit for bit, but for what tells the time."""
    one, other = (_Ended(path) for path in (whole, killed))
    if one.weights != other.weights:
        yield f"the weights ({one.weights[:12]}, {other.weights[:12]})"
    if not one.has_same_state(other):
        yield "the state of the training (optimizers, live weights beside an average)"
    if one.best != other.best:
        yield f"the best checkpoints ({one.best}, {other.best})"
    if one.metrics != other.metrics:
        yield "metrics.jsonl"


class _Ended:
    """A run after its last step."""

    def __init__(self, path: Path):
        run = RunDir(path)
        self.checkpoints = run.checkpoints(lambda message: None)
        self.weights, self.best = sha256(path / "checkpoints" / LAST / WEIGHTS), self.checkpoints.best()
        self.metrics = [{key: value for key, value in event.items() if not _tells_time(key)} for event in run.events()]

    def has_same_state(self, other: "_Ended") -> bool:
        ours, theirs = (tree_leaves(ended.checkpoints.state(LAST)["trainer"]) for ended in (self, other))
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))


def _tells_time(key: str) -> bool:
    return key == "elapsed_s" or key.endswith("_per_s")


def _is_same(ours: object, theirs: object) -> bool:
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs)
    return ours == theirs


def _command(start: list[str], run: Path, overrides: list[str] | None, workers: int) -> list[str]:
    settings = [
        *(overrides or []),
        f"run={run}",
        f"train.stop_after={STEPS}",
        f"train.save_every={SAVE_EVERY}",
        f"train.validate_every={VALIDATE_EVERY}",
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
