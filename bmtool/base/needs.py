"""Packages that only some features need: what is missing, and the command that installs it, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple

from bmtool.errors import BmtoolError, ConfigError


class Package(NamedTuple):
    """One that a setting needs."""

    # what Python imports
    module: str
    # the names that pip knows, with a space between
    packages: str
    # which feature needs what
    what: str


def require(package: Package) -> None:
    """ConfigError with the command that installs it when a package is missing."""
    with needs(package.packages, package.what):
        if find_spec(package.module) is None:
            raise ImportError


@contextmanager
def needs(packages: str, what: str, *, error: type[BmtoolError] = ConfigError) -> Iterator[None]:
    """Around the imports of optional packages: an ImportError becomes `what, which is missing: pip install PACKAGES`.

    `packages` are the names that pip knows, with a space between; `what` says which feature needs what.
    """
    try:
        yield
    except ImportError as missing:
        verb = "are" if " " in packages else "is"
        raise error(f"{what}, which {verb} missing: pip install {packages}") from missing
