"""bmtool from Python. Models are loaded once and kept."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.commands.predict import record
from bmtool.commands.translate import load
from bmtool.predict.values import Text, Value


class Model:
    """A run directory or an exported file, loaded once: raw inputs in, values out. `options` are those of the command line.

    Raises a BmtoolError for a model or option that cannot be used, BadInput for an input.
    """

    def __init__(self, model: str | Path = "default"):
        self._loaded = load_model(model, lambda message: None)

    @property
    def task(self) -> str:
        return self._loaded.task

    def __call__(self, inputs: Sequence[Any], **options: Any) -> list[Value]:
        """A value for each input: lines of text, image files, rows as dicts, seeds."""
        asked = options_of(self._loaded, options)
        return self._loaded.predictor.predict([self._loaded.predictor.read(raw) for raw in inputs], asked)

    def records(self, inputs: Sequence[Any], **options: Any) -> list[dict[str, Any]]:
        """The same as `bmtool predict --json` prints."""
        return [record(self._loaded, str(raw), value) for raw, value in zip(inputs, self(inputs, **options))]


class Translator(Model):
    """A model that takes text and gives text."""

    def __init__(self, model: str | Path = "default"):
        self._loaded: Loaded = load(model)


@overload
def translate(text: str, **options: Any) -> str: ...
@overload
def translate(text: list[str], **options: Any) -> list[str]: ...
def translate(text: str | list[str], *, model: str | Path = "default", **options: Any) -> str | list[str]:
    """Pinyin to Chinese text: a line, or a list of lines, by the model that comes with bmtool unless `model` names a run or .onnx file.

    `context` stands before each line; `fuzzy` names sounds that count as one ("z/zh", ..., or "all"); with `initials`, initials may stand
    for syllables; `lexicon` is a file of words; `traditional` writes traditional characters. Raises a BmtoolError for a model or file
    that cannot be used. For probabilities and alternatives see `Translator`.
    """
    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    found: list[Text] = _translator(str(model))([text] if isinstance(text, str) else text, **given)  # type: ignore[assignment]
    return found[0].text if isinstance(text, str) else [value.text for value in found]


@lru_cache(maxsize=4)
def _translator(model: str) -> Translator:
    return Translator(model)
