"""`generate`: text that goes on from where prompts stop, or answers in a dialogue, streamed to a terminal; or one of several choices."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.console import Console, answer, piece
from bmtool.commands import refusals
from bmtool.commands.lines import chunks, standard_input
from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.commands.predict import record
from bmtool.config.options import Options
from bmtool.errors import BadInput, ConfigError, DataError

SHOWN = 40  # letters of a prompt in a message


class Way(NamedTuple):
    """How prompts are taken. `chat`: as what a user says, True, as text to go on from, False, or as the model was trained; `system` is
    what the assistant is told before."""

    chat: bool | None = None
    system: str | None = None


def load(model: str | Path, console: Console) -> Loaded:
    """A model that goes on from where a text stops. ConfigError for another."""
    loaded = load_model(model, console.warn)
    if not hasattr(loaded.predictor, "stream"):
        raise ConfigError(f"{model} is a model of {loaded.task} that writes nothing on: ask it with `bmtool predict`")
    return loaded


def generate(  # noqa: PLR0913
    model: str | Path, prompts: Sequence[str], *, input_file: str | None = None, as_json: bool = False,
    choices: str | None = None, way: Way = Way(), options: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print each prompt with what follows, or the answer alone in a dialogue, as it comes where there is one prompt only; with JSON a
    record each.

    With `choices`, texts with commas between them, how likely each is to follow. DataError at the end when prompts could not be read.
    """
    console = Console()
    if input_file not in (None, "-"):
        refusals.require_exists(str(input_file), "--input")
    if prompts and input_file is not None:
        raise ConfigError("--input reads prompts from a file: leave PROMPT out")
    texts = _choices(choices, options or {}) if choices is not None else []
    loaded = load(model, console)
    asked, reads, chats = options_of(loaded, options or {}), reader(loaded, way), is_chat(loaded, way)
    if len(prompts) == 1 and not as_json and not texts:
        _stream(loaded, prompts[0], reads, asked, repeats=not chats)
        return
    failed = 0
    for first, name, lines in chunks(list(prompts), input_file):
        read = [_read(reads, line, f"{name}:{number}", console) for number, line in enumerate(lines, first)]
        good = [(line, item) for line, item in zip(lines, read) if item is not None]
        failed += len(lines) - len(good)
        for (line, _), value in zip(good, _values(loaded, [item for _, item in good], asked, texts)):
            if as_json:
                answer(json.dumps(record(loaded, line, value), ensure_ascii=False))
            else:
                answer(_line(line, value, is_choice=bool(texts), chats=chats))
    if failed:
        raise DataError(f"{failed:,} of the prompts could not be read")


def is_chat(loaded: Loaded, way: Way) -> bool:
    return loaded.predictor.chats if way.chat is None else way.chat


def reader(loaded: Loaded, way: Way) -> Callable[[str], Any]:
    """What makes a prompt of a line. ConfigError for a model without a chat template, and for a system that nobody listens to."""
    predictor, told = loaded.predictor, [{"role": "system", "content": way.system}] if way.system is not None else []
    if not is_chat(loaded, way):
        if told:
            raise ConfigError("--system is for dialogues: add --chat, for a model that has a chat template")
        return predictor.read_text
    if way.system is not None and not way.system.strip():
        raise ConfigError("--system: an empty text tells nothing")
    _ = predictor.chat  # it is refused here, before anything is read
    return lambda line: predictor.read([*told, {"role": "user", "content": line}])


def _choices(given: str, options: dict[str, Any]) -> list[str]:
    texts = given.split(",")
    if len(texts) < 2 or "" in texts or len(set(texts)) < len(texts):
        raise ConfigError(f"--choices: two different texts at least with commas between them, got {given!r}")
    if options:
        raise ConfigError(f"--choices are scored, not drawn: leave --{next(iter(options)).replace('_', '-')} out")
    return texts


def _stream(loaded: Loaded, prompt: str, reads: Callable[[str], Any], options: Options, *, repeats: bool) -> None:
    try:
        read = reads(prompt)
    except BadInput as error:
        raise DataError(f"{prompt[:SHOWN]!r}: {error}") from error
    pieces: Iterator[str] = loaded.predictor.stream(read, options)
    # Nothing is shown before the model has said something: options that it refuses are refused first.
    for text in (prompt if repeats else "", *islice(pieces, 1)):
        piece(text)
    for text in pieces:
        piece(text)
    answer("")


def _read(reads: Callable[[str], Any], line: str, place: str, console: Console) -> Any:
    """None for what cannot be read, which is said."""
    try:
        return reads(line)
    except BadInput as error:
        console.warn(f"{place}: {error}")
        return None


def _values(loaded: Loaded, read: Sequence[Any], options: Options, choices: Sequence[str]) -> list[Any]:
    if choices:
        return loaded.predictor.choose(read, choices)
    return loaded.predictor.predict(read, options)


def _line(prompt: str, value: Any, *, is_choice: bool, chats: bool) -> str:
    if is_choice:
        return f"{prompt}\t{value.line()}"
    return value.text if chats else prompt + value.text


# --- a dialogue at a terminal ---


def interactive(model: str | Path, *, system: str | None = None, options: dict[str, Any] | None = None) -> None:
    """Answer what is said, line by line, until the end of input; what was said before is remembered as far as the model reads.

    ConfigError for a model without a chat template.
    """
    console = Console()
    loaded = load(model, console)
    asked, way = options_of(loaded, options or {}), Way(True, system)
    reader(loaded, way)  # what it refuses is refused here
    said: list[dict[str, str]] = []
    console.say("a line and Enter; Ctrl-D ends")
    while line := _ask():
        if not line.strip():
            continue
        said.append({"role": "user", "content": line.strip()})
        prompt, left_out = _fitting(loaded, system, said)
        if prompt is None:
            console.warn(
                f"that is longer than the {loaded.predictor.context:,} tokens that the model reads: say it shorter"
            )
            said.pop()
            continue
        if left_out:
            console.say(f"the context is full: the first {left_out} turns are forgotten")
            del said[:left_out]
        if answered := _answered(loaded, prompt, asked):
            said.append({"role": "assistant", "content": answered})
        else:
            said.pop()
    print(file=sys.stderr)


def _ask() -> str:
    """A line from standard input, "" at its end; the prompt goes to stderr, so that stdout holds the answers alone."""
    print("> ", end="", file=sys.stderr, flush=True)
    return standard_input().readline()


def _fitting(loaded: Loaded, system: str | None, said: Sequence[dict[str, str]]) -> tuple[Any, int]:
    """The prompt that what was said makes, and how many of the oldest turns have no room; None where the newest alone has none.

    An answer has as much room as a quarter of the context."""
    predictor = loaded.predictor
    told = [{"role": "system", "content": system}] if system is not None else []
    most = predictor.context - predictor.context // 4
    for first in range(0, len(said), 2):
        try:
            prompt = predictor.read([*told, *said[first:]])
        except BadInput:
            continue
        if len(prompt.tokens) <= most or first == len(said) - 1:
            return prompt, first
    return None, 0


def _answered(loaded: Loaded, prompt: Any, options: Options) -> str:
    out = []
    for text in loaded.predictor.stream(prompt, options):
        piece(text)
        out.append(text)
    answer("")
    return "".join(out).strip()
