"""bmtool from Python. Models are loaded once and kept."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import overload

from bmtool.commands.translate import Reading, Translator


@overload
def translate(text: str, **options) -> str: ...
@overload
def translate(text: list[str], **options) -> list[str]: ...
def translate(  # noqa: PLR0913
    text: str | list[str], *, model: str | Path = "default", context: str = "", fuzzy: Iterable[str] = (), initials: bool = False,
    lexicon: str | Path | None = None, traditional: bool = False,
) -> str | list[str]:  # fmt: skip
    """Pinyin to Chinese text: a line, or a list of lines, by the model that comes with bmtool unless `model` names a run or .onnx file.

    `context` stands before each line; `fuzzy` names sounds that count as one ("z/zh", ..., or "all"); with `initials`, initials may stand
    for syllables; `lexicon` is a file of words. Raises a BmtoolError for a model or file that cannot be used. For probabilities and
    alternatives see `Translator`.
    """
    reading = Reading(1, context, tuple(fuzzy), initials, str(lexicon) if lexicon else None, traditional)
    found = [result.text for result in _translator(str(model))([text] if isinstance(text, str) else text, reading)]
    return found[0] if isinstance(text, str) else found


@lru_cache(maxsize=4)
def _translator(model: str) -> Translator:
    return Translator(model)
