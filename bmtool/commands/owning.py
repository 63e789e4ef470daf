"""A configuration that comes with bmtool, for data of the user's own: what it says of its sample goes, what can be told is told."""

import re
from collections.abc import Mapping
from typing import Any

from bmtool import registry
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.config import document as documents
from bmtool.config import image, shipped, table
from bmtool.config.document import Path_
from bmtool.config.editing import with_value
from bmtool.config.load import load
from bmtool.config.shipped import Shipped
from bmtool.errors import BmtoolError, ConfigError

# Sources that are no files.
BUILT_IN = {"-", *image.NAMED, *table.EXAMPLES}
# What a configuration for the sample says of its columns and answers, and what stands there for others.
YOURS: dict[Path_, str] = {
    ("data", "target"): "names the column to be learned",
    ("data", "positive"): "names the class that matters, null: the rarer of two",
    ("decide",): "says what a wrong answer costs",
    ("data", "items"): "names a table of what items are, null: there is none",
}
OTHERWISE: dict[Path_, Any] = {
    ("data", "positive"): None, ("decide", "cost_false_positive"): 1, ("decide", "cost_false_negative"): 1,
}  # fmt: skip
LABELLED, TABLES = "text.labelled", "tables"
SHOWN = 40  # names of columns
# Comments that are of the sample: behind a key, and in the first line.
_COMMENT = re.compile(
    r" +# ((about )?[\d,]+ times over the|somebody|the embedded sample).*| --set 'data\.sources=.*'$", re.MULTILINE
)
_SOURCE = re.compile(r"^(  sources?: .*?) +# .*", re.MULTILINE)
_HEAD = re.compile(r"(?<=\n)(?!# yaml-language-server)# .*\n(?=(# .*\n)*task: )")


def adapted(text: str, chosen: Shipped, data: str, target: str | None) -> str:
    """`text` of a shipped configuration for the data at `data`. ConfigError for a target that is no column, or is not known."""
    held = documents.read(chosen.path).data
    key, value = ("sources", [data]) if "sources" in held["data"] else ("source", data)
    settings = {("data", key): value} | {path: OTHERWISE[path] for path in OTHERWISE if holds(held, path)}
    if registry.find(chosen.task).kit == LABELLED:
        settings[("data", "columns")] = _named(chosen, data, target)
        target = None
    elif registry.find(chosen.task).kit == TABLES:
        settings |= _unnamed(chosen, held["data"])
    if "target" in held["data"]:
        settings[("data", "target")] = _target(data, target, held["data"]["target"])
    elif target is not None:
        raise ConfigError(f"--target names the column of a table to be learned: {chosen.task} has none")
    for path, one in settings.items():
        text = with_value(text, path, one)
    text, source = _COMMENT.sub("", text), held["data"][key]
    if isinstance(source, str) and source in BUILT_IN:
        text = _SOURCE.sub(r"\1", text)
    return _without_its_head(text, chosen) if _is_of_a_sample(source) else text


def holds(data: Any, path: Path_) -> bool:
    """Whether a configuration says something at `path`."""
    for key in path:
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


def _is_of_a_sample(source: Any) -> bool:
    first = source[0] if isinstance(source, list) else source
    return first in BUILT_IN or shipped.sample(str(first)) is not None


def _without_its_head(text: str, chosen: Shipped) -> str:
    head = f"# For data of your own, begun from the config {chosen.name} ({registry.find(chosen.task).help}).\n"
    return _HEAD.sub("", text).replace("\ntask: ", f"\n{head}task: ", 1)


# --- the columns of a table ---


def _target(data: str, asked: str | None, usual: str) -> str:
    """The column to be learned. ConfigError with those there are."""
    there = _columns(data)
    if there and (asked or usual) not in there:
        wrong = f" has no column {asked!r}{suggest(asked, there)}" if asked is not None else ""
        raise ConfigError(
            f"{data}{wrong or ' is a table'} (columns are {few(there, SHOWN)}): name the one to be learned with --target"
        )
    return asked or usual


def _unnamed(chosen: Shipped, data: Mapping[str, Any]) -> dict[Path_, Any]:
    """What names columns of the sample names none, so that no time splits either."""
    columns = data.get("columns", {})
    settings: dict[Path_, Any] = {("data", "split"): "hash"} if "split" in data else {}
    if not columns:
        return settings
    fields = type(load(chosen.path).data.columns).model_fields
    return settings | {
        ("data", "columns", key): fields[key].default for key, value in columns.items() if not isinstance(value, int)
    }


def _named(chosen: Shipped, data: str, target: str | None) -> dict[str, str]:
    """What a file of labelled text calls otherwise than the task does: its target, and a text where one column alone is left for it."""
    loaded, there = load(chosen.path), _columns(data)
    kind = registry.find(chosen.task).load("kind")(loaded.data)
    named = {kind.targets[0]: _target(data, target, kind.targets[0])} if target is not None else {}
    left = [name for name in there if name not in (*named.values(), *kind.targets)]
    if len(left) == len(kind.texts) == 1:
        named[kind.texts[0]] = left[0]
    return {name: column for name, column in named.items() if name != column}


def _columns(data: str) -> list[str]:
    """Those of the first row at `data`; none where it is not there or cannot be read, which prepare-data says better."""
    from bmtool.tables.sources import rows

    try:
        return list(next(iter(rows(data))).cells or {})
    except (BmtoolError, OSError):
        return []
