"""A configuration as a list of its keys, each with the default that it has or has not."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel


class Setting(NamedTuple):
    """`key` is written as `--set` has it. One that is required has no default."""

    key: str
    value: Any
    default: Any
    is_default: bool
    is_required: bool


def settings(section: BaseModel, prefix: str = "") -> Iterator[Setting]:
    """Every key of a configuration, in the order of its sections; a section that the user names is one value."""
    plain = section.model_dump()
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from settings(value, f"{key}.")
            continue
        is_required = field.is_required()
        default = None if is_required else field.get_default(call_default_factory=True)
        yield Setting(key, plain[name], default, not is_required and value == default, is_required)
