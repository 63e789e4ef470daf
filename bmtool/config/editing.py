"""YAML with a key set to something else, its comments as they were."""

from typing import Any

import yaml

from bmtool.config.document import Path_, inline
from bmtool.errors import ConfigError


def with_value(text: str, path: Path_, value: Any) -> str:
    """`text` with the key at `path` set to `value`; a key that it lacks is added to its section.

    ConfigError where that takes more than to change one place: whoever asks writes the whole anew then, and reads what came in any case.
    """
    section, rest = _composed(text), list(path)
    while isinstance(section, yaml.MappingNode):
        held = next((node for key, node in section.value if key.value == rest[0]), None)
        if held is None:
            return _added(text, section, rest, value)
        if len(rest) == 1:
            return _replaced(text, held, value)
        section, rest = held, rest[1:]
    raise ConfigError(f"{'.'.join(map(str, path))}: the section that holds it is none in the text")


def _composed(text: str) -> yaml.Node | None:
    """ConfigError for what is no YAML any more: a value that was replaced may have been the one that others stand for."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"no YAML: {error}") from error


def _replaced(text: str, node: yaml.Node, value: Any) -> str:
    is_plain = isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">")
    if not is_plain and not getattr(node, "flow_style", False):
        raise ConfigError("a value of several lines")
    start, end = node.start_mark.index, node.end_mark.index
    new, rest = inline(value), text[end:]
    gap = len(rest) - len(rest.lstrip(" "))
    # A comment behind it stays in its column, as long as there is room.
    if rest[gap : gap + 1] == "#":
        new, rest = new.ljust(end - start + gap - 1) + " ", rest[gap:]
    return text[:start] + new + rest


def _added(text: str, section: yaml.MappingNode, path: list[str | int], value: Any) -> str:
    """The key on a line of its own behind the last of its section, or as the last within brackets."""
    if not section.value:
        raise ConfigError("an empty section")
    for name in path[:0:-1]:
        value = {name: value}
    entry = f"{path[0]}: {inline(value)}"
    if section.flow_style:
        end = section.end_mark.index - 1
        return f"{text[:end]}, {entry}{text[end:]}"
    text = text.rstrip("\n") + "\n"
    end = text.index("\n", _last(section).end_mark.index - 1) + 1
    return f"{text[:end]}{' ' * section.value[0][0].start_mark.column}{entry}\n{text[end:]}"


def _last(node: yaml.Node) -> yaml.Node:
    """What stands last in a section: a value on one line, or within brackets."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node
