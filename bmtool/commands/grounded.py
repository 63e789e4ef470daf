"""`generate --documents`: answers that a language model writes from the passages that are found, each with its source."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bmtool.base.console import Console, answer, piece
from bmtool.commands import documents, refusals
from bmtool.commands import generate as generating
from bmtool.commands.generate import SHOWN, Way
from bmtool.commands.lines import chunks
from bmtool.commands.loading import Loaded, options_of
from bmtool.commands.predict import record
from bmtool.config.options import Options
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.text.retrieval.index import Index
from bmtool.text.retrieval.prompts import Grounded, grounded
from bmtool.text.retrieval.reading import PASSAGES


def generate(  # noqa: PLR0913
    model: str | Path, questions: Sequence[str], of: documents.Of, *, input_file: str | None = None, as_json: bool = False,
    way: Way = Way(), options: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print the answer to each question, as it comes, and the sources of the passages that the model was given; with JSON a record each,
    with the prompt as it was.

    DataError at the end when questions could not be answered: no passage has anything to do with them, or none has room.
    """
    console = Console()
    documents.require_fit(of)
    if input_file not in (None, "-"):
        refusals.require_exists(str(input_file), "--input")
    if questions and input_file is not None:
        raise ConfigError("--input reads questions from a file: leave PROMPT out")
    loaded = generating.load(model, console)
    asked = options_of(loaded, options or {})
    make = _maker(loaded, documents.opened(loaded.predictor, of), of, way)
    failed = 0
    for first, name, lines in chunks(list(questions), input_file):
        for number, line in enumerate(lines, first):
            try:
                _answer(loaded, line, make(line), asked, as_json=as_json)
            except BadInput as error:
                console.warn(f"{name}:{number}: {line[:SHOWN]!r}: {error}")
                failed += 1
    if failed:
        raise DataError(f"{failed:,} of the questions could not be answered")


def _maker(loaded: Loaded, index: Index, of: documents.Of, way: Way) -> Callable[[str], Grounded]:
    """What makes a prompt of a question. An answer has as much room as a quarter of what the model reads."""
    reads, chats = generating.reader(loaded, way), generating.is_chat(loaded, way)
    context, count, how = loaded.predictor.context, of.passages or PASSAGES, documents.how(of)
    room = context - context // 4

    def make(question: str) -> Grounded:
        if not question.strip():
            raise BadInput("no question")
        return grounded(question, index.search(question, count, how), chats=chats, read=reads, room=room)

    return make


def _answer(loaded: Loaded, question: str, given: Grounded, options: Options, *, as_json: bool) -> None:
    sources = [{"source": passage.source(), "passage": passage.text} for passage in given.passages]
    if as_json:
        (value,) = loaded.predictor.predict([given.read], options)
        shown = record(loaded, question, value) | {"prompt": given.text, "sources": sources}
        answer(json.dumps(shown, ensure_ascii=False))
        return
    pieces: Iterator[str] = loaded.predictor.stream(given.read, options)
    for text in pieces:
        piece(text)
    answer("")
    for number, passage in enumerate(given.passages, 1):
        answer(f"[{number}] {passage.source()}")
