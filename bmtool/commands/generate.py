"""`generate`: text that goes on from where prompts stop, streamed to a terminal, or one of several choices."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bmtool.base.console import Console, answer, piece
from bmtool.commands import refusals
from bmtool.commands.lines import chunks
from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.commands.predict import record
from bmtool.config.options import Options
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.predict.values import Value

SHOWN = 40  # letters of a prompt in a message


def load(model: str | Path, console: Console) -> Loaded:
    """A model that goes on from where a text stops. ConfigError for another."""
    loaded = load_model(model, console.warn)
    if not hasattr(loaded.predictor, "stream"):
        raise ConfigError(f"{model} is a model of {loaded.task} that writes nothing on: ask it with `bmtool predict`")
    return loaded


def generate(  # noqa: PLR0913
    model: str | Path, prompts: Sequence[str], *, input_file: str | None = None, as_json: bool = False,
    choices: str | None = None, options: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print each prompt with what follows, as it comes where there is one prompt only; with JSON a record each.

    With `choices`, texts with commas between them, how likely each is to follow. DataError at the end when prompts could not be read.
    """
    console = Console()
    if input_file not in (None, "-"):
        refusals.require_exists(str(input_file), "--input")
    if prompts and input_file is not None:
        raise ConfigError("--input reads prompts from a file: leave PROMPT out")
    texts = _choices(choices, options or {}) if choices is not None else []
    loaded = load(model, console)
    asked = options_of(loaded, options or {})
    if len(prompts) == 1 and not as_json and not texts:
        _stream(loaded, prompts[0], asked)
        return
    failed = 0
    for first, name, lines in chunks(list(prompts), input_file):
        read = [_read(loaded, line, f"{name}:{number}", console) for number, line in enumerate(lines, first)]
        good = [item for item in read if item is not None]
        failed += len(lines) - len(good)
        for item, value in zip(good, _values(loaded, good, asked, texts)):
            _show(loaded, item.text, value, as_json=as_json, is_choice=bool(texts))
    if failed:
        raise DataError(f"{failed:,} of the prompts could not be read")


def _choices(given: str, options: dict[str, Any]) -> list[str]:
    texts = given.split(",")
    if len(texts) < 2 or "" in texts or len(set(texts)) < len(texts):
        raise ConfigError(f"--choices: two different texts at least with commas between them, got {given!r}")
    if options:
        raise ConfigError(f"--choices are scored, not drawn: leave --{next(iter(options)).replace('_', '-')} out")
    return texts


def _stream(loaded: Loaded, prompt: str, options: Options) -> None:
    try:
        read = loaded.predictor.read(prompt)
    except BadInput as error:
        raise DataError(f"{prompt[:SHOWN]!r}: {error}") from error
    pieces: Iterator[str] = loaded.predictor.stream(read, options)
    # Nothing is shown before the model has said something: options that it refuses are refused first.
    for text in (prompt, *islice(pieces, 1)):
        piece(text)
    for text in pieces:
        piece(text)
    answer("")


def _read(loaded: Loaded, line: str, place: str, console: Console) -> Any:
    """None for what cannot be read, which is said."""
    try:
        return loaded.predictor.read(line)
    except BadInput as error:
        console.warn(f"{place}: {error}")
        return None


def _values(loaded: Loaded, read: Sequence[Any], options: Options, choices: Sequence[str]) -> list[Any]:
    if choices:
        return loaded.predictor.choose(read, choices)
    return loaded.predictor.predict(read, options)


def _show(loaded: Loaded, prompt: str, value: Any, *, as_json: bool, is_choice: bool) -> None:
    if as_json:
        shown: Value = value
        answer(json.dumps(record(loaded, prompt, shown), ensure_ascii=False))
    else:
        answer(f"{prompt}\t{value.line()}" if is_choice else prompt + value.text)
