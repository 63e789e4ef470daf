"""Documents cut into passages, each with its place: files of text and Markdown."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bmtool.data.tally import Tally
from bmtool.errors import DataError

SUFFIXES = (".txt", ".md")
SIZE = 400  # characters of a passage at most
MOST = 20_000_000  # characters of all documents: their index is held in memory
NOT_UTF8 = "file that is not UTF-8 (convert it)"
_HEADING = re.compile(r"(#{1,6})\s+(.*\S)")
# What ends a sentence, and what closes it.
_END = re.compile(r"(?:[。！？!?；;…]|\.(?=\s))[”’」』）)\"']*\s*")


class Passage(NamedTuple):
    """Text as it stands in a file from a line on; `title` are the headings that it stands under."""

    text: str
    file: str
    line: int
    title: str = ""

    def source(self, start: int = 0) -> str:
        """file:line of a character of the text."""
        return f"{self.file}:{self.line + self.text.count(chr(10), 0, start)}"


def read(place: str | Path, tally: Tally, size: int = SIZE) -> list[Passage]:
    """The passages of a file, or of the .txt and .md below a folder; `tally` counts what is passed over.

    DataError where there is no text, or more than an index holds.
    """
    found, characters = list[Passage](), 0
    for path in _files(Path(place), tally):
        text = _text(path, tally)
        characters += len(text)
        if characters > MOST:
            raise DataError(f"{place} holds more than {MOST:,} characters, up to {path}: name a part of it")
        found += cut(text, str(path), size)
    if not found:
        raise DataError(f"no text in {place}: documents are files of {' and '.join(SUFFIXES)}, and folders of them")
    return found


def _files(place: Path, tally: Tally) -> Iterator[Path]:
    if not place.exists():
        raise DataError(f"no such file or folder: {place}")
    if place.is_file() and place.suffix.lower() not in SUFFIXES:
        raise DataError(f"{place} is no document that can be read: documents are files of {' and '.join(SUFFIXES)}")
    if place.is_file():
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in sorted(names)):
            if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                tally.ignore("hidden file" if path.name.startswith(".") else path.suffix or "no suffix", str(path))
            else:
                yield path


def _text(path: Path, tally: Tally) -> str:
    """ "" for one that is not UTF-8, which is counted. DataError for one that cannot be read."""
    try:
        if path.stat().st_size > 4 * MOST:
            raise DataError(f"{path} is larger than {4 * MOST / 1e6:.0f} MB: name a part of it")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        tally.ignore(NOT_UTF8, str(path))
        return ""
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


# --- cutting ---


class _Line(NamedTuple):
    """A line, or a part of one that is long, with where it begins in the text, its number, and the level of a heading or 0."""

    start: int
    end: int
    number: int
    level: int = 0


def cut(text: str, file: str, size: int = SIZE) -> list[Passage]:
    """Passages of whole paragraphs as long as they are short, of whole sentences else; a heading begins a new one."""
    found, held, headings = list[Passage](), list[_Line](), list[tuple[int, str]]()
    for line in _lines(text, size):
        full = held and line.end - held[0].start > size
        if held and (full or (line.level and not all(one.level for one in held))):
            found += _passage(text, file, held, headings)
            held = []
        if line.level:
            title = _HEADING.match(text[line.start : line.end])[2]  # type: ignore[index]
            headings = [*(one for one in headings if one[0] < line.level), (line.level, title)]
        held.append(line)
    return found + _passage(text, file, held, headings)


def _passage(text: str, file: str, lines: Sequence[_Line], headings: Sequence[tuple[int, str]]) -> list[Passage]:
    if not lines or not (inside := text[lines[0].start : lines[-1].end].rstrip()):
        return []
    return [Passage(inside, file, lines[0].number, " > ".join(title for _, title in headings))]


def _lines(text: str, size: int) -> Iterator[_Line]:
    """Lines with something in them; what is longer than a passage in sentences, or in parts of that size."""
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        heading = _HEADING.match(line)
        if line.strip():
            for begin, end in _parts(line, size):
                yield _Line(start + begin, start + end, number, len(heading[1]) if heading else 0)
        start += len(line) + 1


def _parts(line: str, size: int) -> Iterator[tuple[int, int]]:
    if len(line) <= size:
        yield 0, len(line)
        return
    start = last = 0
    for end in [*(found.end() for found in _END.finditer(line)), len(line)]:
        if end - start > size and last > start:
            yield start, last
            start = last
        while end - start > size:
            yield start, start + size
            start += size
        last = end
    if start < len(line):
        yield start, len(line)
