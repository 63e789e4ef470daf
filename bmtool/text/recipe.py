"""What prepared text depends on, and what of it is another than before, in words."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from bmtool.base.changes import differences
from bmtool.base.files import sha256
from bmtool.base.units import few
from bmtool.config.text import HOW_ONLY, TextData
from bmtool.text.inventory import Source, find_sources, protected_files
from bmtool.text.sources import File
from bmtool.text.task import TextTask

FORMAT = 2  # of a prepared directory
CODE = 3  # raise it when a change in cleaning, splitting or keys gives other bytes: results of before are not used then
VERSION = ("format", "code", "task", "rules", "records", "learns")  # what no setting of a user changes
LISTED = 3  # files that are named when many have changed


def fingerprint(data: TextData, task: TextTask) -> dict | None:
    """All that the data prepared for `data` and `task` depends on, as JSON; None when standard input, read once, is a source.

    Every source is read to its end. Raises DataError when one is missing.
    """
    return recipe_of(data, task, find_sources(data, task)[0])


def recipe_of(data: TextData, task: TextTask, sources: list[Source]) -> dict | None:
    """The fingerprint, of sources that are found already."""
    if any(source.sha256 is None for source in sources):
        return None
    recipe = {
        "format": FORMAT, "code": CODE, "task": task.name, "rules": task.rules,
        "records": [task.columns, task.targets], "learns": task.learn is not None,
        "task_settings": {**task.settings, **task.inputs, **task.learning},
        "data": _settings(data),
        "sources": [
            {"name": s.name, "sha256": s.sha256, "format": s.file.format, **({"split": s.split} if s.split else {}),
             **s.spec.model_dump(exclude={"path"})} for s in sources
        ],
        "protected": [
            {"name": str(path), "sha256": sha256(path), "format": File(path).format} for path in protected_files(data)
        ],
    }  # fmt: skip
    return json.loads(json.dumps(recipe))


def changes(manifest: dict, recipe: dict | None) -> list[str]:
    """What is another in `recipe` than when `manifest` was written, a line each; empty when preparing again would change nothing."""
    before = manifest.get("recipe")
    if before is None or recipe is None:
        return ["data.sources: standard input cannot be compared with what was read before"]
    if any(before.get(key) != recipe[key] for key in VERSION):
        return ["it was prepared by another version of bmtool, or for another task"]
    return [
        *(f"data.{line}" for line in differences(before["data"], recipe["data"]).values()),
        *_changed_contents(before, recipe),
        *_changed_files("data.sources", before["sources"], recipe["sources"]),
        *_changed_protection(before["protected"], recipe["protected"]),
    ]


def setting_changes(manifest: dict, data: TextData) -> list[str]:
    """What of the settings alone is another than when `manifest` was written: for sources that cannot be read."""
    before = manifest.get("recipe")
    if before is None:
        return []
    if (before["format"], before["code"]) != (FORMAT, CODE):
        return ["it was prepared by another version of bmtool"]
    names = [file["name"] for file in before["sources"]]
    unread = [spec.path for spec in data.sources if not any(_covers(spec.path, name) for name in names)]
    return [
        *(f"data.{line}" for line in differences(before["data"], _settings(data)).values()),
        *_named("data.sources", unread, "added", "added"),
    ]


def _covers(source: str, name: str) -> bool:
    """Whether a source, which may be a file, a directory or a glob, can have given the file of this name."""
    return name == source or fnmatch(name, source) or Path(source) in Path(name).parents


def _settings(data: TextData) -> dict:
    return json.loads(json.dumps(data.model_dump(exclude=HOW_ONLY | {"sources", "protected", "columns"})))


def _changed_contents(before: dict, now: dict) -> Iterator[str]:
    """What a task takes from elsewhere, such as the file that a setting names, where the setting itself is the same."""
    old, new = before["task_settings"], now["task_settings"]
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        if key not in now["data"]:
            yield f"{now['task']}: {key} has changed"
        elif before["data"].get(key) == now["data"][key]:
            yield f"data.{key}: its contents have changed"


def _changed_files(key: str, before: list[dict], now: list[dict]) -> Iterator[str]:
    old, new = ({file["name"]: file for file in files} for files in (before, now))
    both = [name for name in new if name in old]
    yield from _named(key, [n for n in both if old[n]["sha256"] != new[n]["sha256"]], "has changed", "have changed")
    yield from _named(key, [name for name in new if name not in old], "added", "added")
    yield from _named(key, [name for name in old if name not in new], "is gone", "are gone")
    for name in both:
        how = ({k: v for k, v in file.items() if k != "sha256"} for file in (old[name], new[name]))
        yield from (f"{key}: {name}: {line}" for line in differences(*how).values())
    if len(both) == len(old) == len(new) and list(old) != list(new):
        yield f"{key}: the files come in another order"


def _named(key: str, names: list[str], one: str, many: str) -> Iterator[str]:
    if len(names) == 1:
        yield f"{key}: {names[0]} {one}"
    elif names:
        yield f"{key}: {len(names)} files {many} ({few(names, LISTED)})"


def _changed_protection(before: list[dict], now: list[dict]) -> Iterator[str]:
    """Of protected files the contents count, not their names."""
    old, new = ({(file["sha256"], file["format"]) for file in files} for files in (before, now))
    if old != new:
        yield from _changed_files("data.protected", before, now)
