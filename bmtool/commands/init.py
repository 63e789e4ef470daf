"""`init`: from an empty folder to a configuration of one's own, with the sample data that it names, or with one's own."""

import json
import shutil
from glob import glob
from pathlib import Path
from typing import Any

from bmtool import registry
from bmtool.base.console import Console, answer
from bmtool.base.files import write_bytes, write_text
from bmtool.base.needs import require
from bmtool.commands import following, owning, refusals
from bmtool.config import document as documents
from bmtool.config import load, shipped
from bmtool.config.editing import with_value
from bmtool.config.schema import BaseConfig
from bmtool.config.shipped import Shipped
from bmtool.config.text import TOKENIZERS
from bmtool.errors import ConfigError

# Beside the configuration, for editors; by a name that nobody else's file has.
SCHEMA = "bmtool.schema.json"


def listing() -> list[dict[str, Any]]:
    """Every configuration that comes with bmtool: task, name, a sentence, whether its task begins with it, the command that writes it."""
    return [
        {
            "task": one.task, "name": one.name, "about": one.about, "first": one.name == registry.TASKS[one.task].first,
            "command": _command(one),
        }
        for one in shipped.configs()
    ]  # fmt: skip


def print_list(*, as_json: bool = False) -> None:
    """The list on stdout: a table, or an object a line."""
    found = listing()
    if as_json:
        for one in found:
            answer(json.dumps(one, ensure_ascii=False))
        return
    for task, entry in registry.TASKS.items():
        answer(f"{task}: {entry.help}")
        for one in (one for one in found if one["task"] == task):
            answer(f"  {one['name']:<24}{one['about']}")
    Console().say(
        f"next: {following.command('init', 'TASK')} writes the first of a task, with --name NAME another; --data PATH is for your own data"
    )


def init(
    task: str, file: str | None = None, *, name: str | None = None, data: str | None = None, target: str | None = None
) -> Path:
    """Write a commented configuration of `task` to `file` (NAME.yaml or TASK.yaml) and say what comes next. Returns its path.

    `name` chooses among the shipped ones; `data` is where the user's own data lie, `target` the column to be learned of a table there.
    Without it sample data that the configuration names are copied to where it names them. ConfigError where a file of that name is
    there already, or for a table whose target is not known.
    """
    chosen = shipped.of_task(task, name)
    path = Path(file or f"{name or task}.yaml")
    refusals.require_new([path])
    text = _rewritten(chosen, path, data, target)
    # What cannot be read is not written.
    load.validate(documents.parsed(text, path))
    console = Console()
    write_text(path, text)
    write_bytes(path.parent / SCHEMA, (shipped.folder() / shipped.SCHEMA).read_bytes())
    console.say(f"wrote {path}: {chosen.task}, the config {chosen.name}; {path.parent / SCHEMA} is for editors")
    for line in _told(path, own=data, target=target):
        console.say(line)
    return path


def _command(one: Shipped) -> str:
    is_first = one.name == registry.TASKS[one.task].first
    return following.command("init", one.task, *([] if is_first else ["--name", one.name]))


# --- what is written ---


def _rewritten(chosen: Shipped, path: Path, data: str | None, target: str | None) -> str:
    """The text of a shipped configuration with the user's names: of its file, its run, its data."""
    text = chosen.path.read_text("utf-8").replace(chosen.in_clone, str(path))
    text = shipped.MODELINE.sub(f"# yaml-language-server: $schema={SCHEMA}", text)
    if path.stem != chosen.name:
        text = with_value(text, ("run",), f"runs/{path.stem}")
        text = with_value(text, ("data", "prepared"), f"data/prepared/{path.stem}")
    if data is not None:
        text = owning.adapted(text, chosen, data, target)
    # Of a run of the same task; a tokenizer is that of another.
    parent, usual = documents.parsed(text, path).data["data"].get("vocabulary"), f"runs/{chosen.task}"
    if parent and not Path(parent).exists() and Path(usual, "run.json").exists():
        text = text.replace(parent, usual)
    return text


def _parent(config: dict[str, Any]) -> str | None:
    """The run that a configuration starts from."""
    tokenizer = config["data"].get("tokenizer")
    return config["data"].get("vocabulary") or (None if tokenizer in TOKENIZERS else tokenizer)


# --- what is said ---


def _told(path: Path, *, own: str | None, target: str | None) -> list[str]:
    """Where the data are, or are to be put, and the next command."""
    document, config = documents.read(path), load.load(path)
    key = "sources" if "sources" in document.data["data"] else "source"
    place, prepare = document.place(("data", key)), following.preparing(path)
    lines, missing = _lacking(config), []
    for at, what in owning.YOURS.items() if own is not None else ():
        if owning.holds(document.data, at) and not (target is not None and at[-1] == "target"):
            lines.append(f"{'.'.join(map(str, at))} {what}: yours ({document.place(at)})")
    for source in _sources(document.data["data"][key]):
        if copied := _sampled(source):
            lines.append(f"copied {source} ({copied}): sample data; your own go to data.{key} ({place})")
        elif (_is_path(source) or source == own) and not glob(source) and source not in owning.BUILT_IN:
            missing.append(source)
    if missing:
        return [*lines, f"put your data at {', '.join(missing)}, as {place} says; next: {prepare}"]
    return [*lines, *(_first(config, prepare) or [f"next: {prepare}"])]


def _lacking(config: BaseConfig) -> list[str]:
    """What to install for it first."""
    found = []
    for package in refusals.packages(config):
        try:
            require(package)
        except ConfigError as lacking:
            found.append(str(lacking))
    return list(dict.fromkeys(found))


def _is_path(source: str) -> bool:
    """Whether a source is one of the file system, and none by name, such as those that come with scikit-learn."""
    return "/" in source or bool(Path(source).suffix)


def _sources(given: Any) -> list[str]:
    sources = given if isinstance(given, list) else [given]
    return [one if isinstance(one, str) else one["path"] for one in sources]


def _sampled(source: str) -> str:
    """What was copied of the sample data to where `source` names them, if they are not there; "" for nothing."""
    sample, place = shipped.sample(source), Path(source)
    if sample is None or place.exists():
        return ""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(sample, place) if sample.is_dir() else shutil.copy(sample, place)
    return f"{len(list(place.iterdir()))} files" if place.is_dir() else "a file"


def _first(config: BaseConfig, then: str) -> list[str]:
    """What has to be trained before, where a configuration starts from a run that is not there, and `then` only."""
    parent = _parent(config.model_dump())
    if parent is None or Path(parent).exists():
        return []
    made = [one for one in shipped.configs() if documents.read(one.path).data["run"] == parent]
    how = [following.command("init", one.task, f"{Path(parent).name}.yaml", "--name", one.name) for one in made[:1]]
    return [
        f"it starts from the run {parent}, which is to be trained first; then {then}",
        *(f"next: {one}" for one in how),
    ]
