"""What the environment of a process says of it, read strictly: a number that is none is refused, never guessed."""

import os
import re

from bmtool.errors import ConfigError

DIGITS = 9  # of a number that counts processes or threads


def whole(name: str, default: int, *, least: int = 0) -> int:
    """The number in a variable, or `default` where it is not set. ConfigError for anything but a number of `least` or more."""
    given = os.environ.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) <= DIGITS and int(given) >= least):
        raise ConfigError(
            f"{name}={given[:20]!r}: expected a number of {least} or more (torchrun sets it): unset {name}"
        )
    return int(given)


def require_threads() -> None:
    """ConfigError for an OMP_NUM_THREADS that OpenMP would pass over: a number, or several for nested regions."""
    given = os.environ.get("OMP_NUM_THREADS")
    if given is not None and not re.fullmatch(r"\s*[1-9]\d{0,8}(\s*,\s*[1-9]\d{0,8})*\s*", given):
        raise ConfigError(f"OMP_NUM_THREADS={given[:20]!r}: expected a number of 1 or more: unset it, or set it to one")
