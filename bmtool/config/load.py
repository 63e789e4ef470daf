"""YAML and `--set a.b=c` to a typed configuration. All problems are reported together, each with file:line."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bmtool import registry
from bmtool.base.suggest import suggest
from bmtool.config import document as documents
from bmtool.config import editing
from bmtool.config.document import SETTING, VARIED, Document, Path_
from bmtool.config.schema import IGNORED, OF_A_RUN, BaseConfig
from bmtool.errors import ConfigError

# Characters of a wrong value, and of a key; problems.
SHOWN, LONGEST, MOST = 60, 100, 30


def load(path: str | Path, overrides: list[str] | None = None, varied: Mapping[str, Any] | None = None) -> BaseConfig:
    """The configuration in `path` with each `a.b=c` of `overrides` applied, then what `--vary` puts at the keys of `varied`.

    Raises ConfigError listing every problem: unreadable file, unknown key, wrong type, cross-field rule.
    """
    return validate(read(path, overrides, varied))


def read(path: str | Path, overrides: list[str] | None = None, varied: Mapping[str, Any] | None = None) -> Document:
    """What these give, before defaults and checks; sections at the top called `x-...`, for anchors, are left out."""
    document = _without_anchors(documents.read(Path(path)))
    for override in overrides or []:
        document.put(*_setting(override), SETTING)
    for key, value in (varied or {}).items():
        document.put(tuple(key.split(".")), value, VARIED)
    return document


def written(path: str | Path, overrides: list[str], varied: Mapping[str, Any]) -> str:
    """YAML that `load` accepts as it is, for what these give to `load`: the file with its comments, or the resolved configuration."""
    wanted, text = load(path, overrides, varied), documents.text(Path(path))
    settings = [_setting(override) for override in overrides] + [(tuple(k.split(".")), v) for k, v in varied.items()]
    try:
        for key, value in settings:
            text = editing.with_value(text, key, value)
        same = validate(_without_anchors(documents.parsed(text, Path(path)))) == wanted
    except ConfigError:
        same = False
    return text if same else dump(wanted)


def _without_anchors(document: Document) -> Document:
    document.data = {key: value for key, value in document.data.items() if not re.match(IGNORED, key)}
    return document


def of_run(path: str | Path) -> BaseConfig:
    """A run's own resolved `config.yaml`: what was trained with it is trained, sensibly or not."""
    return validate(documents.read(Path(path)), OF_A_RUN)


def parse(data: dict, origin: str = "config") -> BaseConfig:
    """The configuration held by plain data, for instance a run's own resolved `config.yaml`."""
    return validate(Document(data, {(): origin}, []))


def dump(config: BaseConfig) -> str:
    """The fully resolved configuration as YAML that `load` accepts as it is."""
    return documents.dump(config.model_dump())


def _setting(override: str) -> tuple[Path_, Any]:
    """The key and the value of `a.b=c`."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or "" in path:
        raise ConfigError(f"{SETTING} {override[:SHOWN]!r}: write it as key.sub=value")
    return path, documents.value(text, f"{SETTING} {key[:SHOWN]}")


def validate(document: Document, context: object = None) -> BaseConfig:
    """The configuration in a document. ConfigError listing every problem."""
    if "task" not in document.data:
        raise ConfigError(f"{document.place(())}: task: missing key (one of: {', '.join(registry.TASKS)})")
    try:
        schema = registry.find(document.data["task"]).load("config")
    except ConfigError as error:
        raise ConfigError(f"{document.place(('task',))}: task: {error}") from error
    problems = list(document.problems)
    try:
        config = schema.model_validate(document.data, context=context)
    except ValidationError as error:
        problems += [_problem(schema, document, dict(item)) for item in error.errors()]
    if problems:
        raise ConfigError(_listing(problems))
    return config


def _listing(problems: list[tuple[str, str, str]]) -> str:
    """One line, or a head and a line for each."""
    said = [(place, f"{key + ': ' if key else ''}{message}") for place, key, message in problems]
    if len(said) == 1:
        return ": ".join(said[0])
    width = max(len(place) for place, _ in said)
    lines = [f"  {place:<{width}}  {message}" for place, message in said[:MOST]]
    lines += [f"  and {len(said) - MOST} more"] if len(said) > MOST else []
    return "\n".join([f"{len(said)} problems in the configuration", *lines])


EXPECTED = {
    "int_type": "an integer", "float_type": "a number", "string_type": "text", "bool_type": "true or false",
    "list_type": "a list", "dict_type": "a section {key: value}", "model_type": "a section",
}  # fmt: skip


def _problem(schema: type[BaseModel], document: Document, item: dict) -> tuple[str, str, str]:
    path = _real_path(document.data, item["loc"])
    key, place = ".".join(map(str, path))[:LONGEST], document.place(path)
    kind, given = item["type"], item.get("input")
    shown = _shown(given)
    if kind == "extra_forbidden":
        return place, key, f"unknown key{_meant(schema, document.data, path)}"
    if kind == "missing":
        return place, key, "missing key"
    if kind in EXPECTED:
        quoted = "; text that YAML reads as something else (true, 5, 1e3) stands in quotes" * (
            kind == "string_type" and isinstance(given, (bool, int, float))
        )
        return place, key, f"expected {EXPECTED[kind]}, got {shown}{quoted}"
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in re.findall(r"'[^']*'|\d+", item["ctx"]["expected"])]
        return place, key, f"expected one of {', '.join(choices)}, got {shown}{suggest(str(given)[:SHOWN], choices)}"
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
        said = str(item["ctx"]["error"])
        # A rule about several keys begins with one of them.
        return document.place((*path, *re.match(r"[\w.]*", said)[0].split("."))), key, said
    return place, key, f"{item['msg'][0].lower()}{item['msg'][1:]}, got {shown}"


def _shown(given: object) -> str:
    """A wrong value, as much of it as helps."""
    whole = repr(given)
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}..."


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


def _meant(schema: type[BaseModel], data: Any, path: Path_) -> str:
    """What may be meant by an unknown key: that of another kind of its section, or one that is spelled like it."""
    chosen, models = _section(schema, data, path[:-1])
    others = [
        kind for model in models if path[-1] in model.model_fields and model is not chosen for kind in _kinds(model)
    ]
    if chosen is not None and others:
        return f" for kind {', '.join(_kinds(chosen))}: it belongs to {', '.join(others)}"
    return suggest(str(path[-1]), [] if chosen is None else chosen.model_fields)


def _section(schema: type[BaseModel], data: Any, path: Path_) -> tuple[type[BaseModel] | None, list[type[BaseModel]]]:
    """What the section at `path` must be, and all that it could be with another `kind`."""
    models = [schema]
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
            return None, models
        schema = chosen[0]
    return schema, models


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
