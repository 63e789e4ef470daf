"""Files of columns, as CoNLL has them: a token a line, its tag in the last column, an empty line behind each sentence."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bmtool.errors import DataError
from bmtool.measure.spans import Span
from bmtool.tasks.token_classification import tags
from bmtool.tasks.token_classification.targets import How, joined

SUFFIXES = (".conll", ".bio", ".iob", ".bioes", ".bmes", ".txt")
_DOCUMENT = "-DOCSTART-"  # begins a line that stands for the beginning of a document


class Sentence(NamedTuple):
    """`text` is None where the sentence is broken, and `problem` says why."""

    # file:line of its first token, or of the one that is wrong
    place: str
    text: str | None
    spans: list[Span]
    problem: str = ""


class _Raw(NamedTuple):
    line: int
    tokens: list[str]
    tags: list[tuple[str, str]]
    problem: str


def sentences(path: Path) -> tuple[str, Iterator[Sentence]]:
    """(what was recognised, every sentence) of a file. DataError when it cannot be read or has no columns."""
    held = list(_raw(path))
    whole = [one for one in held if not one.problem]
    if not whole:
        why = held[0].problem if held else "it is empty"
        raise DataError(
            f"{path} holds no tokens with tags in columns ({why}): write a token and its tag a line, an empty line behind a sentence"
        )
    how = How.of([(one.tokens, one.tags) for one in whole])
    return f"{path.name}: {how.told}", (_read(path, one, how) for one in held)


def _read(path: Path, raw: _Raw, how: How) -> Sentence:
    if raw.problem:
        return Sentence(f"{path}:{raw.line}", None, [], raw.problem)
    try:
        return Sentence(f"{path}:{raw.line}", *joined(raw.tokens, tags.read(raw.tags, how.scheme), spaced=how.spaced))
    except tags.BrokenError as error:
        return Sentence(f"{path}:{raw.line + error.at}", None, [], str(error))


def _raw(path: Path) -> Iterator[_Raw]:
    """Sentences as they stand there, those that mark a document left out."""
    block: list[tuple[int, str]] = []
    for number, line in [*_lines(path), (0, "")]:
        if line.strip() and not line.startswith(_DOCUMENT):
            block.append((number, line))
        elif block:
            yield _split(block)
            block = []


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline=None) as stream:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(stream, start=1))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _split(block: Sequence[tuple[int, str]]) -> _Raw:
    tokens, found, width = [], [], 0
    for number, line in block:
        cells = line.split("\t") if "\t" in line else line.split()
        try:
            if len(cells) < 2 or not cells[0]:
                raise ValueError("a token without a tag")
            found.append(tags.split(cells[-1].strip()))
            tokens.append(cells[0])
            width = len(cells)
        except ValueError as error:
            return _Raw(number, [], [], str(error))
    if len(tokens) > 1 and width > 2 and tokens == [str(number) for number in range(1, len(tokens) + 1)]:
        return _Raw(block[0][0], [], [], "a first column that numbers the tokens: leave it out")
    return _Raw(block[0][0], tokens, found, "")
