"""What bmtool depends on, by its own metadata, and which of it is installed. Nothing is imported to find out.

`python -m bmtool.base.packages` prints the requirements of an installation that answers and does not train.
"""

import re
from collections.abc import Iterable
from importlib import metadata
from typing import NamedTuple

NAME = "bmtool"
# The extra that names the dependencies that an exported model does without, and the one that serving takes.
TRAINING, SERVING = "training", "serve"
_LINE = re.compile(
    r"(?P<name>[\w.-]+)(?P<extras>\[[\w, -]*\])?\s*(?P<versions>[^;]*?)\s*(?:;(?P<marker>.*))?", re.DOTALL
)
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w.-]+)[\"']")
_BOUND = re.compile(r"(>=|==)\s*([\w.+!-]+)")


class Requirement(NamedTuple):
    """A package that bmtool needs, or one of its `extra`s does."""

    # as pip knows it, in lower case
    name: str
    # as pip takes it: `ray[data]>=2.30`
    written: str
    # "" of what is always needed
    extra: str = ""

    @property
    def package(self) -> str:
        """What to install without a version, as a shell takes it."""
        bare = re.split(r"[><=!~ ]", self.written)[0]
        return f"'{bare}'" if "[" in bare else bare


def requirements(lines: Iterable[str] | None = None) -> list[Requirement]:
    """Those of the installed bmtool, or in `lines` of its metadata; none where it runs without having been installed."""
    return [_parsed(line) for line in (of(NAME) if lines is None else lines)]


def of(name: str) -> list[str]:
    """What an installed package requires, a line each."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _parsed(line: str) -> Requirement:
    found = _LINE.fullmatch(line.strip())
    assert found is not None, line
    extra = _EXTRA.search(found["marker"] or "")
    written = f"{found['name']}{found['extras'] or ''}{found['versions'].strip('() ')}"
    return Requirement(found["name"].lower(), written, extra[1] if extra else "")


def of_training(known: list[Requirement]) -> set[str]:
    """The names of what only training, preparing, measuring and exporting need."""
    return {one.name for one in known if one.extra == TRAINING}


def answering(known: list[Requirement]) -> list[Requirement]:
    """What translate, predict and serve need."""
    left_out = of_training(known)
    return [one for one in known if (one.extra == "" and one.name not in left_out) or one.extra == SERVING]


def installed(name: str) -> str | None:
    """The version of a package, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unfit(requirement: str, version: str) -> bool:
    """Whether a version is not what a requirement such as `torch>=2.7` or `torch==2.13.0` asks for; other bounds are not judged."""
    bounds = _BOUND.findall(requirement)
    return any(
        _numbers(version) < _numbers(bound) if kind == ">=" else _numbers(version) != _numbers(bound)
        for kind, bound in bounds
    )


def _numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` as (2, 13): numbers of the release, zeros at the end aside."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release[0].split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


if __name__ == "__main__":
    print(*(one.written for one in answering(requirements())), sep="\n")
