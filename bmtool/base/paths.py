"""Paths as people write them: `~`, `$HOME` and `${DATA}` stand for what they stand for in a shell."""

import os
import re

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([^}]*)\})")


def expand(path: str) -> str:
    """A path with home directories and variables put in. ValueError for a user or a variable that is not there, and for no path at all."""
    if not path.strip():
        raise ValueError("expected a path, got nothing")
    if "\0" in path:
        raise ValueError("a path holds no NUL character")
    written = _VARIABLE.sub(_value, path)
    found = os.path.expanduser(written)
    if found.startswith("~"):
        raise ValueError(f"{found.partition('/')[0]}: no such home directory (./~ is a file of that name)")
    return found


def _value(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    if name not in os.environ:
        raise ValueError(f"{found[0]} is not set: export {name}, or write the path out")
    return os.environ[name]
