"""Names of data sets that lie elsewhere: nothing is fetched while data are read, so each is an error that says what does."""

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PAGE = re.compile(r"https?://[^/]+/datasets/([\w.-]+(?:/[\w.-]+)?)/?(?:[?#].*)?")
PREFIXES = ("hf://datasets/", "hf://", "hf:")


def require_here(source: str) -> str:
    """A source as it is. ValueError, with the command that downloads it, where it says itself that it lies elsewhere."""
    if name := name_of(source):
        raise ValueError(
            f"{source} is a data set of the Hugging Face hub, and nothing is fetched here: {command(name)}"
        )
    if source.startswith(("http://", "https://")):
        raise ValueError(f"{source} is not fetched: download it (curl -LO {source}) and name the file")
    return source


def hint(source: str) -> str:
    """`; if it is a data set of the hub: COMMAND` for what might be the name of one and is no file; else an empty string."""
    is_name = _NAME.fullmatch(source) and not Path(source).suffix
    return f"; if it is a data set of the Hugging Face hub: {command(source)}" if is_name else ""


def command(name: str) -> str:
    return f"`bmtool init --data hf:{name}` downloads it"


def name_of(source: str) -> str:
    """The data set that a source says it is; "" for a path."""
    if page := _PAGE.fullmatch(source):
        return page[1]
    prefix = next((prefix for prefix in PREFIXES if source.startswith(prefix)), None)
    return source.removeprefix(prefix) if prefix else ""
