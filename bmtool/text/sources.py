"""Bytes of any origin to blocks of lines, in bounded memory: txt, tsv, csv, jsonl, parquet; plain, gz, xz, bz2, zst; standard input.

A block holds up to BLOCK_BYTES of whole lines and is the unit of work everywhere: `blocks` cuts a file, `decode` turns a block's
bytes into text. A record of several columns becomes one line with a tab between the columns; plain text holds no tab.
"""

import bz2
import csv
import glob
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from bmtool.data.tally import Tally
from bmtool.errors import DataError

MAX_LINE_BYTES = 1 << 20  # a longer line is no sentence: it is skipped without being held in memory
BLOCK_BYTES = 4 << 20
# Lines that stand in a block for a line that was skipped, and for one that is no record of its own.
TOO_LONG, CONTINUED = b"\0too long", b"\0continued"
RECORDS = (".tsv", ".csv", ".jsonl", ".parquet")


class _ZstdStream(io.RawIOBase):
    """Decompressed frames; EOFError where the last one is cut short, which zstandard's own reader passes over in silence."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._frame, self._ready = stream, zstandard.ZstdDecompressor().decompressobj(), b""
        self._rest, self._inside = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready:
            data = self._rest or self._stream.read(1 << 17)
            if not data:
                if self._inside:
                    raise EOFError("the last frame is cut short")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(data)
            self._rest = self._frame.unused_data if self._frame.eof else b""
            self._inside = not self._frame.eof
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


_OPEN: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
    ".zst": lambda raw: io.BufferedReader(_ZstdStream(raw), 1 << 20),
}
# First bytes by which compressed standard input is recognised, which has no name to tell by.
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}
_BROKEN_ARCHIVE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError, OSError)


@dataclass(frozen=True)
class File:
    """One file (None: standard input) and how to read it."""

    path: Path | None
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    pair: tuple[str, ...] = ()  # the columns that a task takes before "text" where no columns are named

    @property
    def name(self) -> str:
        return "<stdin>" if self.path is None else str(self.path)

    @property
    def format(self) -> str:
        """The suffix under the compression when it is one of RECORDS; else empty, for text."""
        if self.path is None:
            return ""
        suffix = (Path(self.path.stem) if self.path.suffix in _OPEN else self.path).suffix.lower()
        return suffix if suffix in RECORDS else ""


@dataclass(frozen=True)
class Block:
    first: int  # number of its first line, from 1
    data: bytes  # lines
    position: int  # bytes of the file read so far, before decompression


@dataclass
class Lines:
    """The text of a block, a line each; "" where `dropped` (line -> reason, what it held) says why.

    A reason that is empty marks what is no line of its own (the rest of a csv record): it does not count.
    """

    text: list[str]
    dropped: dict[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.text) - sum(not reason for reason, _ in self.dropped.values())


def expand(source: str) -> list[Path | None]:
    """The files behind a file, a directory or a glob, sorted; None stands for standard input.

    Raises DataError for a source that matches nothing.
    """
    if source == "-":
        return [None]
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    else:
        inside = map(Path, glob.glob(source, recursive=True))
    paths = sorted(p for p in inside if p.is_file())
    if not paths:
        raise DataError(f"nothing at {source!r} (looked from {Path.cwd()})")
    return paths


def blocks(file: File, tally: Tally, limit: int | None = None) -> Iterator[Block]:
    """The file, or its first `limit` lines, as blocks.

    What cannot be read (a broken archive, csv or parquet) is counted in `tally`; DataError when the file cannot be opened at all.
    """
    try:
        raw = sys.stdin.buffer if file.path is None else file.path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {file.name}: {error.strerror}") from error
    try:
        yield from _gather(islice(_lines(file, raw, tally), limit), raw)
    except _BROKEN_ARCHIVE as error:
        if file.path is not None and file.path.suffix not in _OPEN:
            raise DataError(f"cannot read {file.name}: {error}") from error
    finally:
        if file.path is not None:
            raw.close()


def _gather(lines: Iterator[bytes], raw: BinaryIO) -> Iterator[Block]:
    """Blocks of at least BLOCK_BYTES but for the last; what came before an error is given before the error is raised."""
    position = raw.tell if raw.seekable() else int  # int() is 0
    first, gathered, held = 1, [], 0
    failure = None
    while True:
        try:
            line = next(lines, None)
        except _BROKEN_ARCHIVE as error:
            line, failure = None, error
        if line is not None:
            gathered.append(line)
            held += len(line)
        if gathered and (line is None or held >= BLOCK_BYTES):
            data = b"".join(gathered)
            yield Block(first, data[:-1] if data.endswith(b"\n") else data, position())
            first, gathered, held = first + len(gathered), [], 0
        if failure is not None:
            raise failure
        if line is None:
            return


def _lines(file: File, raw: BinaryIO, tally: Tally) -> Iterator[bytes]:
    """Lines with their newline; counts a broken archive before raising it."""
    if file.format == ".parquet":
        yield from _parquet_lines(file, raw, tally)
        return
    suffix = file.path.suffix if file.path is not None else _stdin_suffix(raw)
    number = 0
    try:
        with _OPEN[suffix](raw) if suffix in _OPEN else _Borrowed(raw) as stream:
            lines = _csv_lines(file, stream, tally) if file.format == ".csv" else _bounded_lines(stream)
            for line in lines:
                number += 1
                yield line
    except _BROKEN_ARCHIVE as error:
        if suffix in _OPEN:
            tally.drop("archive broken off", f"{file.name}:{number + 1}", str(error))
        raise


class _Borrowed:
    """A stream that somebody else closes."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def __enter__(self) -> BinaryIO:
        return self._stream

    def __exit__(self, *_: object) -> None:
        pass


