"""JSON Schema of configurations, for editors: from the typed sections, each key described by the comment above it."""

import ast
import inspect
import textwrap
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from bmtool import registry
from bmtool.config.schema import IGNORED

# What editors read; later drafts differ in nothing that is used here.
DRAFT = "http://json-schema.org/draft-07/schema#"
_MODE: JsonSchemaMode = "validation"


def schema(task: str | None = None) -> dict[str, Any]:
    """Of the configurations of a task; of all tasks, told apart by the key `task`, where none is named."""
    names = [task] if task is not None else list(registry.TASKS)
    models = {name: registry.find(name).load("config") for name in names}
    keys, shared = models_json_schema(
        [(model, _MODE) for model in dict.fromkeys(models.values())], schema_generator=_Generator
    )
    choices = [_choice(name, keys[model, _MODE]) for name, model in models.items()]
    return {
        "$schema": DRAFT, "title": f"bmtool: {task or 'a configuration'}", "type": "object", "required": ["task"],
        "properties": {"task": {"enum": names, "description": "what is learned"}}, "allOf": choices, **shared,
    }  # fmt: skip


def _choice(task: str, model: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"task": {"const": task}}, "required": ["task"]}, "then": model}


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles would say the names of keys again."""
        return False


def described(model: type[BaseModel], found: dict[str, Any]) -> None:
    """Put the comments of a section into its schema."""
    texts = descriptions(model)
    for name, key in found.get("properties", {}).items():
        if "$ref" in key:  # beside which a draft of this age sees nothing
            key["allOf"] = [{"$ref": key.pop("$ref")}]
        if name in texts:
            key["description"] = texts[name]
    if "task" in model.model_fields:
        found["patternProperties"] = {IGNORED: {"description": "for anchors; not read"}}


@cache
def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Key -> the comment that stands above it, those of what `model` builds on first."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.startswith("bmtool."):
            found |= _comments(base)
    return {key: text for key, text in found.items() if key in model.model_fields}


def _comments(model: type[BaseModel]) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(model))
    lines, body = source.splitlines(), ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    keys = [node for node in body.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {node.target.id: text for node in keys if (text := _above(lines, node.lineno - 1))}


def _above(lines: list[str], number: int) -> str:
    """The comment that ends above a line, in one line."""
    first = number
    while first > 0 and lines[first - 1].lstrip().startswith("# "):
        first -= 1
    return " ".join(line.lstrip().removeprefix("# ") for line in lines[first:number])
