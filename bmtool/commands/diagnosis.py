"""What `doctor` has found: a line each, with what to do where something is not as it should be."""

from typing import Literal, NamedTuple

from bmtool.errors import BmtoolError

# ok; missing: optional, and not here; warning: bmtool works, less well; broken: something of bmtool does not.
State = Literal["ok", "missing", "warning", "broken"]


class Finding(NamedTuple):
    """`error` is the kind of error that a broken thing ends the command with."""

    part: str
    name: str
    said: str
    do: str = ""
    state: State = "ok"
    error: type[BmtoolError] | None = None


def warning(part: str, name: str, said: str, do: str) -> Finding:
    return Finding(part, name, said, do, "warning")


def broken(part: str, name: str, said: str, do: str, *, error: type[BmtoolError]) -> Finding:
    return Finding(part, name, said, do, "broken", error)
