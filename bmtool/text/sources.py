"""Bytes of any origin to blocks of lines, in bounded memory: txt, tsv, csv, jsonl, json, parquet, arrow; plain, gz, xz, bz2, zst; stdin.

A block holds up to BLOCK_BYTES of whole lines and is the unit of work everywhere: `blocks` cuts a file, `decode.decode` turns a
block's bytes into text. Records of files but tsv and jsonl become lines of JSON here, since only the whole file tells where they end.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.sources import columnar, hub, parts
from bmtool.sources.rows import rows
from bmtool.text.archives import BROKEN, OPEN, suffix_of_stdin
from bmtool.text.records import DIALOGUES, NO_COLUMN, PLAIN, Dialogue, Layout

MAX_LINE_BYTES = 1 << 20  # a longer line is no sentence: it is skipped without being held in memory
BLOCK_BYTES = 4 << 20
_SHOWN = 10  # columns in an error
# Lines that stand in a block for a line that was skipped, and for one that is no record of its own.
TOO_LONG, CONTINUED = b"\0too long", b"\0continued"
RECORDS = (".tsv", ".csv", ".jsonl", ".json", ".parquet", ".arrow")
# Formats that are read by `sources.rows`, which needs the file itself; what comes of them is UTF-8.
WHOLE = (".json", ".parquet", ".arrow")


@dataclass(frozen=True)
class File:
    """One file (None: standard input) and how to read it."""

    path: Path | None
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    pair: tuple[str, ...] = ()  # the columns that a task takes before "text" where no columns are named
    targets: tuple[str, ...] = ()  # of the columns, or the pair: kept as they are
    measured: str = ""  # of the columns: the one that filters measure; empty: the last that is no target
    dialogue: bool = False  # its records are dialogues, in one of two layouts or in the columns that are named

    @property
    def name(self) -> str:
        return "<stdin>" if self.path is None else str(self.path)

    @property
    def format(self) -> str:
        """The suffix under the compression when it is one of RECORDS; else empty, for text."""
        if self.path is None:
            return ""
        suffix = (Path(self.path.stem) if self.path.suffix in OPEN else self.path).suffix.lower()
        return suffix if suffix in RECORDS and (suffix not in WHOLE or suffix == self.path.suffix.lower()) else ""

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """What a record may be, the first one that fits."""
        if self.dialogue:
            return (Dialogue(self.columns),) if self.columns else DIALOGUES
        if self.columns:
            return (Layout(self.columns, self.targets, self.measured),)
        return (Layout(self.pair, self.targets), PLAIN) if self.pair else (PLAIN,)

    @property
    def layout(self) -> Layout:
        return self.layouts[0]


@dataclass(frozen=True)
class Block:
    first: int  # number of its first line, from 1
    data: bytes  # lines
    position: int  # bytes of the file read so far, before decompression
    header: bytes = b""  # the first line of a tsv file


def expand(source: str, hidden: list[Path] | None = None) -> list[Path | None]:
    """The files behind a file, a directory or a pattern, sorted; None stands for standard input.

    Hidden ones of a directory are added to `hidden`. Raises DataError for a source that matches nothing.
    """
    if source == "-":
        return [None]
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        every = sorted(p for p in path.rglob("*") if p.is_file())
        paths = [p for p in every if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if hidden is not None:
            hidden += sorted(set(every) - set(paths))
    else:
        paths = parts.paths(source) if parts.is_pattern(source) else []
    if not paths:
        raise DataError(f"nothing at {source!r} (looked from {Path.cwd()}){hub.hint(source)}")
    return paths


def is_small(size: int) -> bool:
    """Whether so many bytes are no work for several processes."""
    return size < 2 * BLOCK_BYTES


def blocks(file: File, tally: Tally, limit: int | None = None) -> Iterator[Block]:
    """The file, or its first `limit` lines, as blocks.

    What cannot be read (a broken archive, csv or parquet) is counted in `tally`; DataError when the file cannot be opened at all.
    """
    try:
        raw = sys.stdin.buffer if file.path is None else file.path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {file.name}: {error.strerror}") from error
    try:
        lines, header = islice(_lines(file, raw, tally), limit), b""
        if file.format == ".tsv" and (head := next(lines, b"")):
            lines, header = chain([head], lines), head.strip(b"\r\n")
        yield from _gather(lines, raw, header)
    except BROKEN as error:
        if file.path is not None and file.path.suffix not in OPEN:
            raise DataError(f"cannot read {file.name}: {error}") from error
    finally:
        if file.path is not None:
            raw.close()


def _gather(lines: Iterator[bytes], raw: BinaryIO, header: bytes) -> Iterator[Block]:
    """Blocks of at least BLOCK_BYTES but for the last; what came before an error is given before the error is raised."""
    position = raw.tell if raw.seekable() else int  # int() is 0
    first, gathered, held = 1, [], 0
    failure = None
    while True:
        try:
            line = next(lines, None)
        except BROKEN as error:
            line, failure = None, error
        if line is not None:
            gathered.append(line)
            held += len(line)
        if gathered and (line is None or held >= BLOCK_BYTES):
            data = b"".join(gathered)
            yield Block(first, data[:-1] if data.endswith(b"\n") else data, position(), header)
            first, gathered, held = first + len(gathered), [], 0
        if failure is not None:
            raise failure
        if line is None:
            return


def _lines(file: File, raw: BinaryIO, tally: Tally) -> Iterator[bytes]:
    """Lines with their newline; counts a broken archive before raising it."""
    if file.format in WHOLE:
        yield from _record_lines(file, tally)
        return
    suffix = file.path.suffix if file.path is not None else suffix_of_stdin(raw)
    number = 0
    try:
        with OPEN[suffix](raw) if suffix in OPEN else nullcontext(raw) as stream:
            lines = _csv_lines(file, stream, tally) if file.format == ".csv" else _bounded_lines(stream)
            for line in lines:
                number += 1
                yield line
    except BROKEN as error:
        if suffix in OPEN:
            tally.drop("archive broken off", f"{file.name}:{number + 1}", str(error))
        raise


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
            reason = unreadable(line)
            try:
                text = "" if reason else line.decode(file.encoding).removeprefix("\ufeff" if number == 1 else "")
            except UnicodeDecodeError:
                reason, text = not_encoded(file.encoding), ""
            if reason:
                tally.read += 1
                tally.drop(reason, f"{file.name}:{number}", repr(line[:40]))
            yield text or "\n"

    lines = text_lines()
    rows, header, written, lacking = csv.reader(lines, strict=True), None, 0, ""
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            tally.read += 1
            tally.drop("broken csv record", f"{file.name}:{number}", str(error))
            rows, row = csv.reader(lines, strict=True), []
        if row is None:
            return
        if row and lacking:
            tally.read += 1
            tally.drop(lacking, f"{file.name}:{number}", ",".join(row))
            row = []
        if header and _is_wider(row, header, f"{file.name}:{number}", tally):
            row = []
        if header is None and row:
            header, row = row, []
            lacking = _lacking(file, header, header)
        for _ in range(number - written - 1):
            yield CONTINUED + b"\n"
        record = json.dumps(dict(zip(header or [], row)), ensure_ascii=False).encode()
        yield (record if row else CONTINUED) + b"\n"
        written = number


def _is_wider(row: list[str], header: list[str], place: str, tally: Tally) -> bool:
    """Whether a record has text beyond its last column; it is counted then."""
    found = any(row[len(header) :])
    if found:
        tally.read += 1
        tally.drop(more_cells(len(row), header), place, ",".join(row))
    return found


def _record_lines(file: File, tally: Tally) -> Iterator[bytes]:
    """Every record as a JSON object; CONTINUED stands for one that is broken, which is counted."""
    wanted = _wanted(file)
    number = 0
    try:
        for row in rows(file.path, wanted):
            number += 1
            if row.values is None:
                tally.read += 1
                tally.drop(row.problem, row.place)
            held = {name: value for name, value in (row.values or {}).items() if name in wanted}
            yield CONTINUED + b"\n" if row.values is None else _json_line(held)
    except DataError as error:
        tally.drop("archive broken off", f"{file.name}:{number + 1}", str(error))


def _json_line(held: dict) -> bytes:
    """What half of a surrogate pair is written as stays an escape, which is found where the line is read."""
    text = json.dumps(held, ensure_ascii=False, default=str)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(held, default=str).encode() + b"\n"


def _wanted(file: File) -> set[str]:
    """The columns of its layouts. DataError for a file by columns that has none of the layouts whole: it names those that it has."""
    wanted = {column for layout in file.layouts for column in layout.columns}
    if file.format not in columnar.SUFFIXES:
        return wanted
    try:
        held = columnar.columns(file.path)
    except DataError:  # counted where it is read
        return wanted
    texts = [column.name for column in held if column.kind == "text"]
    if lacking := _lacking(file, [column.name for column in held], texts):
        raise DataError(f"{file.name}: {lacking}")
    return wanted


def _lacking(file: File, names: Sequence[str], texts: Sequence[str]) -> str:
    """What to say of a file without the columns of any layout, "" of others; `texts` are those that may hold what is missing."""
    if any(set(layout.columns) <= set(names) for layout in file.layouts):
        return ""
    missing = next(name for name in file.layouts[-1].columns if name not in names)
    likely = (
        f": data.columns: {{{missing}: {texts[0]}}}?"
        if len(texts) == 1
        else f": name it, data.columns: {{{missing}: ...}}"
    )
    return f"{NO_COLUMN} {missing}{suggest(missing, names)} (columns are {few(names, _SHOWN)}){likely}"


def unreadable(line: bytes) -> str:
    """Why a line cannot be text in any encoding; empty when it may be."""
    if line.startswith(TOO_LONG):
        return "line longer than 1 MiB"
    return "NUL byte" if b"\0" in line else ""


def more_cells(count: int, header: list[str]) -> str:
    """Of a csv record with text beyond its last column, such as one with a comma that should have been quoted."""
    return f"{count} cells for {len(header)} columns ({', '.join(header)})"


def not_encoded(encoding: str) -> str:
    return f"not {encoding.upper()}"
