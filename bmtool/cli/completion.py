"""What a shell completes: configs, runs, tasks, keys. Nothing that takes time is imported, and the disk is looked at only so far."""

import os
from collections.abc import Callable, Iterator, MutableMapping
from itertools import islice
from pathlib import Path
from textwrap import shorten

import typer

# Entries of folders that are looked at, folders within each other, and answers: a key press is no search of a disk.
LOOKED_AT, DEEPEST, MOST = 5000, 4, 200
# Letters of an explanation: of a longer one Typer makes several lines, which shells take for several answers.
WIDEST = 70
# The key, where the shell asks for what comes behind its `=` alone.
_SPLIT = "_BMTOOL_COMPLETE_SPLIT"


def tasks(incomplete: str) -> list[tuple[str, str]]:
    from bmtool.registry import TASKS

    return [(name, entry.help) for name, entry in TASKS.items() if name.startswith(incomplete)]


def tasks_and_ci(incomplete: str) -> list[tuple[str, str]]:
    found = [*tasks(incomplete), ("ci", "a workflow and a Makefile for a config of yours")]
    return [(name, text) for name, text in found if name.startswith(incomplete)]


def shipped(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Names of the configs that come with bmtool, of the task that is given."""
    from bmtool.config import shipped

    task = _first(ctx, "task")
    return [
        (one.name, shorten(one.about, WIDEST, placeholder=" ..."))
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
    """`key=` for `--set`, and the choices of a key behind its `=`."""
    from bmtool.config.keys import choices, known

    task = _task_of(_first(ctx, "config"))
    if split := os.environ.get(_SPLIT):
        return [choice for choice in choices(task, split) if choice.startswith(incomplete)]
    key, equals, text = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in choices(task, key) if choice.startswith(text)]
    found = {key: usual for key, usual in known(task).items() if key.startswith(incomplete)}
    # Two answers where there is one: after a single one a shell would put a space.
    values = [f"{key}={usual}" for key, usual in found.items() if len(found) == 1]
    return [f"{key}=" for key in found] + values


def join_words(environment: MutableMapping[str, str]) -> None:
    """Bash takes `key=value` apart at the `=`, and wants what comes behind it completed alone: the words as they were typed."""
    if environment.get("_BMTOOL_COMPLETE") != "complete_bash":
        return
    words = environment["COMP_WORDS"].split("\n")[: int(environment["COMP_CWORD"]) + 1]
    joined: list[str] = []
    for before, word in zip(["", *words], words):
        if joined and "=" in (before, word):
            joined[-1] += word
        else:
            joined.append(word)
    if len(words) > 1 and "=" in words[-2:]:
        key, _, typed = joined.pop().partition("=")
        joined += [key, typed] if key.startswith("-") else [typed]
        environment |= {} if key.startswith("-") else {_SPLIT: key}
    environment |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(len(joined) - 1)}


def _first(ctx: typer.Context, name: str) -> str | None:
    """The first argument of a command; behind an option that still lacks its value it is among those that are not read yet."""
    return ctx.params.get(name) or next(iter(ctx.args), None)


def _task_of(config: str | None) -> str | None:
    from bmtool.config.shipped import task_of

    try:
        return task_of(Path(config).read_text("utf-8")) if config else None
    except (OSError, ValueError):
        return None


# --- looking ---


def _below(incomplete: str, wanted: Callable[[os.DirEntry], bool]) -> list[str]:
    """Paths that begin as typed, found in the folder that is typed so far and those within it, hidden ones aside."""
    head, slash, start = incomplete.rpartition("/")
    top = os.path.expanduser(head + slash) or "./"
    found = (head + slash + entry.path.removeprefix(top) for entry in _entries(top, start) if wanted(entry))
    return sorted(islice(found, MOST))


def _entries(top: str, start: str) -> Iterator[os.DirEntry]:
    """Of folders, nearest first; within a folder that is a run nothing is looked at but its exports."""
    left, looked_at = [(top, start, 0)], 0
    while left:
        folder, begins, depth = left.pop(0)
        for entry in _listed(folder):
            looked_at += 1
            if looked_at > LOOKED_AT:
                return
            if entry.name.startswith(begins) and not entry.name.startswith("."):
                yield entry
                left += _within(entry, depth + 1)


def _within(entry: os.DirEntry, depth: int) -> list[tuple[str, str, int]]:
    if depth > DEEPEST or not entry.is_dir(follow_symlinks=False):
        return []
    return [(os.path.join(entry.path, "export"), "", DEEPEST)] if _is_run(entry) else [(entry.path, "", depth)]


def _listed(folder: str) -> list[os.DirEntry]:
    """What is in a folder; nothing where it is none, or cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, LOOKED_AT))
    except OSError:
        return []
