"""Starting from another run: which weights come over, which are new, which stay fixed."""

import json
from typing import Any

from rich.table import Table
from torch import Tensor, nn

from bmtool.base.console import Console
from bmtool.config.schema import BaseConfig, Finetune
from bmtool.engine import distributed
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Trained
from bmtool.errors import ConfigError

SHOWN = 40  # rows of the table; more are summed up


def initialise(task: Trained, config: BaseConfig, parent: RunDir, console: Console, announce: bool) -> None:
    """Load the best weights of `parent` into `task` by name and shape, then freeze what `config.finetune` does not train.

    Raises ConfigError when nothing at all fits.
    """
    checkpoints = parent.checkpoints(console.warn)
    name = distributed.on_first(checkpoints.best)
    given = checkpoints.weights(name)
    unfit = task.bound if _counts_otherwise(task, config, parent) else ()
    wanted = {
        f"{part}.{key}": value for part, module in task.modules.items() for key, value in module.state_dict().items()
    }
    fates = {key: _fate(key, value, given, unfit) for key, value in wanted.items()}
    if "loaded" not in fates.values():
        raise ConfigError(f"no weight of {parent.path} fits this model ({_kind(parent.config())} -> {_kind(config)})")
    for part, module in task.modules.items():
        mine = {key: value for key, value in module.state_dict().items() if fates[f"{part}.{key}"] == "loaded"}
        module.load_state_dict({key: given[f"{part}.{key}"] for key in mine}, strict=False)
    freeze(task.modules, config.finetune)
    if announce:
        fates |= {key: "left out" for key in given if key not in wanted}
        console.say(f"starting from {parent.path} ({name})")
        _show(console, fates, {**given, **wanted}, task.modules)


def require_same_vocabulary(task: Trained, config: BaseConfig, parent: RunDir) -> None:
    """ConfigError with the way out when `parent` counts otherwise all that this task could take from it."""
    if _counts_otherwise(task, config, parent) and set(task.bound) == set(task.modules):
        raise ConfigError(
            f"the vocabulary of {config.data.prepared} differs from that of {parent.path}: prepare the data with the parent's,\n"
            f"  bmtool prepare-data CONFIG --set {task.numbered_by}={parent.path}"
        )


def _counts_otherwise(task: Trained, config: BaseConfig, parent: RunDir) -> bool:
    """Whether `parent` is of the same task and has another vocabulary, or other classes."""
    info = parent.info()
    return info["task"] == config.task and info["vocabulary"] != task.identity.vocabulary


def _kind(config: BaseConfig) -> str:
    return json.dumps(config.model.model_dump())


def _fate(key: str, value: Tensor, given: dict[str, Tensor], unfit: tuple[str, ...]) -> str:
    if key not in given:
        return "new"
    if key.split(".", 1)[0] in unfit:
        return "new, was for others"
    return "loaded" if given[key].shape == value.shape else f"new, was {list(given[key].shape)}"


def freeze(modules: dict[str, nn.Module], settings: Finetune) -> None:
    """Leave only what `settings.train` names trainable; ConfigError when a name fits no parameter."""
    named = {f"{part}.{key}": p for part, module in modules.items() for key, p in module.named_parameters()}
    for prefix in settings.lr_scale:
        _require_some(prefix, named, "finetune.lr_scale")
    if settings.train == "all":
        return
    prefixes = ["head"] if settings.train == "head" else list(settings.train)
    for prefix in prefixes:
        _require_some(prefix, named, "finetune.train")
    chosen = {key for key in named if key.startswith(tuple(prefixes))}
    chosen |= _last_blocks(modules, settings.last_blocks or 0)
    for key, parameter in named.items():
        parameter.requires_grad_(key in chosen)


def _last_blocks(modules: dict[str, nn.Module], count: int) -> set[str]:
    """Names of the parameters of the last `count` blocks of the backbone."""
    if not count:
        return set()
    blocks: list[nn.Module] = list(getattr(modules["backbone"], "blocks", []))
    if count > len(blocks):
        raise ConfigError(f"finetune.last_blocks: {count} asked for, the backbone has {len(blocks)}")
    wanted = {id(p) for block in blocks[-count:] for p in block.parameters()}
    return {f"backbone.{key}" for key, p in modules["backbone"].named_parameters() if id(p) in wanted}


def _require_some(prefix: str, named: dict[str, Any], where: str) -> None:
    if not any(key.startswith(prefix) for key in named):
        parts = sorted({".".join(key.split(".")[:2]) for key in named})
        raise ConfigError(f"{where}: no parameter starts with {prefix!r} (there are {', '.join(parts)}, ...)")


def _parameters(modules: dict[str, nn.Module], *, only_trained: bool) -> set[str]:
    """Names; statistics of batch-norms are no parameters."""
    named = ((f"{part}.{key}", p) for part, module in modules.items() for key, p in module.named_parameters())
    return {name for name, p in named if p.requires_grad or not only_trained}


def _show(console: Console, fates: dict[str, str], tensors: dict[str, Tensor], modules: dict[str, nn.Module]) -> None:
    trained = _parameters(modules, only_trained=True)
    parameters = _parameters(modules, only_trained=False)
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("tensor", "shape", "weights", "training"):
        table.add_column(heading)
    for key in list(fates)[:SHOWN]:
        training = "trained" if key in trained else "fixed" if key in parameters else ""
        table.add_row(key, "x".join(map(str, tensors[key].shape)) or "1", fates[key], training)
    counts = {fate: sum(f.split(",")[0] == fate for f in fates.values()) for fate in ("loaded", "new", "left out")}
    console.table(table)
    more = f" ({len(fates) - SHOWN} rows not shown)" if len(fates) > SHOWN else ""
    console.say(
        ", ".join(f"{count} tensors {fate}" for fate, count in counts.items()) + f"; {len(trained)} trained{more}"
    )
