"""Pass 1: every file is read, decoded, cleaned and cut, a block at a time."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict

from bmtool.base.files import read_json, write_json
from bmtool.config.text import Clean
from bmtool.data.jobs import AGAIN, Job, facts, is_done
from bmtool.errors import DataError
from bmtool.text.cleaning import clean_block
from bmtool.text.decode import decode
from bmtool.text.inventory import Source
from bmtool.text.keys import sentence_keys, write_keys
from bmtool.text.passes.run import Piece, Run, listed
from bmtool.text.progress import Steps
from bmtool.text.sources import Block, File, blocks
from bmtool.text.store import store


class Index(TypedDict):
    """Of a file that was read to its end: (first line, name) of its blocks, and what its tally counted while it was cut."""

    blocks: list[tuple[int, str]]
    read: int
    dropped: dict[str, int]
    examples: dict[str, list[tuple[str, str]]]


def clean_pass(run: Run, sources: list[Source]) -> list[Piece]:
    """The cleaned blocks of all files in their order; a file that is known is not even read."""
    reading = _Reading(run, sources)
    with reading.steps:
        for job in run.engine.run(reading.jobs()):
            reading.steps.say(facts(job.directory)["characters"])
    reading.remember()
    for source in sources:
        if not source.bytes and source.sha256 is not None:
            source.tally.drop("empty file", source.name)
    for piece in reading.pieces:
        _add(piece, facts(piece.directory))
    return reading.pieces


class _Reading:
    """The files on their way to blocks."""

    def __init__(self, run: Run, sources: list[Source]):
        self.run, self.sources = run, sources
        self.settings, self.by_line = run.data.clean, run.data.split_by == "line"
        self.key = [self.settings.model_dump(), self.by_line]
        self.steps = Steps(run.console, "reading and cleaning", sum(source.bytes for source in sources))
        self.pieces: list[Piece] = []
        self._fresh: list[tuple[Source, list[Piece]]] = []

    def jobs(self) -> Iterator[Job]:
        before = 0
        for source in self.sources:
            known = self._known(source)
            if known is not None:
                self.pieces.extend(known)
            else:
                yield from self._blocks(source, before)
            before += source.bytes

    def _blocks(self, source: Source, before: int) -> Iterator[Job]:
        mine: list[Piece] = []
        self._fresh.append((source, mine))
        for block in blocks(source.file, source.tally, self.run.limit):
            at = self.run.place("clean", self.key, source.how, block.first == 1, block.header, block.data)
            mine.append(Piece(source, block.first, at))
            self.pieces.append(mine[-1])
            self.steps.reached = before + block.position
            yield Job(at, clean_job, (source.file, block, self.settings, self.by_line))

    def _index(self, source: Source) -> Path:
        return self.run.place("files", self.key, source.how, source.sha256).with_suffix(".json")

    def _known(self, source: Source) -> list[Piece] | None:
        """The cleaned blocks of a file that was read before with these settings, when all are still there."""
        index = self._index(source)
        if source.sha256 is None or self.run.limit is not None or not index.is_file():
            return None
        try:
            known = read_json(index, Index, AGAIN)
        except DataError:  # the file is read again
            return None
        pieces = [Piece(source, first, self.run.cache / "clean" / name) for first, name in known["blocks"]]
        if not all(is_done(piece.directory) for piece in pieces):
            return None
        for reason, count in known["dropped"].items():
            source.tally.dropped[reason] += count
            for place, text in known["examples"].get(reason, []):
                source.tally.show(reason, f"{source.name}:{place}", text)
        source.tally.read += known["read"]
        self.run.used |= {index, *(piece.directory for piece in pieces)}
        return pieces

    def remember(self) -> None:
        """Keep for each file that was read to its end which blocks it has and what was wrong with it."""
        for source, pieces in self._fresh:
            if source.sha256 is None or self.run.limit is not None:
                continue
            index, name = self._index(source), f"{source.name}:"
            examples = {
                reason: [shown.removeprefix(name).partition(": ")[::2] for shown in shown_of]
                for reason, shown_of in source.tally.examples.items()
            }
            blocks_of = [(piece.first, piece.key) for piece in pieces]
            facts_of = {"blocks": blocks_of, "read": source.tally.read, "dropped": dict(source.tally.dropped)}
            self.run.used.add(index)
            write_json(index, facts_of | {"examples": examples})


def _add(piece: Piece, found: dict) -> None:
    source = piece.source
    source.tally.read += found["lines"]
    source.characters += found["characters"]
    source.seconds += found["seconds"]
    piece.note(found["changed"], source.changed)
    piece.note(found["dropped"], source.tally.dropped)


def clean_job(directory: Path, file: File, block: Block, settings: Clean, by_line: bool) -> dict:
    """Decode and clean one block; keep its sentences, where they come from, and their keys."""
    started = time.process_time()
    lines = decode(file, block)
    cleaned = clean_block(lines, settings, file.layout.column)
    store(directory, cleaned.sentences)
    np.save(directory / "line.npy", cleaned.line)
    keys = sentence_keys(cleaned.sentences)
    write_keys(directory, keys, np.arange(len(keys)))
    if by_line:
        np.save(directory / "groups.npy", sentence_keys(cleaned.lines)[cleaned.line])
    return {
        "lines": lines.count, "keys": len(keys), "characters": sum(map(len, lines.text)), "changed": listed(cleaned.changed),
        "dropped": listed(cleaned.dropped), "seconds": time.process_time() - started,
    }  # fmt: skip
