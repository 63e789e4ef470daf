"""`doctor`: whether bmtool can work here, what it would use, and what to do about what is missing."""

import json
from collections.abc import Iterator

from rich.table import Table

from bmtool.base import packages
from bmtool.base.console import Terminal, answer
from bmtool.commands import installation, machine
from bmtool.commands.diagnosis import Finding

STYLES = {"ok": "", "missing": "dim", "warning": "yellow", "broken": "red"}


def doctor(*, as_json: bool = False) -> list[Finding]:
    """Print what is found, a line each, on stdout. The error of the first broken thing once all is printed.

    Warnings and optional packages that are missing are no errors: bmtool works without.
    """
    found = [*findings()]
    broken = [one for one in found if one.error is not None]
    if as_json:
        listed = [{key: value for key, value in one._asdict().items() if key != "error"} for one in found]
        answer(json.dumps({"works": not broken, "findings": listed}, ensure_ascii=False))
    else:
        _print(found)
    if broken:
        _raise(broken)
    return found


def findings() -> Iterator[Finding]:
    """All that is looked at, in the order of the page."""
    known = packages.requirements()
    yield from installation.versions(known)
    yield from installation.torchvision(packages.of("torchvision"), packages.installed("torch"))
    yield from machine.device()
    yield from machine.machine()
    yield from machine.places()
    yield from installation.extras(known)
    yield from installation.environment()
    yield installation.model_in_the_box()


def _raise(broken: list[Finding]) -> None:
    first, others = broken[0], len(broken) - 1
    assert first.error is not None
    more = f" (and {others} more above)" if others else ""
    raise first.error(f"{first.name}: {first.said}: {first.do}{more}")


def _print(found: list[Finding]) -> None:
    table, part = Table(show_edge=False, show_header=False, box=None, pad_edge=False), ""
    for one in found:
        if one.part != part:
            part = one.part
            table.add_row(part, style="bold")
        state = "" if one.state == "ok" else one.state
        table.add_row(f"  {one.name}", state, one.said + (f"\n-> {one.do}" if one.do else ""), style=STYLES[one.state])
    Terminal().print(table)