def _stdin_suffix(raw: BinaryIO) -> str:
    head = raw.peek(8)
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE_BYTES):
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield TOO_LONG + b"\n"


def _csv_lines(file: File, stream: BinaryIO, tally: Tally) -> Iterator[bytes]:
    """Every record as a JSON object; CONTINUED stands where a record goes over several lines, and for the header."""
    csv.field_size_limit(MAX_LINE_BYTES // 4)  # of characters: what a quote that is never closed can cost
    number = 0

    def text_lines() -> Iterator[str]:
        nonlocal number
        for line in _bounded_lines(stream):
            number += 1
            reason = _unreadable(line)
            try:
                text = "" if reason else line.decode("utf-8-sig" if number == 1 else file.encoding)
            except UnicodeDecodeError:
                reason, text = _not_encoded(file.encoding), ""
            if reason:
                tally.read += 1
                tally.drop(reason, f"{file.name}:{number}", repr(line[:40]))
            yield text or "\n"

    lines = text_lines()
    rows, header, written = csv.reader(lines, strict=True), None, 0
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            tally.read += 1
            tally.drop("broken csv record", f"{file.name}:{number}", str(error))
            rows, row = csv.reader(lines, strict=True), []
        if row is None:
            return
        if header is None and row:
            header, row = row, []
        for _ in range(number - written - 1):
            yield CONTINUED + b"\n"
        record = json.dumps(dict(zip(header or [], row)), ensure_ascii=False).encode()
        yield (record if row else CONTINUED) + b"\n"
        written = number


def _parquet_lines(file: File, raw: BinaryIO, tally: Tally) -> Iterator[bytes]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{file.name}: reading parquet needs pyarrow: pip install 'bmtool[text]'") from error
    number = 0
    try:
        table = parquet.ParquetFile(raw)
        wanted = set(file.columns or (*file.pair, "text"))
        names = [name for name in table.schema_arrow.names if name in wanted]
        for batch in table.iter_batches(batch_size=1 << 13, columns=names):
            for row in batch.to_pylist():
                number += 1
                yield json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        tally.drop("archive broken off", f"{file.name}:{number + 1}", str(error))


def decode(file: File, block: Block) -> Lines:
    """The lines of a block as text, or as columns joined by tabs."""
    encoding = "utf-8" if file.format in (".csv", ".parquet") else file.encoding
    lines = _decode(block.data, encoding, file.format == ".csv")
    if block.first == 1 and lines.text[0].startswith("\ufeff"):
        lines.text[0] = lines.text[0][1:]
    if file.format:
        _columns(file, lines, header=block.first == 1)
    else:
        lines.text = [line.replace("\t", " ") if "\t" in line else line for line in lines.text]
    return lines


def _decode(data: bytes, encoding: str, is_csv: bool) -> Lines:
    if b"\0" not in data:
        try:
            return Lines(data.decode(encoding).split("\n"))
        except UnicodeDecodeError:
            pass
    lines = Lines([])
    for number, line in enumerate(data.split(b"\n")):
        reason, text = _unreadable(line), ""
        if reason == "":
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                reason = _not_encoded(encoding)
        if line == CONTINUED and is_csv:
            lines.dropped[number] = ("", "")
        elif reason:
            lines.dropped[number] = (reason, "" if line == TOO_LONG else repr(line[:40]))
        lines.text.append(text)
    return lines


def _unreadable(line: bytes) -> str:
    if line.startswith(TOO_LONG):
        return "line longer than 1 MiB"
    return "NUL byte" if b"\0" in line else ""


def _not_encoded(encoding: str) -> str:
    return f"not {encoding.upper()}"


def _columns(file: File, lines: Lines, *, header: bool) -> None:
    """Replace each record by its columns with a tab between them, dropping what has them not."""
    if file.format == ".tsv":
        return _tab_columns(file, lines, header=header)
    for number, line in enumerate(lines.text):
        if not line.strip():
            continue
        try:
            cells, reason = _cells(file, json.loads(line)), "no column " + " or ".join(_wanted(file))
        except (ValueError, RecursionError):
            cells, reason = None, "not JSON"
        _put(lines, number, cells, reason)
    return None


def _tab_columns(file: File, lines: Lines, *, header: bool) -> None:
    """tsv: columns by position, in the order of `columns` or of the task's pair; a first line that names them is skipped."""
    expected = file.columns or file.pair or ("text",)
    for number, line in enumerate(lines.text):
        cells = [cell.strip() for cell in line.split("\t")] if line.strip() else []
        if header and number == 0 and tuple(cells) == expected:
            lines.text[0] = ""
            lines.dropped[0] = ("", "")
        elif cells:
            _put(
                lines,
                number,
                cells if len(cells) == len(expected) else None,
                f"not {len(expected)} columns ({', '.join(expected)})",
            )


def _put(lines: Lines, number: int, cells: list[str] | None, reason: str) -> None:
    if cells is None:
        lines.dropped[number] = (reason, lines.text[number])
        lines.text[number] = ""
    else:
        lines.text[number] = "\t".join(" ".join(cell.split()) for cell in cells)


def _wanted(file: File) -> list[str]:
    choices = [file.columns] if file.columns else [file.pair, ("text",)]
    return [", ".join(choice) for choice in choices if choice]


def _cells(file: File, record: Any) -> list[str] | None:
    if isinstance(record, dict):
        for columns in [file.columns] if file.columns else [file.pair, ("text",)]:
            cells = [record.get(column) for column in columns]
            if columns and all(isinstance(cell, str) for cell in cells):
                return cells
    return None


def read_lines(file: File, tally: Tally) -> Iterator[tuple[str, str]]:
    """(`file:line`, text) for every usable line; the others are dropped and counted in `tally`."""
    for block in blocks(file, tally):
        lines = decode(file, block)
        tally.read += lines.count
        for number, text in enumerate(lines.text):
            place = f"{file.name}:{block.first + number}"
            reason, held = lines.dropped.get(number, (None, ""))
            if reason == "":
                continue
            if reason:
                tally.drop(reason, place, held)
            elif not text.strip():
                tally.drop("empty line", place)
            else:
                yield place, text
