"""Standard streams that can be written to: open, whatever a shell has closed, and never in want of a character."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def prepare() -> None:
    """What a terminal's encoding lacks becomes an escape; a stdout that was closed fails when it is written to, a stderr is silent.

    A file that is opened later must not become one of them, so what is closed is taken.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def let_go(stream: TextIO) -> None:
    """Send what is left of a stream that cannot be written to nowhere: the interpreter would say so once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush() -> None:
    """Both streams, now. OSError when stdout cannot take what was written; of stderr nobody could be told."""
    with tolerated():
        sys.stderr.flush()
    sys.stdout.flush()


@contextmanager
def tolerated() -> Iterator[None]:
    """Around what is written when it cannot be told that it was not: a stream that fails is let go."""
    try:
        yield
    except OSError:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                let_go(stream)
