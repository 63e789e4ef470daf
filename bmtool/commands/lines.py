"""Lines that a command works on: arguments, a file, or standard input."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from bmtool.base.console import warn
from bmtool.errors import DataError

BATCH_LINES = 64
MAX_LINE = 1 << 20


def chunks(texts: list[str], input_file: str | None) -> Iterator[tuple[int, str, list[str]]]:
    """(number of the first line, name of the source, lines)."""
    if texts:
        _warn_of_files(texts)
        yield from _batched(texts, "argument", BATCH_LINES)
    elif input_file is None or input_file == "-":
        yield from _batched(_lines(standard_input().buffer, "<stdin>"), "<stdin>", 1)
    else:
        try:
            with Path(input_file).open("rb") as stream:
                yield from _batched(_lines(stream, input_file), input_file, BATCH_LINES)
        except OSError as error:
            raise DataError(f"cannot read {input_file}: {error.strerror}") from error


def _warn_of_files(texts: list[str]) -> None:
    for text in filter(os.path.isfile, texts):
        warn(f"{text!r} is taken as text, though there is a file of that name: read the file with --input {text}")


def standard_input() -> TextIO:
    if sys.stdin is None:
        raise DataError("standard input is closed: give lines as arguments, or a file with --input")
    return sys.stdin


def _lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Decoded lines. Bytes that are not UTF-8 become U+FFFD and a line is cut after MAX_LINE bytes, each with a note, so that a line
    in stays a line out."""
    number = 0
    while raw := stream.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            warn(f"{name}:{number}: line longer than 1 MiB, cut there")
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            warn(f"{name}:{number}: not UTF-8 at byte {error.start + 1}")
            text = raw.decode("utf-8", "replace")
        yield text.rstrip("\r\n").replace("\0", " ")


def _batched(lines: Iterable[str], name: str, size: int) -> Iterator[tuple[int, str, list[str]]]:
    first, batch = 1, []
    for line in lines:
        batch.append(line)
        if len(batch) == size:
            yield first, name, batch
            first, batch = first + len(batch), []
    if batch:
        yield first, name, batch
