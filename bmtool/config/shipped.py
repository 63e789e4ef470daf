"""The configurations and the sample data that come with bmtool: `configs/` and `data/` of a clone, in the package once installed."""

import re
from dataclasses import dataclass
from pathlib import Path

import bmtool
from bmtool import registry
from bmtool.base.suggest import suggest
from bmtool.errors import ConfigError

# What completes and checks them in an editor: written by `bmtool config schema`, and named by each in its second line.
SCHEMA = "schema.json"
MODELINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)$", re.MULTILINE)
_TASK = re.compile(r"^task: (\S+)", re.MULTILINE)
# An abbreviation ends none.
_SENTENCE = re.compile(r".+?(?<!et al)[.](?=\s|$)")


@dataclass(frozen=True)
class Shipped:
    """A configuration that comes with bmtool; among those of its task it has a `name` of its own."""

    task: str
    name: str
    path: Path
    # a sentence
    about: str

    @property
    def in_clone(self) -> str:
        """How its first line calls it."""
        return f"configs/{self.path.parent.name}/{self.path.name}"


def configs() -> list[Shipped]:
    """All of them by task, of each task the one first that one begins with."""
    found = [_shipped(path) for path in sorted(folder().glob("*/*.yaml"))]
    tasks = list(registry.TASKS)
    return sorted(found, key=lambda one: (tasks.index(one.task), one.name != registry.TASKS[one.task].first, one.name))


def of_task(task: str, name: str | None = None) -> Shipped:
    """The one called `name`, or the one that one begins with. ConfigError when there is none."""
    wanted = name or registry.find(task).first
    names = {one.name: one for one in configs() if one.task == task}
    if wanted not in names:
        raise ConfigError(
            f"{task} has no config called {wanted!r}{suggest(wanted, names)} (there are {', '.join(names)}): `bmtool init` lists them"
        )
    return names[wanted]


def called(name: str) -> Shipped:
    """The one of `TASK/NAME`, of a name that one task alone has, or the first of a task. ConfigError when there is none, or several."""
    names = {f"{one.task}/{one.name}": one for one in configs()}
    if name in names:
        return names[name]
    if name in registry.TASKS:
        return of_task(name)
    found = [full for full, one in names.items() if one.name == name]
    if len(found) == 1:
        return names[found[0]]
    if found:
        raise ConfigError(f"there are several configs called {name!r}: {', '.join(found)}")
    raise ConfigError(
        f"no config file {name}, and none that ships is called so{suggest(name, names)}: `bmtool init` lists them"
    )


def folder() -> Path:
    """Where they lie, their schema beside their folders."""
    return _place("configs", "configs")


def sample(path: str) -> Path | None:
    """The sample data that a configuration in the clone names as `path`, wherever they lie; None when it names none."""
    parts = Path(path).parts
    place = _place("samples", "data").joinpath(*parts[1:])
    return place if parts[:1] == ("data",) and len(parts) > 1 and place.exists() else None


def task_of(text: str) -> str | None:
    """The task that a configuration names, without reading the rest of it."""
    found = _TASK.search(text)
    return found[1] if found else None


def _place(installed: str, in_clone: str) -> Path:
    package = Path(bmtool.__file__).resolve().parent
    return found if (found := package / installed).is_dir() else package.parent / in_clone


def _shipped(path: Path) -> Shipped:
    text = path.read_text("utf-8")
    return Shipped(task_of(text) or "", path.stem, path, _about(text))


def _about(text: str) -> str:
    """The first sentence of the comment that stands at the top, the command and the schema aside."""
    _, *lines = text[: text.index("\ntask:")].splitlines()
    told = " ".join(line.removeprefix("# ") for line in lines if not MODELINE.match(line))
    sentence = _SENTENCE.match(told)
    return sentence[0] if sentence else told
