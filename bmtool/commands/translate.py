"""`translate`: typed pinyin to text, from arguments, a file or standard input, a line in and a line out."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from bmtool.commands.loading import load_model
from bmtool.errors import DataError

BATCH_LINES = 64
MAX_LINE = 1 << 20
WORDS_SHOWN, WORD_SHOWN = 5, 40


def translate(
    texts: list[str], *, model: str, input_file: str | None = None, n_best: int = 1, as_json: bool = False
) -> None:
    """Print a translation for every line; standard input is answered line by line, a file in batches.

    Words in small letters that are no pinyin are kept as they are, with a note on stderr naming them and their line.
    """
    from bmtool.tasks.pinyin2hanzi.predict import translate as translate_lines

    predictor = load_model(model, _warn, task="pinyin2hanzi").predictor
    for first, name, lines in _chunks(texts, input_file):
        results = translate_lines(predictor, lines, n_best)
        for number, (line, result) in enumerate(zip(lines, results), start=first):
            print(_as_json(line, result) if as_json else _as_text(result), flush=True)
            if result.unread:
                _warn(f"{name}:{number}: no pinyin, kept as it is: {_listing(result.unread)}")


def _warn(message: str) -> None:
    print(f"bmtool: {message}", file=sys.stderr)


def _listing(words: list[str]) -> str:
    """The first few words, each shortened to what fits a line."""
    shown = [word if len(word) <= WORD_SHOWN else f"{word[:WORD_SHOWN]}..." for word in words[:WORDS_SHOWN]]
    return ", ".join(shown) + (f" and {len(words) - WORDS_SHOWN} more" if len(words) > WORDS_SHOWN else "")


def _as_text(result) -> str:
    return "\t".join(text for text, _ in result.n_best)


def _as_json(line: str, result) -> str:
    n_best = [{"text": text, "probability": round(probability, 6)} for text, probability in result.n_best]
    return json.dumps(
        {"input": line, "text": result.text, "n_best": n_best, "unread": result.unread}, ensure_ascii=False
    )


def _chunks(texts: list[str], input_file: str | None) -> Iterator[tuple[int, str, list[str]]]:
    """(number of the first line, name of the source, lines)."""
    if texts:
        yield from _batched(texts, "argument", BATCH_LINES)
    elif input_file is None or input_file == "-":
        yield from _batched(_lines(sys.stdin.buffer, "<stdin>"), "<stdin>", 1)
    else:
        try:
            with Path(input_file).open("rb") as stream:
                yield from _batched(_lines(stream, input_file), input_file, BATCH_LINES)
        except OSError as error:
            raise DataError(f"cannot read {input_file}: {error.strerror}") from error


def _lines(stream: TextIO, name: str) -> Iterator[str]:
    """Decoded lines. Bytes that are not UTF-8 become U+FFFD and a line is cut after MAX_LINE bytes, each with a note, so that a line
    in stays a line out."""
    number = 0
    while raw := stream.readline(MAX_LINE):
        number += 1
        if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
            _warn(f"{name}:{number}: line longer than 1 MiB, cut there")
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            _warn(f"{name}:{number}: not UTF-8 at byte {error.start + 1}")
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
