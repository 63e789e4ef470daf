"""Starting from another run: which weights come over, which are new, which stay fixed."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from rich.table import Table
from torch import Tensor, nn

from bmtool.base.console import Console
from bmtool.base.units import few
from bmtool.commands import bases
from bmtool.config.schema import BaseConfig, Finetune
from bmtool.engine import adapters, distributed
from bmtool.engine.record import Base
from bmtool.engine.run_dir import RunDir
from bmtool.engine.task import Trained
from bmtool.errors import ConfigError

SHOWN = 40  # rows of the table; more are summed up
NAMED = 3  # tensors that a message names


def start_from(  # noqa: PLR0913
    parent: RunDir | None, task: Trained, run: RunDir, console: Console, *, base: Base | None, finetunes: bool
) -> None:  # fmt: skip
    """Give a task the weights that finetuning starts from, those of its base where it holds on to one, and choose what learns."""
    place = bases.found(run, base, "base") if base else None
    if parent is not None:
        source = parent if place is None else RunDir.open(place)
        name = (base and base["checkpoint"]) or distributed.on_first(source.checkpoints(console.warn).best)
        initialise(task, source, name, console, announce=not run.checkpoints(console.warn).names())
    elif finetunes:
        freeze(task, task.take(place) if place else ())


def initialise(task: Trained, parent: RunDir, name: str, console: Console, *, announce: bool) -> None:
    """Load the weights of a checkpoint of `parent` into `task` by name and shape, then choose what learns.

    Raises ConfigError when nothing at all fits.
    """
    config = task.config
    given = task.renumbered(bases.weights(parent, name, console.warn))
    unfit = task.bound if _counts_otherwise(task, config, parent) else ()
    wanted = task.tensors()
    fates = {key: _fate(key, value, given, unfit) for key, value in wanted.items()}
    if "loaded" not in fates.values():
        raise ConfigError(f"no weight of {parent.path} fits this model ({_kind(parent.config())} -> {_kind(config)})")
    for part, module in task.modules.items():
        mine = {key: value for key, value in module.state_dict().items() if fates[f"{part}.{key}"] == "loaded"}
        module.load_state_dict({key: given[f"{part}.{key}"] for key in mine}, strict=False)
    freeze(task, {key for key, fate in fates.items() if fate == "loaded"})
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


def freeze(task: Trained, loaded: Collection[str]) -> None:
    """Leave only what `finetune` asks for to be learned; with `lora`, adapters are added and all else lies in the base of the run.

    `loaded` are the names of the tensors that are not new. ConfigError when a name fits no parameter, or nothing would be learned.
    """
    settings: Finetune = task.config.finetune
    if settings.lora is not None:
        adapters.adapt(task.modules["backbone"], settings.lora)
    named = {f"{part}.{key}": p for part, module in task.modules.items() for key, p in module.named_parameters()}
    for prefix in settings.lr_scale:
        _require_some(prefix, named, "finetune.lr_scale")
    if settings.lora is None and settings.train == "all":
        return
    chosen = _named(settings, named, loaded) | _last_blocks(task.modules, settings.last_blocks or 0)
    for key, parameter in named.items():
        parameter.requires_grad_(key in chosen)
    if settings.lora is not None:
        _require_learned(task, chosen, loaded)
        task.fixed = frozenset(named.keys() - chosen)


def _named(settings: Finetune, named: Mapping[str, nn.Parameter], loaded: Collection[str]) -> set[str]:
    """The parameters that `train` means; with adapters these too, and `all` is each part beside the backbone that holds something new."""
    added = adapters.of(named)
    if settings.train == "all":
        new = {key.split(".")[0] for key in named.keys() - added - set(loaded)} - {"backbone"}
        return added | {key for key in named if key.split(".")[0] in new}
    prefixes = ["head"] if settings.train == "head" else list(settings.train)
    for prefix in prefixes:
        _require_some(prefix, named, "finetune.train")
    return added | {key for key in named if key.startswith(tuple(prefixes))}


def _require_learned(task: Trained, chosen: Collection[str], loaded: Collection[str]) -> None:
    """ConfigError for weights that are new and would stay as they were drawn, and for a phase with nothing to learn."""
    named = {f"{part}.{key}" for part, module in task.modules.items() for key, _ in module.named_parameters()}
    if drawn := sorted(named - set(chosen) - set(loaded)):
        raise ConfigError(
            f"finetune.lora: {few(drawn, NAMED)}: new, and would stay as drawn: name what is to be learned in finetune.train"
        )
    for phase, parts in task.phases.items():
        if not any(key.split(".")[0] in parts for key in chosen):
            raise ConfigError(
                f"finetune.lora: phase {phase} has nothing to learn: name some of {', '.join(parts)} in finetune.train"
            )


def _last_blocks(modules: dict[str, nn.Module], count: int) -> set[str]:
    """Names of the parameters of the last `count` blocks of the backbone."""
    if not count:
        return set()
    blocks: list[nn.Module] = list(getattr(modules["backbone"], "blocks", []))
    if count > len(blocks):
        raise ConfigError(f"finetune.last_blocks: {count} asked for, the backbone has {len(blocks)}")
    wanted = {id(p) for block in blocks[-count:] for p in block.parameters()}
    return {f"backbone.{key}" for key, p in modules["backbone"].named_parameters() if id(p) in wanted}


def _require_some(prefix: str, named: Mapping[str, Any], where: str) -> None:
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
