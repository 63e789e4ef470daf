"""What a run stands on or was taught by: the checkpoint of another run, or a file of weights; pinned by its sha256.

The checkpoints of a run with adapters hold what it has learned. All else lies in its base, which is looked for where it was, and beside
the run as it was there, so that both can be moved together.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from bmtool import registry
from bmtool.base.files import sha256
from bmtool.engine import adapters, distributed
from bmtool.engine.record import Base
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Trained
from bmtool.errors import DataError

Warn = Callable[[str], None]


def pins(task: Trained, run: RunDir, parent: RunDir | None, warn: Warn) -> dict[str, Base]:
    """The weights of others that a run holds on to, by their part in it: those that it began with, or what is there now."""
    config, wanted = task.config, dict[str, RunDir | Path | None]()
    if config.finetune.lora is not None:
        wanted["base"] = parent or task.pretrained_from(config)
    if config.train.teacher is not None:
        wanted["teacher"] = RunDir.open(config.train.teacher)
    known = run.info() if run.exists else {}
    return {part: known.get(part) or pinned(run, place, warn) for part, place in wanted.items() if place is not None}


def pinned(run: RunDir, parent: RunDir | Path, warn: Warn) -> Base:
    """The best checkpoint of another run as it is now, or weights that lie in a file or directory."""
    if isinstance(parent, Path):
        return _placed(run, parent, None, digest(parent))
    checkpoints = parent.checkpoints(warn)
    name = distributed.on_first(checkpoints.best)
    return _placed(run, parent.path, name, checkpoints.digest(name))


def _placed(run: RunDir, path: Path, checkpoint: str | None, sum_: str) -> Base:
    path = path.resolve()
    beside = os.path.relpath(path, run.path.resolve())
    return {"path": str(path), "beside": beside, "checkpoint": checkpoint, "sha256": sum_}


def digest(weights: Path) -> str:
    """The sha256 of a file, or of those of all .safetensors in a directory."""
    if not weights.is_dir():
        return sha256(weights)
    sums = [sha256(path) for path in sorted(weights.glob("*.safetensors"))]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def found(run: RunDir, base: Base, what: str) -> Path:
    """Where it lies and is what it was. DataError in one line when it is gone or has changed; `what` is its part in the run."""
    places = list(dict.fromkeys([Path(base["path"]), Path(os.path.normpath(run.path.resolve() / base["beside"]))]))
    part = Path("checkpoints") / base["checkpoint"] if base["checkpoint"] else Path()
    there = [place for place in places if (place / part).exists()]
    if not there:
        looked = " or ".join(str(place / part) for place in places)
        raise DataError(
            f"the {what} of {run.path} is gone: no {looked}: put it back there, or move both so that they lie to each other as before"
        )
    whole = next((place for place in there if _is_whole(place, base)), None)
    if whole is None:
        raise DataError(
            f"the {what} of {run.path} has changed: {there[0] / part} is not what it was trained with: restore it, or train again with "
            "what is there now, in another run"
        )
    return whole


def _is_whole(place: Path, base: Base) -> bool:
    name = base["checkpoint"]
    if name is None:
        return digest(place) == base["sha256"]
    checkpoints = RunDir(place).checkpoints(lambda _: None)
    return checkpoints.problem(name) is None and checkpoints.digest(name) == base["sha256"]


def weights(run: RunDir, name: str, warn: Warn) -> dict[str, Tensor]:
    """All tensors of a checkpoint, as a model without adapters has them. DataError when its base is gone or has changed."""
    own, base = run.checkpoints(warn).weights(name), run.info().get("base")
    if base is None:
        return own
    place = found(run, base, "base")
    below = weights(RunDir.open(place), base["checkpoint"], warn) if base["checkpoint"] else _taken(run, place)
    return adapters.merged(below | own, run.config().finetune.lora)  # type: ignore[arg-type]


def _taken(run: RunDir, place: Path) -> dict[str, Tensor]:
    """What a model takes from weights of others."""
    config = run.config()
    task: Trained = registry.find(config.task).load("task").open(config, run.assets)
    names = task.take(place)
    return {name: tensor for name, tensor in task.tensors().items() if name in names}
