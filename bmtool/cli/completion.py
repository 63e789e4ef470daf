"""What a shell completes: configs, runs, tasks, keys. Nothing that takes time is imported, and the disk is looked at only so far."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

# Entries of folders that are looked at, folders within each other, and answers: a key press is no search of a disk.
LOOKED_AT, DEEPEST, MOST = 5000, 4, 200


def tasks(incomplete: str) -> list[tuple[str, str]]:
    from bmtool.registry import TASKS

    return [(name, entry.help) for name, entry in TASKS.items() if name.startswith(incomplete)]


def tasks_and_ci(incomplete: str) -> list[tuple[str, str]]:
    found = [*tasks(incomplete), ("ci", "a workflow and a Makefile for a config of yours")]
    return [(name, text) for name, text in found if name.startswith(incomplete)]


def shipped(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of the configs that come with bmtool, of the task that is given."""
    from bmtool.config import shipped

    task = ctx.params.get("task")
    return [
        (one.name, one.about)
        for one in shipped.configs()
        if task in (None, one.task) and one.name.startswith(incomplete)
    ]


def configs(incomplete: str) -> list[str]:
    """YAML files below the folder that is typed so far."""
    return _below(incomplete, lambda entry: entry.name.endswith((".yaml", ".yml")) and entry.is_file())


def runs(incomplete: str) -> list[str]:
    """Run directories."""
    return _below(incomplete, _is_run)


def models(incomplete: str) -> list[str]:
    """Run directories, and exports."""
    return _below(incomplete, lambda entry: entry.name.endswith(".onnx") or _is_run(entry))


def _is_run(entry: os.DirEntry) -> bool:
    return entry.is_dir() and os.path.isfile(os.path.join(entry.path, "run.json"))


def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """`key=` for `--set`; the last one that fits with its value too, and the choices of a key behind its `=`."""
    from bmtool.config.keys import choices, known

    task = _task_of(ctx.params.get("config"))
    key, equals, text = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in choices(task, key) if choice.startswith(text)]
    return [f"{key}=" for key in known(task) if key.startswith(incomplete)]


def _task_of(config: Any) -> str | None:
    from bmtool.config.shipped import task_of

    try:
        return task_of(Path(str(config)).read_text("utf-8")) if config else None
    except (OSError, ValueError):
        return None


# --- looking ---


def _below(incomplete: str, wanted: Callable[[os.DirEntry], bool]) -> list[str]:
    """Paths that begin as typed, found in the folder that is typed so far and those within it, hidden ones aside."""
    folder, _, start = incomplete.rpartition("/")
    top = f"{folder}/" if folder or incomplete.startswith("/") else ""
    found = []
    for entry in _entries(top, start):
        if wanted(entry):
            found.append(entry.path.removeprefix("./") if not top else entry.path)
        if len(found) == MOST:
            break
    return sorted(found)


def _entries(top: str, start: str) -> Iterator[os.DirEntry]:
    """Of folders, nearest first; within a folder that is a run nothing is looked at but its exports."""
    left, looked_at = [(os.path.expanduser(top) or ".", start, 0)], 0
    while left:
        folder, begins, depth = left.pop(0)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    looked_at += 1
                    if looked_at > LOOKED_AT:
                        return
                    if not entry.name.startswith(begins) or entry.name.startswith("."):
                        continue
                    yield entry
                    if depth < DEEPEST and entry.is_dir(follow_symlinks=False):
                        left.append(
                            (os.path.join(entry.path, "export"), "", DEEPEST)
                            if _is_run(entry)
                            else (entry.path, "", depth + 1)
                        )
        except OSError:
            continue
