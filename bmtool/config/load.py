"""YAML and `--set a.b=c` to a typed configuration. All problems are reported together, each with file:line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from bmtool import registry
from bmtool.base import changes
from bmtool.base.suggest import suggest
from bmtool.config.schema import RESUMABLE, BaseConfig
from bmtool.errors import ConfigError

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-4` is a number, as YAML 1.2 and every reader expect."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?([eE][-+]?\d+)$"),
    list("-+0123456789"),
)


@dataclass
class _Document:
    """Plain data with the place each key came from."""

    data: dict
    places: dict[Path_, str]
    # place, key, message of each
    problems: list[tuple[str, str, str]]

    def place(self, path: Path_) -> str:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


def load(path: str | Path, overrides: list[str] | None = None) -> BaseConfig:
    """The configuration in `path` with each `a.b=c` of `overrides` applied.

    Raises ConfigError listing every problem: unreadable file, unknown key, wrong type, cross-field rule.
    """
    document = _read(Path(path))
    for override in overrides or []:
        _override(document, override)
    return _validate(document)


def parse(data: dict, origin: str = "config") -> BaseConfig:
    """The configuration held by plain data, for instance a run's own resolved `config.yaml`."""
    return _validate(_Document(data, {(): origin}, []))


def dump(config: BaseConfig) -> str:
    """The fully resolved configuration as YAML that `load` accepts as it is."""
    return yaml.safe_dump(config.model_dump(), allow_unicode=True, sort_keys=False)


def differences(old: BaseConfig, new: BaseConfig) -> list[str]:
    """`key: old -> new` for every key whose change would make a resumed run another run."""
    found = changes.differences(old.model_dump(), new.model_dump())
    return [line for key, line in found.items() if key not in RESUMABLE]


def _read(path: Path) -> _Document:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error} (the configs that ship are under configs/)"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}  not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1  expected `key: value` lines, got a {type(data).__name__}")
    document = _Document(data, {(): f"{path.name}:1"}, [])
    _places(node, (), path.name, document)
    return document


def _places(node: yaml.Node | None, at: Path_, name: str, document: _Document) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place, path = f"{name}:{key.start_mark.line + 1}", (*at, key.value)
            if path in document.places:
                document.problems.append(
                    (place, ".".join(map(str, path)), f"given twice, first at {document.places[path]}")
                )
            document.places[path] = place
            _places(value, path, name, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            document.places[(*at, index)] = f"{name}:{value.start_mark.line + 1}"
            _places(value, (*at, index), name, document)


def _override(document: _Document, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override!r}: write it as key.sub=value")
    path = tuple(key.strip().split("."))
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: {text!r} is not a YAML value") from error
    target = document.data
    for part in path[:-1]:
        child = target.get(part)
        target[part] = target = dict(child) if isinstance(child, dict) else {}
    target[path[-1]] = value
    document.places = {at: place for at, place in document.places.items() if at[: len(path)] != path} | {path: "--set"}


def _validate(document: _Document) -> BaseConfig:
    if "task" not in document.data:
        raise ConfigError(f"{document.place(())}  task: missing key (one of: {', '.join(registry.TASKS)})")
    try:
        schema = registry.find(document.data["task"]).load("config")
    except ConfigError as error:
        raise ConfigError(f"{document.place(('task',))}  task: {error}") from error
    problems = list(document.problems)
    try:
        config = schema.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(schema, document, dict(item)) for item in error.errors()]
    if problems:
        raise ConfigError(_listing(problems))
    return config


def _listing(problems: list[tuple[str, str, str]]) -> str:
    width = max(len(place) for place, _, _ in problems)
    lines = [f"  {place:<{width}}  {key + ': ' if key else ''}{message}" for place, key, message in problems]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{count} in the configuration", *lines])


EXPECTED = {
    "int_type": "an integer", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
    "list_type": "a list", "dict_type": "a section", "model_type": "a section",
}  # fmt: skip


def _problem(schema: type[BaseModel], document: _Document, item: dict) -> tuple[str, str, str]:
    path = _real_path(document.data, item["loc"])
    key, place = ".".join(map(str, path)), document.place(path)
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return (
            place,
            key,
            f"unknown key{suggest(str(path[-1]), _known_keys(schema, document.data, path[:-1]))}",
        )
    if kind == "missing":
        return place, key, "missing key"
    if kind in EXPECTED:
        quoted = "; text that YAML reads as something else (yes, no, on, off, 5) stands in quotes" * (
            kind == "string_type" and given is not None
        )
        return place, key, f"expected {EXPECTED[kind]}, got {given!r}{quoted}"
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in re.findall(r"'[^']*'", item["ctx"]["expected"])]
        return place, key, f"expected one of {', '.join(choices)}, got {given!r}{suggest(str(given), choices)}"
    if kind == "union_tag_invalid":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected_tags"])
        tag = item["ctx"]["tag"]
        return (
            document.place((*path, "kind")),
            f"{key}.kind",
            f"expected one of {', '.join(choices)}, got {tag!r}{suggest(tag, choices)}",
        )
    if kind == "union_tag_not_found":
        return place, f"{key}.kind", "missing key"
    if kind == "value_error":
        return place, key, str(item["ctx"]["error"])
    return place, key, f"{item['msg'][0].lower()}{item['msg'][1:]}, got {given!r}"


def _real_path(data: Any, loc: tuple) -> Path_:
    """`loc` without the union tags and type names that pydantic puts between the keys."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        is_last = position == len(loc) - 1
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part] if part < len(data) else None
        elif not (isinstance(data, dict) and is_last and data.get("kind") != part):
            continue
        path.append(part)
    return tuple(path)


def _known_keys(schema: type[BaseModel], data: Any, path: Path_) -> list[str]:
    """The keys that the section at `path` takes."""
    is_name = False  # whether the next part is a user's own name for a section, or the number of one
    for part in path:
        data = data[part]
        if is_name or isinstance(part, int):  # its model was found before
            is_name = False
            continue
        annotation = schema.model_fields[part].annotation if part in schema.model_fields else None
        is_name = get_origin(annotation) is dict
        models = list(_models(annotation))
        chosen = models if len(models) == 1 else [m for m in models if data.get("kind") in _kinds(m)]
        if not chosen:
            return []
        schema = chosen[0]
    return list(schema.model_fields)


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
