"""A block's bytes to lines of text, or to records; what is neither is dropped with a reason."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bmtool.data.tally import Tally
from bmtool.text.chat.turns import Turn
from bmtool.text.records import Record, from_cells, from_json, header_of, turns_of
from bmtool.text.sources import CONTINUED, TOO_LONG, WHOLE, Block, File, blocks, not_encoded, unreadable


@dataclass
class Lines:
    """The text of a block, a line each; "" where `dropped` (line -> reason, what it held) says why.

    A reason that is empty marks what is no line of its own (the rest of a csv record): it does not count.
    """

    text: list[str]
    dropped: dict[int, tuple[str, str]] = field(default_factory=dict)
    targets: dict[int, str] = field(default_factory=dict)  # line -> its targets, with a tab between them

    @property
    def count(self) -> int:
        return len(self.text) - sum(not reason for reason, _ in self.dropped.values())


def decode(file: File, block: Block) -> Lines:
    """The lines of a block as text, or as columns joined by tabs."""
    # Lines that stand for records.
    made = file.format in (".csv", *WHOLE)
    lines = _decode(block.data, "utf-8" if made else file.encoding, made)
    if block.first == 1 and lines.text[0].startswith("\ufeff"):
        lines.text[0] = lines.text[0][1:]
    if file.format == ".tsv":
        _tab_records(file, block, lines)
    elif file.format:
        for number, line in enumerate(lines.text):
            if line.strip():
                _put(lines, number, from_json(line, file.layouts))
            else:  # tabs would be taken for columns
                lines.text[number] = ""
    else:
        lines.text = [line.replace("\t", " ") if "\t" in line else line for line in lines.text]
    return lines


def _decode(data: bytes, encoding: str, made: bool) -> Lines:
    if b"\0" not in data:
        try:
            return Lines(data.decode(encoding).split("\n"))
        except UnicodeDecodeError:
            pass
    lines = Lines([])
    for number, line in enumerate(data.split(b"\n")):
        reason, text = unreadable(line), ""
        if reason == "":
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                reason = not_encoded(encoding)
        if line == CONTINUED and made:
            lines.dropped[number] = ("", "")
        elif reason:
            lines.dropped[number] = (reason, "" if line == TOO_LONG else repr(line[:40]))
        lines.text.append(text)
    return lines


def _tab_records(file: File, block: Block, lines: Lines) -> None:
    """tsv: columns by the first line when it names them all, else by position."""
    header = header_of(block.header.decode(file.encoding, "replace"), file.layout)
    if header and block.first == 1:
        lines.text[0], lines.dropped[0] = "", ("", "")
    for number, line in enumerate(lines.text):
        if not line.strip():
            lines.text[number] = ""
        else:
            _put(lines, number, from_cells(line, header or list(file.layout.columns), file.layout))


def _put(lines: Lines, number: int, record: Record | str) -> None:
    if isinstance(record, str):
        lines.dropped[number] = (record, lines.text[number])
        lines.text[number] = ""
        return
    lines.text[number] = "\t".join(" ".join(text.split()) for text in record.texts)
    if record.targets:
        lines.targets[number] = "\t".join(record.targets)


def read_lines(file: File, tally: Tally) -> Iterator[tuple[str, str]]:
    """(`file:line`, text) for every usable line, without targets; the others are dropped and counted in `tally`."""
    return ((place, text) for place, text, _ in _read(file, tally))


def read_dialogues(file: File, tally: Tally) -> Iterator[tuple[str, str, list[Turn]]]:
    """(`file:line`, all that is said, turns) for every dialogue; what is none is dropped and counted in `tally`."""
    return ((place, text, turns_of(targets)) for place, text, targets in _read(file, tally))


def _read(file: File, tally: Tally) -> Iterator[tuple[str, str, str]]:
    """(`file:line`, text, targets)."""
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
                yield place, text, lines.targets.get(number, "")
