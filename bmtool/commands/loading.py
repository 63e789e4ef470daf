"""A predictor from a run directory or an exported model: the one way every command gets one."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bmtool
from bmtool import registry
from bmtool.base.units import few
from bmtool.config.options import Options
from bmtool.errors import ConfigError, DataError

if TYPE_CHECKING:  # a model file is loaded without torch
    from bmtool.engine.run_dir import RunDir
    from bmtool.engine.task import Task

DEFAULT = "default"  # names the model that comes with bmtool
NAMED = 3  # tensors that a message names
PRETRAINED = Path(bmtool.__file__).parent / "pretrained"


@dataclass
class Loaded:
    """`run` is None for a model file; `info` are the facts of the run or the file's metadata.

    `checkpoint` is the name of that whose weights were loaded, `weights` their sha256; "" where a model file does not say.
    """

    name: str
    entry: registry.Entry
    task: str
    predictor: Any  # a contract.Predictor, and more where the task's entry says so
    info: dict
    run: "RunDir | None" = None
    members: tuple["Loaded", ...] = ()  # the others of several models that answer as one
    path: str = ""
    checkpoint: str = ""
    weights: str = ""

    @property
    def all(self) -> tuple["Loaded", ...]:
        return self, *self.members


def load_model(path: str | Path, warn: Callable[[str], None], task: str | None = None) -> Loaded:
    """The model at `path`. DataError when it is neither a run nor an exported model, or of another task than `task`."""
    name = str(path)
    if not name:
        raise DataError(f"no model is named: it is a run directory, an .onnx file, or {DEFAULT!r}")
    path = PRETRAINED / (task or "pinyin2hanzi") / "model.onnx" if name == DEFAULT else Path(path)
    if path.suffix == ".onnx":
        loaded = _from_file(name, path)
    elif theirs := _of_others(path):
        loaded = _from_checkpoint(name, path, theirs)
    elif path.is_dir() and not (path / "run.json").exists() and (held := sorted(path.glob("*.onnx"))):
        raise DataError(f"{path} is no run directory: name the model in it, {held[0]}")
    elif path.exists():
        loaded = _from_run(name, path, warn)
    else:
        told = "BMTOOL_MODEL names it" if os.environ.get("BMTOOL_MODEL") == name else ""
        how = told or "`bmtool pretrain CONFIG` makes a run, `bmtool init` a config"
        raise DataError(f"no such run or model: {path} ({how})")
    if task is not None and loaded.task != task:
        raise DataError(f"{path} is a model of {loaded.task}, this command needs one of {task}")
    return loaded


def _from_file(name: str, path: Path) -> Loaded:
    from bmtool.predict.exported import open_model, require_about

    exported = open_model(path)
    task = exported.about["task"]
    entry = registry.find(task)
    require_about(exported, entry.load("about"), path)
    predictor = entry.load("predictor")(exported.about, exported.backend, exported.assets)
    about = exported.about
    return Loaded(
        name, entry, task, predictor, about,
        path=name, checkpoint=about.get("checkpoint", ""), weights=about.get("weights", ""),
    )  # fmt: skip


def _from_run(name: str, path: Path, warn: Callable[[str], None]) -> Loaded:
    run, task, checkpoint = restore(path, warn)
    info = run.info()
    return Loaded(
        name, registry.find(info["task"]), info["task"], task.predictor(), info, run,
        path=name, checkpoint=checkpoint, weights=run.checkpoints(warn).digest(checkpoint),
    )  # fmt: skip


def _of_others(path: Path) -> str:
    """The task of a directory that is no run of ours and that others wrote; "" for any else."""
    if (path / "run.json").exists():
        return ""
    return next(
        (name for name, entry in registry.TASKS.items() if entry.known_by and (path / entry.known_by).is_file()), ""
    )


def _from_checkpoint(name: str, path: Path, task: str) -> Loaded:
    from bmtool.config.schema import Train
    from bmtool.engine.device import choose

    entry = registry.find(task)
    opened = entry.load("task").as_it_is(path, choose(Train()).device)
    return Loaded(name, entry, task, opened.predictor(), opened.about() | {"task": task}, path=name)


def load_several(paths: Sequence[str | Path], warn: Callable[[str], None], weights: Sequence[float]) -> Loaded:
    """One model, or several that answer as one: classes and numbers are averaged, texts are voted on.

    ConfigError for models of tasks that give nothing to vote on; DataError for models that differ in what they know.
    """
    loaded = [load_model(path, warn) for path in paths]
    first = loaded[0]
    if weights and len(weights) != len(loaded):
        raise ConfigError(f"--weight: one for each model, got {len(weights)} for {len(loaded)}")
    if weights and not (all(isfinite(weight) and weight >= 0 for weight in weights) and sum(weights) > 0):
        raise ConfigError(f"--weight: numbers of 0 or more, not all 0, got {', '.join(map(str, weights))}")
    if len(loaded) == 1:
        return first
    if len({one.task for one in loaded}) > 1 or not first.entry.has("combine"):
        tasks = ", ".join(sorted({one.task for one in loaded}))
        raise ConfigError(f"only models of one task that gives classes, a number or text can be averaged, not {tasks}")
    first.predictor = first.entry.load("combine")(
        [one.predictor for one in loaded], list(weights) or [1.0] * len(loaded)
    )
    first.name, first.members = " + ".join(map(str, paths)), tuple(loaded[1:])
    return first


def restore(
    path: str | Path, warn: Callable[[str], None], *, device: str = "auto", checkpoint: str | None = None
) -> tuple["RunDir", "Task", str]:
    """Run directory, task with the weights of a checkpoint (the best unless one is named), and its name.

    Adapters are merged into the weights of their base. DataError when there are weights that are no numbers.
    """
    from bmtool.commands import bases
    from bmtool.engine.device import choose
    from bmtool.engine.run_dir import RunDir

    run = RunDir.open(path)
    run.require_assets()
    config = run.config()
    task = registry.find(config.task).load("task").open(config, run.assets)
    name = checkpoint or run.checkpoints(warn).best()
    where = choose(config.train.model_copy(update={"device": device, "precision": "fp32"})).device
    weights = bases.weights(run, name, warn)
    if not task.fitted and (broken := [key for key, tensor in weights.items() if tensor.isnan().any()]):
        raise DataError(
            f"checkpoint {name} of {run.path} holds what is no number (NaN in {few(broken, NAMED)}): its training went wrong; "
            f"train again with a lower rate: `bmtool pretrain {run.path}/config.yaml --set optim.lr={config.optim.lr / 10:g} --set run=DIR`"
        )
    task.restore(weights, where)
    return run, task, name


def options_of(loaded: Loaded, given: dict[str, Any]) -> Options:
    """The typed options of a model. ConfigError that names those it has for one that it has not, or a value out of bounds."""
    from pydantic import ValidationError

    kind = loaded.entry.load("options")
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            has = ", ".join("--" + field.replace("_", "-") for field in kind.model_fields) or "no options"
            raise ConfigError(f"{name}: models of {loaded.task} have no such option (they have {has})") from error
        raise ConfigError(f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}") from error
