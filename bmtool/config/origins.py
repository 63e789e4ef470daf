"""The resolved configuration, each value with where it comes from."""

from collections.abc import Iterator
from typing import Any

from bmtool.config import document as documents
from bmtool.config.document import Document, Path_
from bmtool.config.schema import BaseConfig, Section

# Of values that are given nowhere: the schema's; the schema's, which says that it is settled when a run begins; made of other keys.
DEFAULT, AUTO, DERIVED = "default", "auto", "derived"


def origins(config: BaseConfig, document: Document) -> dict[Path_, str]:
    """For each value of a configuration, lists of plain values whole: `file:line`, `--set`, or one of the above."""
    return {path: _origin(document, path, value, default) for path, value, default in _values(config, (), None)}


def listing(config: BaseConfig, found: dict[Path_, str]) -> str:
    """YAML that is read as `config`, with the origin of each value as its comment."""
    lines = list(_lines(config.model_dump(), (), ""))
    width = max(len(line) for line, _ in lines)
    return "".join(f"{line:<{width}}  # {found[path]}\n" if path in found else f"{line}\n" for line, path in lines)


def _values(section: Section, at: Path_, default: Any) -> Iterator[tuple[Path_, Any, Any]]:
    """(path, value, default) of every value of a section, of which `default` is what it is where it is not given."""
    for name, field in type(section).model_fields.items():
        usual = (
            getattr(default, name) if type(default) is type(section) else field.get_default(call_default_factory=True)
        )
        yield from _parts(getattr(section, name), (*at, name), usual)


def _parts(value: Any, path: Path_, default: Any) -> Iterator[tuple[Path_, Any, Any]]:
    if isinstance(value, Section):
        yield from _values(value, path, default)
    elif isinstance(value, dict) and value:
        for key, held in value.items():
            yield from _parts(held, (*path, key), None)
    elif isinstance(value, list) and any(isinstance(held, Section) for held in value):
        for index, held in enumerate(value):
            yield from _parts(held, (*path, index), None)
    else:
        yield path, value, default


def _origin(document: Document, path: Path_, value: Any, default: Any) -> str:
    given, missing = _given(document.data, path)
    if not missing:
        return document.place(path)
    if value == default:
        return AUTO if value == "auto" else DEFAULT
    # A value that stands for a section, such as the path of a source.
    return DERIVED if isinstance(given, dict | list) else document.place(path)


def _given(data: Any, path: Path_) -> tuple[Any, Path_]:
    """What a document holds at the longest part of `path` that it has, and what is left of the path."""
    for depth, part in enumerate(path):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return data, path[depth:]
    return data, ()


def _lines(value: Any, path: Path_, indent: str) -> Iterator[tuple[str, Path_]]:
    """The lines of a section or list, each with the path of what stands in it."""
    for key, held in value.items() if isinstance(value, dict) else enumerate(value):
        head, inside = (f"{indent}{documents.inline(key)}:", "  ") if isinstance(value, dict) else (f"{indent}-", "  ")
        if not _is_nested(held):
            yield f"{head} {documents.inline(held)}", (*path, key)
        elif isinstance(value, dict):
            yield head, (*path, key)
            yield from _lines(held, (*path, key), indent + inside)
        else:
            # The first key of a section in a list stands behind its dash.
            for number, (line, at) in enumerate(_lines(held, (*path, key), indent + inside)):
                yield (f"{head} {line.lstrip()}" if number == 0 else line), at


def _is_nested(value: Any) -> bool:
    """Whether a value takes more than a line: a section, or a list of some."""
    if isinstance(value, list):
        return any(isinstance(one, dict) for one in value)
    return isinstance(value, dict) and bool(value)
