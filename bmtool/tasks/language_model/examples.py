"""Text to measure on: of a prepared split, or lines of a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bmtool.data.packing import Windows
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example
from bmtool.predict.inputs import lines
from bmtool.tasks.language_model import prepare
from bmtool.tasks.language_model.config import Data
from bmtool.text.chat.turns import ANSWERS
from bmtool.text.decode import read_dialogues
from bmtool.text.passages import Passage, cut
from bmtool.text.sources import File


def split(data: Data, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The documents of a split, those that are too long for the first model in parts."""
    stream, domains = prepare.open_stream(data, prepared, name), [*prepare.domains(data, prepared, name)]
    tokenizer = stream.tokenizer
    windows = Windows(stream.bounds, cut(reads[0].objective, reads[0].context) if reads else cut("masked", 1 << 40))
    for number, (start, length) in enumerate(zip(windows.starts.tolist(), windows.lengths.tolist())):
        tokens = stream.span(start, start + length)
        answers = stream.turns(start, start + length) & ANSWERS > 0 if data.document == "dialogue" else None
        passage = Passage(tokenizer.decode(tokens), tokens, tokenizer.sha256, answers)
        yield Example(f"{name}:{number}", passage, domains[windows.document[number]])


def key(example: Example) -> str:
    """What tells a passage in splits of any preparation: its text."""
    return example.raw.text


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The lines of a text file, each a document; empty ones are passed over, and counted. Of a model of dialogues the records of a file."""
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "is no file"
        raise DataError(f"--data: {path} {what}")
    if unit is not None:
        raise ConfigError("--unit: language models are measured on lines alone")
    if reads[0].chats:
        yield from _dialogues(path, tally)
        return
    for place, line in lines(str(path)):
        tally.read += 1
        if line.strip():
            tally.kept += 1
            yield Example(place, Passage(line), path.stem)
        else:
            tally.drop("empty line", place)


def _dialogues(path: Path, tally: Tally) -> Iterator[Example]:
    source = File(path, dialogue=True)
    if not source.format:
        raise DataError(
            f"--data: {path} holds lines of text, and the model was trained on dialogues: name records (.jsonl, .csv, ...)"
        )
    for place, text, turns in read_dialogues(source, tally):
        tally.kept += 1
        yield Example(place, Passage(text, turns=tuple(turns)), path.stem)
