"""YAML of any origin to plain data with the place of each key: bounded in size, depth and number of values, and no type but those of data.

Plain values are what the core schema of YAML 1.2 says: `010` is ten, `1e-3` is a number, `yes`, `1:30` and `2026-01-01` are text. Tags are
refused: quotes say that a value is text, and nothing else needs saying. An alias counts as all that it stands for.
"""

import codecs
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from bmtool.errors import ConfigError

Path_ = tuple[str | int, ...]

# Of a configuration; the largest that ship are a hundred lines.
MAX_BYTES, MAX_VALUES, MAX_DEPTH = 1 << 20, 20_000, 20
MAX_CHARACTERS = 1 << 16
MAX_DIGITS = 30
# Of the name of a file that is not there.
MAX_NAME = 200
SETTING, VARIED = "--set", "--vary"
_RESOLVED = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": ("<<", ["<"]),
}
_NUMBER = re.compile(f"{_RESOLVED['int'][0]}|{_RESOLVED['float'][0]}")
# NUL, and half of a surrogate pair: what an escape can make and no file name and no file of text can hold.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass
class Document:
    """Plain data with the place each key came from."""

    data: dict
    places: dict[Path_, str]
    # place, key, message of each
    problems: list[tuple[str, str, str]]

    def put(self, path: Path_, value: Any, place: str) -> None:
        """Give the key at `path` another value, which comes from `place`."""
        target = self.data
        for part in path[:-1]:
            child = target.get(part)
            target[part] = target = dict(child) if isinstance(child, dict) else {}
        target[path[-1]] = value
        self.places = {at: where for at, where in self.places.items() if at[: len(path)] != path} | {path: place}

    def place(self, path: Path_) -> str:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


def read(path: Path) -> Document:
    """The document in a file. ConfigError, with the line, for what cannot be read; keys given twice are among its problems."""
    return parsed(text(path), path)


def parsed(text: str, path: Path) -> Document:
    """The document in a text, which errors call the file at `path`."""
    document = Document({}, {(): f"{path.name}:1"}, [])
    data = _loaded(text, str(path), lambda root: _places(root, (), path.name, document))
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: expected `key: value` lines, got a {type(data).__name__}")
    document.data = data
    return document


def value(text: str, name: str) -> Any:
    """One value, as it could stand in a document. ConfigError that begins with `name`."""
    return _loaded(text, name, lambda root: None)


def dump(data: dict) -> str:
    """YAML that is read as the same data."""
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False)


def inline(value: Any) -> str:
    """A value on one line, as it stands behind a key."""
    written: str = yaml.dump(
        [value], Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=True, width=1 << 20
    )
    return written.strip()[1:-1]


def text(path: Path) -> str:
    """What a file of YAML holds. ConfigError when it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is no file: name a YAML file (`bmtool init` writes one)")
        with path.open("rb") as stream:
            contents = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {str(path)[:MAX_NAME]}: {why} (`bmtool init` writes one)") from error
    if len(contents) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB: no configuration is")
    return _decoded(contents, str(path))


def _decoded(contents: bytes, name: str) -> str:
    if contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{name}:1: is UTF-16, not UTF-8 text: convert it (iconv -f utf-16 -t utf-8)")
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: is not UTF-8 text (byte {error.start}): convert it with iconv") from error


def _loaded(text: str, name: str, look: Callable[[yaml.Node], None]) -> Any:
    """The value of the one document in `text`, at whose nodes one may look first; None when there is none."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{_place(name, line)}: {text[error.position]!r} is no character of text") from error
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _require_text_keys(root)
        # Merging moves keys from one section to another, so this comes first.
        look(root)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark, what = error.problem_mark or error.context_mark, error.problem or error.context
        raise ConfigError(f"{_place(name, mark.line + 1 if mark else 1)}: not valid YAML: {what}") from error
    # An escape that is beyond Unicode.
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{_place(name, loader.line + 1)}: not valid YAML: {error}") from error


def _place(name: str, line: int) -> str:
    return name if name.startswith((SETTING, VARIED)) else f"{name}:{line}"


