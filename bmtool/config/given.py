"""A configuration that a program gives: a file, the name of one that ships, or plain data; and what it changes in it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bmtool.config import load, shipped
from bmtool.config.document import Document, Path_
from bmtool.config.schema import BaseConfig

Given: TypeAlias = str | Path | Mapping[str, Any]
ORIGIN, CHANGE = "config", "override"
# What configurations call the place where their data lie.
SOURCES = ("source", "sources")


def config(given: Given, overrides: Mapping[str, Any], say: Callable[[str], None]) -> BaseConfig:
    """The configuration, `overrides` applied: `"train.steps"` or `{"train": {"steps": ...}}`.

    A dict changes keys of a section; one with a `kind` stands in its place. `say` hears where sample data are that ship with a
    configuration. ConfigError listing every problem.
    """
    document = _document(given, say)
    for path, value in _settings(overrides, ()):
        document.put(path, value, CHANGE)
    return load.validate(document)


def _document(given: Given, say: Callable[[str], None]) -> Document:
    if isinstance(given, Mapping):
        return Document(_plain(given), {(): ORIGIN}, [])
    if Path(given).suffix in (".yaml", ".yml") or Path(given).exists():
        return load.read(given)
    return _with_samples(load.read(shipped.called(str(given)).path), say)


def _with_samples(document: Document, say: Callable[[str], None]) -> Document:
    """With sample data taken from where they ship, where the configuration names some that are not here."""
    data = document.data["data"]
    for key in SOURCES:
        held = data.get(key)
        if isinstance(held, str):
            document.put(("data", key), _sample(held, say), document.place(("data", key)))
        elif isinstance(held, list):
            found = [_sample(one, say) if isinstance(one, str) else one for one in held]
            document.put(("data", key), found, document.place(("data", key)))
    return document


def _sample(source: str, say: Callable[[str], None]) -> str:
    place = None if Path(source).exists() else shipped.sample(source)
    if place is None:
        return source
    say(f"{source} is not here: the sample that comes with bmtool is used, {place}")
    return str(place)


def _settings(overrides: Mapping[str, Any], above: Path_) -> Iterator[tuple[Path_, Any]]:
    for key, value in overrides.items():
        path = (*above, *str(key).split("."))
        if isinstance(value, Mapping) and "kind" not in value:
            yield from _settings(value, path)
        else:
            yield path, _plain(value)


def _plain(value: Any) -> Any:
    """As YAML would have it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    return str(value) if isinstance(value, Path) else value
