"""The command that comes next: what the last line of each command names."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from bmtool.config.schema import BaseConfig


def command(*words: str | Path) -> str:
    """A command line of bmtool, quoted for a shell."""
    return shlex.join(["bmtool", *map(str, words)])


def preparing(path: str | Path, overrides: Iterable[str] = ()) -> str:
    return command("prepare-data", path, *_sets(overrides))


def training(path: str | Path, config: BaseConfig, overrides: Iterable[str] = ()) -> str:
    """The command that trains a configuration: a finetuning where it is meant to start from other weights."""
    if not config.starts_from_others:
        return command("pretrain", path, *_sets(overrides))
    return command("finetune", path, *_parent(config), *_sets(overrides))


def _sets(overrides: Iterable[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def _parent(config: BaseConfig) -> list[str]:
    """Where weights come from, unless the model itself says so."""
    if getattr(config.model, "weights", None) is not None or getattr(config.model, "pretrained", False):
        return []
    taken = (getattr(config.data, key, None) for key in ("vocabulary", "labels", "columns_of"))
    return ["--from", next((place for place in taken if place), "RUN")]


def using(model: str | Path) -> str:
    """What one does with a model that is ready."""
    return f"{command('serve', model)} (a server with a page), or {command('predict', model)} INPUT..."
