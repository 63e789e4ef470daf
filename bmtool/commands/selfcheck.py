"""`selfcheck resume`: prove on a user's own config that a killed training, started again, ends as the same run."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import read_json, sha256
from bmtool.base.units import few
from bmtool.config.load import load
from bmtool.engine.checkpoint import name_of
from bmtool.engine.kept import LAST, MANIFEST, WEIGHTS
from bmtool.engine.run_dir import RunDir
from bmtool.errors import BmtoolError, ConfigError

STEPS, SAVE_EVERY = 6, 2
VALIDATE_EVERY, BEST_OF = 3, 2
COMPARED = ("checkpoints", "assets", "plots")
SHOWN = 4  # files that differ
PATIENCE_S = 300.0  # for the first checkpoint of the training that will be killed


def resume(config: str, *, parent: str | None = None, overrides: list[str] | None = None) -> None:
    """Train STEPS steps at once; train again, kill -9 in between, go on with loader workers; compare all that does not tell the time.

    Validates twice and averages the two best, so that what ranks checkpoints is compared, too.

    Raises BmtoolError (exit 1) when they differ: that is a bug.
    """
    loaded = load(config, overrides)  # a config that is wrong is said so at once
    steps = min(STEPS, loaded.train.steps)
    if registry.find(loaded.task).load("task").of(loaded).fitted:
        raise ConfigError(f"this model of {loaded.task} is fitted: an interrupted fit is done again from its start")
    if parent is not None:
        RunDir.open(parent)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bmtool-selfcheck-") as folder:
        # Of one name, which their pictures bear.
        whole, killed = (Path(folder) / part / "run" for part in ("whole", "killed"))
        start = ["finetune", config, "--from", parent] if parent else ["pretrain", config]
        console.say(f"1/3  {steps} steps without a stop")
        _run(_command(start, whole, overrides, workers=0))
        # On this machine another race might end otherwise.
        settings = [*(overrides or []), f"train.precision={RunDir(whole).info()['precision']}"]
        console.say(f"2/3  the same, killed (SIGKILL) after a checkpoint at step {SAVE_EVERY} or later")
        stopped_at = _run_and_kill(_command(start, killed, settings, workers=0), killed)
        console.say(f"3/3  started again from {stopped_at}, with 2 loader workers")
        _run(_command(start, killed, settings, workers=2))
        different = differences(whole, killed)
        digest = sha256(whole / "checkpoints" / name_of(steps) / WEIGHTS)[:12]
    if different:
        raise BmtoolError(f"resume is NOT exact for {config}: after step {steps} {few(different, SHOWN)} differ")
    console.say(
        f"resume is exact: after step {steps} weights (sha256 {digest}), optimizers, the best checkpoint and metrics are the same"
    )


def differences(whole: Path, killed: Path) -> list[str]:
    """The files that are not the same in two runs, byte for byte but for what tells the time."""
    ours, theirs = _contents(whole), _contents(killed)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _contents(run: Path) -> dict[str, Any]:
    """File of a run -> what must be the same."""
    files = [run / "metrics.jsonl", *(path for part in COMPARED for path in (run / part).rglob("*") if path.is_file())]
    return {str(path.relative_to(run)): _content(path) for path in files if not _tells_time(path.stem)}


def _content(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return [_timeless(event) for event in RunDir(path.parent).events()]
    return _timeless(read_json(path, dict[str, Any], "train again")) if path.name == MANIFEST else sha256(path)


def _timeless(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if not _tells_time(key)}


def _tells_time(key: str) -> bool:
    return key == "elapsed_s" or key.endswith("_per_s")


def _command(start: list[str], run: Path, overrides: list[str] | None, workers: int) -> list[str]:
    settings = [
        *(overrides or []),
        f"run={run}",
        f"train.stop_after={STEPS}",
        f"train.save_every={SAVE_EVERY}",
        f"train.validate_every={VALIDATE_EVERY}",
        f"train.keep_best={BEST_OF}",
        f"train.average_best={BEST_OF}",
        f"train.workers={workers}",
    ]
    return [sys.executable, "-m", "bmtool", *start, *(part for setting in settings for part in ("--set", setting))]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failure(done.returncode, done.stderr)


def _run_and_kill(command: list[str], run: Path) -> str:
    """Kill the training as soon as its first checkpoint is there; returns the name of the newest one."""
    last = run / "checkpoints" / LAST
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