def _require_text_keys(node: yaml.Node) -> None:
    """_Refused for a key that is no text; a node that several aliases stand for is looked at as often, which is bounded."""
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if not key.tag.endswith((":str", ":merge")):
                shown = f"the key {key.value} is" if isinstance(key, yaml.ScalarNode) else "a key is"
                raise _Refused(f"{shown} no text; text stands in quotes", key.start_mark)
    for child in _children(node):
        _require_text_keys(child)


def _places(node: yaml.Node, at: Path_, name: str, document: Document) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, held in node.value:
            place, path = f"{name}:{key.start_mark.line + 1}", (*at, key.value)
            if path in document.places:
                document.problems.append(
                    (place, ".".join(map(str, path)), f"given twice, first at {document.places[path]}")
                )
            document.places[path] = place
            _places(held, path, name, document)
        for key, held in node.value:
            if key.tag.endswith(":merge"):
                _merge(held, at, name, document)
    elif isinstance(node, yaml.SequenceNode):
        for index, held in enumerate(node.value):
            document.places[(*at, index)] = f"{name}:{held.start_mark.line + 1}"
            _places(held, (*at, index), name, document)


def _merge(held: yaml.Node, at: Path_, name: str, document: Document) -> None:
    """The places of keys that come by `<<`; those that the section at `at` gives itself, or that came before, hide them."""
    for mapping in held.value if isinstance(held, yaml.SequenceNode) else [held]:
        merged = Document({}, {}, [])
        _places(mapping, at, name, merged)
        given = {path[len(at)] for path in document.places if path[: len(at)] == at and len(path) > len(at)}
        document.places |= {path: place for path, place in merged.places.items() if path[len(at)] not in given}


class _Refused(yaml.MarkedYAMLError):
    """What YAML allows and a configuration does not."""

    def __init__(self, problem: str, mark: yaml.Mark):
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """Composes what is bounded, and nothing that holds itself."""

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        _require_plain(event)
        self._depth += 1
        self._require_shallow(self._depth, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._measure(node, event)
        return node

    def _measure(self, node: yaml.Node, event: yaml.Event) -> None:
        """Bounds on a node with all that its aliases stand for."""
        if not isinstance(event, yaml.AliasEvent):
            inside = [self._sizes[child] for child in _children(node)]
            count, height = 1 + sum(size for size, _ in inside), 1 + max((height for _, height in inside), default=0)
            self._sizes[node] = count, height
            self._count(1, event)
        elif node not in self._sizes:
            raise _Refused(f"*{event.anchor} stands within what it names", event.start_mark)
        else:
            self._count(self._sizes[node][0], event)
            self._require_shallow(self._depth + self._sizes[node][1], event)

    def _count(self, values: int, event: yaml.Event) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _Refused(f"more than {MAX_VALUES:,} values", event.start_mark)

    def _require_shallow(self, depth: int, event: yaml.Event) -> None:
        if depth > MAX_DEPTH:
            raise _Refused(f"more than {MAX_DEPTH} sections and lists within each other", event.start_mark)


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader`, or a reader of YAML 1.1, would take for something else than text."""

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, (_pattern, _first) in _RESOLVED.items():
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


_TEXT, _OLDER = "tag:yaml.org,2002:str", yaml.resolver.Resolver()


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    is_plain = _OLDER.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT
    return dumper.represent_scalar(_TEXT, text, style=None if is_plain else "'")


_Dumper.add_representer(str, _text)


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def _require_plain(event: yaml.Event) -> None:
    """_Refused for a tag, and for a value that is longer than any that has a meaning."""
    if getattr(event, "tag", None) not in (None, "!"):
        raise _Refused(f"{event.tag.replace('tag:yaml.org,2002:', '!!')}: tags are not read", event.start_mark)
    if not isinstance(event, yaml.ScalarEvent):
        return
    if len(event.value) > MAX_CHARACTERS:
        raise _Refused(f"a value of {len(event.value):,} characters", event.start_mark)
    if event.implicit[0] and len(event.value) > MAX_DIGITS and _NUMBER.fullmatch(event.value):
        raise _Refused(f"a number of {len(event.value):,} digits", event.start_mark)
    if found := _NO_TEXT.search(event.value):
        raise _Refused(f"{found[0]!r} is no character of text", event.start_mark)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
