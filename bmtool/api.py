"""bmtool from Python. Models are loaded once and kept."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from bmtool.commands.loading import Loaded, load_model, options_of
from bmtool.commands.predict import record
from bmtool.commands.translate import load
from bmtool.predict.values import Text, Value

One: TypeAlias = str | bytes | Path | int | dict[str, Any] | np.ndarray  # one input; a PIL image is one, too


class Model:
    """A run directory or an exported file, loaded once: raw inputs in, values out. `options` are those of the command line.

    Raises a BmtoolError for a model or option that cannot be used, BadInput for an input.
    """

    def __init__(self, model: str | Path = "default"):
        self._loaded = load_model(model, lambda message: None)

    @property
    def task(self) -> str:
        return self._loaded.task

    @overload
    def __call__(self, inputs: One, **options: Any) -> Value: ...
    @overload
    def __call__(self, inputs: Iterable[Any], **options: Any) -> list[Value]: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """A value for one input, a list of values for several: lines of text, images, rows as dicts, seeds.

        An image is a file, its bytes, a PIL image, or an array of pixels uint8 [H, W] or [H, W, 3]; several arrays are a list.
        """
        if _is_one(inputs):
            return self([inputs], **options)[0]
        asked = options_of(self._loaded, options)
        read = [self._loaded.predictor.read(raw) for raw in inputs]
        return self._loaded.predictor.predict(read, asked) if read else []

    @overload
    def records(self, inputs: One, **options: Any) -> dict[str, Any]: ...
    @overload
    def records(self, inputs: Iterable[Any], **options: Any) -> list[dict[str, Any]]: ...
    def records(self, inputs: Any, **options: Any) -> Any:
        """The same as `bmtool predict --json` prints, without a name for images that are no files."""
        if _is_one(inputs):
            return self.records([inputs], **options)[0]
        kept = list(inputs)
        return [self._record(raw, value) for raw, value in zip(kept, self(kept, **options))]

    def _record(self, raw: Any, value: Value) -> dict[str, Any]:
        if isinstance(raw, Mapping):
            return record(self._loaded, json.dumps(raw, ensure_ascii=False, default=str), value)
        return (
            record(self._loaded, str(raw), value) if isinstance(raw, (str, Path, int, np.integer)) else value.record()
        )


def _is_one(inputs: Any) -> bool:
    """Whether it is an input and not a list of them."""
    return isinstance(inputs, (str, bytes, Mapping, np.ndarray)) or not isinstance(inputs, Iterable)


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
