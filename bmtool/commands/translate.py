"""`translate`: lines to text by any model that takes text and gives text, from arguments, a file or standard input; and proofreading."""

import json
import sys
from pathlib import Path
from typing import Any

from bmtool.base.console import answer, visible, warn
from bmtool.commands import refusals
from bmtool.commands.lines import chunks, standard_input
from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.commands.predict import record, require_json
from bmtool.config.options import Options
from bmtool.errors import BadInput, ConfigError
from bmtool.predict.values import Text

WORDS_SHOWN, WORD_SHOWN = 5, 40
CHOICES = 9  # that interactive mode offers, a digit each


def load(model: str | Path) -> Loaded:
    """A model that takes text and gives text. ConfigError for another."""
    loaded = load_model(model, warn)
    require_translator(loaded)
    return loaded


def require_translator(loaded: Loaded) -> None:
    """ConfigError for a model that does not translate."""
    if not loaded.entry.translates:
        raise ConfigError(
            f"{loaded.name} is a model of {loaded.task}, which does not translate text: ask it with `bmtool predict`"
        )


def translate(  # noqa: PLR0913
    texts: list[str], *, model: str = "default", input_file: str | None = None, as_json: bool = False, explain: bool = False,
    options: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print a translation for every line; standard input is answered line by line, a file in batches.

    ConfigError for `explain` with JSON, which has no place for it, and for alternatives without, which show in JSON alone.
    Words in small letters that were copied though they look as if they were meant otherwise are named on stderr, with their line.
    """
    given = dict(options or {})
    if explain and as_json:
        raise ConfigError(
            "--explain shows lines for people: leave it or --json out (--json holds what was weighed, too)"
        )
    require_json(given, as_json)
    if input_file not in (None, "-"):
        refusals.require_exists(str(input_file), "--input")
    loaded = load(model)
    if as_json and loaded.predictor.weighs:
        given.setdefault("alternatives", True)
    asked = options_of(loaded, given)
    loaded.predictor.progress = lambda done, total: warn(f"{done / total:.0%} of a long line is done")
    for first, name, lines in chunks(texts, input_file):
        for number, (line, value) in enumerate(zip(lines, _answered(loaded, lines, asked)), start=first):
            answer(json.dumps(record(loaded, line, value), ensure_ascii=False) if as_json else _shown(value))
            if explain:
                for shown in loaded.predictor.explained(line, asked):
                    answer(shown)
            if value.unread:
                warn(f"{name}:{number}: no pinyin, kept as it is: {_listing(list(value.unread))}")


def _answered(loaded: Loaded, lines: list[str], options: Options) -> list[Text]:
    """A line that cannot be read is an empty one, with a note, so that a line in stays a line out."""
    read = []
    for line in lines:
        try:
            read.append(loaded.predictor.read(line))
        except BadInput as error:
            warn(f"{line[:WORD_SHOWN]!r}: {error}")
            read.append("")
    return loaded.predictor.predict(read, options)


def _shown(value: Text) -> str:
    return "\t".join(text for text, _ in value.n_best)


def _listing(words: list[str]) -> str:
    """The first few words, each shortened to what fits a line."""
    shown = [word if len(word) <= WORD_SHOWN else f"{word[:WORD_SHOWN]}..." for word in words[:WORDS_SHOWN]]
    return ", ".join(shown) + (f" and {len(words) - WORDS_SHOWN} more" if len(words) > WORDS_SHOWN else "")


def proofread(path: str, *, model: str = "default", as_json: bool = False) -> None:
    """Print what seems to be a wrong hanzi in a file of text ("-" is standard input), as FILE:LINE:COLUMN."""
    from bmtool.tasks.pinyin2hanzi.proofread import proofread as search

    if path != "-":
        refusals.require_exists(path, "--proofread")
    predictor = load_model(model, warn, task="pinyin2hanzi").predictor
    if not predictor.weighs:
        raise ConfigError("this model cannot proofread: that needs a tagger")
    for first, name, lines in chunks([], path):
        for number, (line, findings) in enumerate(zip(lines, search(predictor.model, lines)), start=first):
            for finding in findings:
                around = line[max(0, finding.start - 10) : finding.end + 10]
                value = {"file": name, "line": number, "column": finding.start + 1} | finding._asdict()
                shown = f"{name}:{number}:{finding.start + 1}: {finding.found} → {finding.suggested}   {around}"
                answer(json.dumps(value, ensure_ascii=False) if as_json else shown)


def interactive(*, model: str = "default", options: dict[str, Any] | None = None) -> None:
    """Read line by line, offer candidates by number, and write what was chosen; what was written is the context of what follows."""
    loaded = load(model)
    given = dict(options or {}) | {"n_best": CHOICES}
    written = given.pop("context", "")
    _say("pinyin and Enter, then a number to choose (Enter alone: 1); an empty line ends")
    while line := _ask("> ").strip():
        found = _answered(loaded, [line], options_of(loaded, given | {"context": written}))[0]
        for number, (text, probability) in enumerate(found.n_best, start=1):
            _say(f"{number} {text}  {probability:.2f}")
        chosen = _ask("? ").strip() or "1"
        if not (chosen.isdecimal() and 1 <= int(chosen) <= len(found.n_best)):
            _say(f"expected a number from 1 to {len(found.n_best)}; nothing was written")
            continue
        text = found.n_best[int(chosen) - 1][0]
        answer(text)
        written += text


def _ask(prompt: str) -> str:
    """A line from standard input, "" at its end; the prompt goes to stderr, so that stdout holds the text alone."""
    print(prompt, end="", file=sys.stderr, flush=True)
    return standard_input().readline()


def _say(message: str) -> None:
    print(visible(message), file=sys.stderr)
