"""`predict`: what a model says of files, lines, rows or numbers, whatever its task."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bmtool.base.console import Console, answer, marked, warn
from bmtool.base.units import few
from bmtool.commands import documents, least_sure, recommending, refusals
from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.config.options import Options
from bmtool.data.tally import Tally, passed_over
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.predict.inputs import KEY, STDIN, Named, shown
from bmtool.predict.values import Spans, Value

CHUNK = 64
REASONS, NAMES = 5, 5  # that the end of a command names


def predict(  # noqa: PLR0913
    model: str | Path, inputs: Sequence[str], *, as_json: bool = False, pictures: dict[str, str] | None = None,
    options: dict[str, Any] | None = None, uncertain: int | None = None, of: documents.Of = documents.NOTHING,
    who: recommending.Who = recommending.NOBODY,
) -> None:  # fmt: skip
    """Print a line (or JSON) for each input; `pictures` are what the model can draw, by the name of the flag, with where to; `of` is what
    questions are asked of, `who` is whom items are recommended to.

    With `uncertain`, only so many inputs are printed and drawn: those that a classifier is least sure of, the least sure first.
    DataError at the end when some inputs could not be read, or when there was none.
    """
    console = Console()
    documents.require_fit(of)
    for flag, path in [*(pictures or {}).items(), ("output", who.output)]:
        if path not in (STDIN, None):
            refusals.require_file(path, f"--{flag}")
    loaded = load_model(model, console.warn)
    pictures, who = recommending.parted(loaded, pictures or {}, who)
    if recommending.is_of_all(loaded, who):
        return recommending.all_users(loaded, who, options or {})
    inputs = recommending.inputs(who, list(inputs))
    _require_pictures(loaded, pictures)
    require_json(options or {}, as_json)
    if uncertain is not None:
        least_sure.require_classes(loaded)
    given, of = documents.parted(loaded, options or {}, of)
    asked = options_of(loaded, given)
    failed, read = Tally(), list[tuple[str, Any]]()

    def bad(one: Named, why: str) -> None:
        if why not in failed.dropped:  # the others that it is true of are counted
            console.warn(f"{one.name}: {why}")
        failed.drop(why, one.name)

    named = documents.inputs(loaded, inputs, of, failed.ignore)
    if uncertain is None:
        found = answers(loaded, named, asked, bad)
    else:
        found = least_sure.answers(loaded, reading(loaded, named, bad), asked, uncertain)
    for name, item, value in found:
        failed.kept += 1
        if as_json:
            answer(json.dumps(record(loaded, name, value), ensure_ascii=False))
        else:
            _say(name, value)
        read += [(name, item)] if pictures else []
    if told := passed_over(failed.ignored, failed.examples):
        console.say(told)
    for flag, path in (pictures or {}).items():
        _draw(loaded, flag, path, read)
    _require_some(loaded, inputs, failed)


def _require_some(loaded: Loaded, inputs: Sequence[str], failed: Tally) -> None:
    """DataError when some inputs could not be read, or when there was none."""
    if failed.dropped:
        raise DataError(f"{failed.dropped.total():,} of the inputs could not be read: {_reasons(failed)}")
    if not failed.kept:
        raise DataError(f"nothing to predict: no {loaded.entry.takes} in {few(inputs, NAMES)}")


def _draw(loaded: Loaded, flag: str, path: str, read: Sequence[tuple[str, Any]]) -> None:
    """One picture, to a file, or to the terminal where it is named as standard streams are."""
    if not read:
        raise DataError("nothing to draw: no input could be read")
    if path == STDIN:
        loaded.predictor.show(flag, read)
    else:
        Console().say(f"wrote {loaded.predictor.draw(flag, read, Path(path))}")


def _say(name: str, value: Value) -> None:
    """A line: on a terminal a text with its spans in colour, else what the value has as a line behind its name."""
    if isinstance(value, Spans) and sys.stdout.isatty():
        marked(value.text, value.spans)
        for note in value.notes:
            warn(note)
    else:
        answer(f"{name}\t{value.line()}")


def _reasons(failed: Tally) -> str:
    """How many inputs each reason was true of, with the names of a few."""
    shown = []
    for why, count in failed.dropped.most_common(REASONS):
        names = failed.examples[why][:NAMES]
        shown.append(f"{count:,} x {why} ({', '.join(names)}{', ...' if count > len(names) else ''})")
    return "; ".join(shown) + ("; ..." if len(failed.dropped) > len(shown) else "")


def _require_pictures(loaded: Loaded, wanted: dict[str, str]) -> None:
    """ConfigError for a picture that the model does not have, or that no terminal can show."""
    able = loaded.entry.load("options").pictures
    for name, path in wanted.items():
        if name not in able:
            raise ConfigError(f"--{name}: models of {loaded.task} have no such picture")
        if path == STDIN and not hasattr(loaded.predictor, "show"):
            raise ConfigError(
                f"--{name} -: what {loaded.task} draws is a picture, which takes a file: --{name} FILE.png"
            )


def require_json(given: dict[str, Any], as_json: bool) -> None:
    """ConfigError for an option that shows in JSON alone."""
    if given.get("alternatives") and not as_json:
        raise ConfigError("--alternatives needs --json: a line of text has no place for them")


def answers(
    loaded: Loaded, inputs: Iterator[Named], options: Options, bad: Callable[[Named, str], None]
) -> Iterator[tuple[str, Any, Value]]:
    """(name, input as it was read, value) of every input that can be read; `bad` hears of the others, and why."""
    for good in reading(loaded, inputs, bad):
        values = loaded.predictor.predict([item for _, item in good], options)
        yield from ((name, item, value) for (name, item), value in zip(good, values))


def reading(
    loaded: Loaded, inputs: Iterator[Named], bad: Callable[[Named, str], None]
) -> Iterator[list[tuple[str, Any]]]:
    """(name, input as it was read) of those that can be read, some at a time."""
    while chunk := list(islice(inputs, CHUNK)):
        good = []
        for one in chunk:
            try:
                if isinstance(one.raw, BadInput):
                    raise one.raw
                good.append((one.name, loaded.predictor.read(one.raw)))
            except BadInput as error:
                bad(one, str(error))
        if good:
            yield good


def record(loaded: Loaded, name: str, value: Value) -> dict[str, Any]:
    """One answer as JSON has it: shell, Python and HTTP alike."""
    return {KEY[loaded.entry.takes]: shown(loaded.entry.takes, name)} | value.record()
