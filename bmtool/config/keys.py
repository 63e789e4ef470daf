"""The keys of a configuration by their dotted names, for a shell that completes them."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bmtool import registry
from bmtool.config.document import inline
from bmtool.config.schema import BaseConfig


def known(task: str | None) -> dict[str, str]:
    """Those of a task with their defaults; those that all share where none is named. Of sections to choose among, those of each."""
    found: dict[str, str] = {}
    for key, field in _keys(_model(task), ""):
        usual = field.get_default(call_default_factory=True)
        found.setdefault(key, "" if usual is PydanticUndefined else inline(usual))
    return found


def choices(task: str | None, wanted: str) -> list[str]:
    """The values of a key that takes one of a few."""
    found = [value for key, field in _keys(_model(task), "") if key == wanted for value in _values(field.annotation)]
    return list(dict.fromkeys(found))


def _model(task: str | None) -> type[BaseModel]:
    return registry.TASKS[task].load("config") if task in registry.TASKS else BaseConfig


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        sections = list(_sections(field.annotation))
        for section in sections:
            yield from _keys(section, f"{prefix}{name}.")
        if not sections:
            yield f"{prefix}{name}", field


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Those that a key holds, not as values of a list or of names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _sections(part)


def _values(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _values(part)
