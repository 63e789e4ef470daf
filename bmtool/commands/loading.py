"""A predictor from a run directory or an exported model: the one way every command gets one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bmtool
from bmtool import registry
from bmtool.errors import DataError

DEFAULT = "default"  # names the model that comes with bmtool
PRETRAINED = Path(bmtool.__file__).parent / "pretrained"


@dataclass
class Loaded:
    """`run` is None for a model file; `info` are the facts of the run or the file's metadata."""

    task: str
    predictor: Any
    info: dict
    run: Any = None


def load_model(path: str | Path, warn: Callable[[str], None], task: str | None = None) -> Loaded:
    """The model at `path`. DataError when it is neither a run nor an exported model, or of another task than `task`."""
    path = PRETRAINED / (task or "pinyin2hanzi") / "model.onnx" if str(path) == DEFAULT else Path(path)
    if path.suffix == ".onnx":
        loaded = _from_file(path)
    elif path.exists():
        loaded = _from_run(path, warn)
    else:
        raise DataError(f"no such run or model: {path}")
    if task is not None and loaded.task != task:
        raise DataError(f"{path} is a {loaded.task} model, this command needs one for {task}")
    return loaded


def _from_file(path: Path) -> Loaded:
    from bmtool.engine.onnx import open_model

    session, metadata = open_model(path)
    return Loaded(
        metadata["task"], registry.find(metadata["task"]).load("onnx_predictor")(path, session, metadata), metadata
    )


def _from_run(path: Path, warn: Callable[[str], None]) -> Loaded:
    run, task, _ = restore(path, warn)
    return Loaded(run.info()["task"], task.predictor(), run.info(), run)


def restore(path: str | Path, warn: Callable[[str], None]) -> tuple[Any, Any, str]:
    """Run directory, task with its best weights, and the checkpoint's name."""
    from bmtool.engine.checkpoint import Checkpoints
    from bmtool.engine.device import choose
    from bmtool.engine.run_dir import RunDir

    run = RunDir.open(path)
    config = run.config()
    task = registry.find(config.task).load("task")(config, run.assets)
    checkpoints = Checkpoints(run.path, warn)
    name = checkpoints.best()
    weights = checkpoints.weights(name)
    device = choose(config.train.model_copy(update={"device": "auto", "precision": "fp32"})).device
    for part, module in task.modules.items():
        module.load_state_dict({key: weights[f"{part}.{key}"] for key in module.state_dict()})
        module.to(device).eval()
    return run, task, name
