"""Reading text of any origin line by line in bounded memory: files, directories, globs, standard input, compressed or not."""

import bz2
import glob
import gzip
import io
import lzma
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import zstandard

from bmtool.errors import DataError

MAX_LINE_BYTES = 1 << 20  # a longer line is no sentence: it is skipped without being held in memory
EXAMPLES_KEPT = 10

_OPEN: dict[str, Callable[[Path | BinaryIO], BinaryIO]] = {
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
    ".zst": lambda path: io.BufferedReader(zstandard.open(path, "rb")),
}
# First bytes by which compressed standard input is recognised, which has no name to tell by.
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
_BROKEN_ARCHIVE = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError, OSError)


@dataclass
class Tally:
    """What one source gave: items read, kept, and dropped by reason with a few examples (`place: text`)."""

    read: int = 0
    kept: int = 0
    dropped: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, reason: str, place: str, text: str = "") -> None:
        self.dropped[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES_KEPT:
            shown.append(f"{place}: {text[:80]}" if text else place)

    def as_dict(self) -> dict:
        return {"read": self.read, "kept": self.kept, "dropped": dict(self.dropped), "examples": self.examples}


def expand(sources: list[str]) -> list[Path | None]:
    """The files behind files, directories and globs, sorted and without repeats; None stands for standard input.

    Raises DataError for a source that matches nothing.
    """
    found: dict[Path | None, None] = {}
    for source in sources:
        if source == "-":
            found[None] = None
            continue
        paths = _files(source)
        if not paths:
            raise DataError(f"data.sources: nothing at {source!r} (looked from {Path.cwd()})")
        found.update(dict.fromkeys(paths))
    return list(found)


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_file():
        return [path]
    inside = path.rglob("*") if path.is_dir() else map(Path, glob.glob(source, recursive=True))
    return sorted(p for p in inside if p.is_file() and not p.name.startswith("."))


def plain_suffix(path: Path | None) -> str:
    """The file's suffix under its compression: `.tsv` for `pairs.tsv.gz`; empty for standard input."""
    if path is None:
        return ""
    return Path(path.stem).suffix.lower() if path.suffix in _OPEN else path.suffix.lower()


def read_lines(path: Path | None, tally: Tally) -> Iterator[tuple[str, str]]:
    """(`file:line`, text) for every usable line; the others are dropped and counted in `tally`.

    Dropped: bytes that are not UTF-8, lines with NUL bytes, lines above MAX_LINE_BYTES, and what follows the break in a
    truncated archive.
    """
    name = "<stdin>" if path is None else str(path)
    number = 0
    try:
        with _open(path) as stream:
            for number, raw in enumerate(_bounded_lines(stream), start=1):
                tally.read += 1
                place = f"{name}:{number}"
                if raw is None:
                    tally.drop("line longer than 1 MiB", place)
                elif b"\0" in raw:
                    tally.drop("NUL byte", place)
                else:
                    try:
                        yield place, raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                    except UnicodeDecodeError:
                        tally.drop("not UTF-8", place, repr(raw[:40]))
    except _BROKEN_ARCHIVE as error:
        if path is not None and path.suffix not in _OPEN:
            raise DataError(f"cannot read {name}: {error}") from error
        tally.drop("archive broken off", f"{name}:{number + 1}", str(error))


def _open(path: Path | None) -> BinaryIO:
    if path is None:
        head = sys.stdin.buffer.peek(8)
        suffix = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)
        return _OPEN[suffix](sys.stdin.buffer) if suffix else sys.stdin.buffer
    return _OPEN.get(path.suffix, lambda p: p.open("rb"))(path)


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Raw lines; None in place of one that is too long."""
    while raw := stream.readline(MAX_LINE_BYTES):
        if len(raw) < MAX_LINE_BYTES or raw.endswith(b"\n"):
            yield raw
            continue
        while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None


_NOT_PUNCTUATION = re.compile("[^，。！？：；（）…]+")


def clean(text: str) -> str:
    """NFKC that leaves Chinese punctuation full-width, control and zero-width characters removed, white space folded."""
    if not unicodedata.is_normalized("NFKC", text):
        text = _NOT_PUNCTUATION.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c.isspace() else " " * (unicodedata.category(c) != "Cf") for c in text)
    return " ".join(text.split())


_ENDS = "。！？!?；;…"
_CLOSING = "”’」』）)》\"'"


def split_sentences(text: str) -> Iterator[str]:
    """`text` cut after each sentence end, closing quotes and brackets kept with the sentence they end."""
    start = position = 0
    while position < len(text):
        if text[position] in _ENDS:
            while position + 1 < len(text) and text[position + 1] in _ENDS + _CLOSING:
                position += 1
            yield text[start : position + 1].strip()
            start = position + 1
        position += 1
    if rest := text[start:].strip():
        yield rest
