"""bmtool from Python: what the commands do, as functions that return values.

Errors are exceptions of `bmtool.errors`, progress and remarks go to stderr, nothing ends the program.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np

from bmtool.base.console import Console
from bmtool.commands.loading import load_model, options_of
from bmtool.commands.predict import record
from bmtool.commands.translate import require_translator
from bmtool.errors import Interrupted
from bmtool.predict.values import Text, Value

if TYPE_CHECKING:  # evaluating and training take seconds to import
    from bmtool.commands.evaluate import Evaluated
    from bmtool.runs.summary import Summary

One: TypeAlias = str | bytes | Path | int | dict[str, Any] | np.ndarray  # one input; a PIL image is one, too
Named = TypeVar("Named", bound=str | Path | None)


# --- training ---


def train(config: str | Path | Mapping[str, Any], /, **overrides: Any) -> "Run":
    """Train a configuration, or go on where its run directory stopped: `bmtool pretrain`.

    `config` is a YAML file, the name of a configuration that ships ("image-classification/digits"; `bmtool init` lists them), or a dict.
    `overrides` are keys of it: `train={"steps": 100}` or `**{"train.steps": 100}`. Data are prepared when they have to be.

    Ctrl-C saves the state and raises KeyboardInterrupt; the same call goes on from there. Raises a BmtoolError otherwise.
    """
    return _trained(config, None, overrides, finetunes=False)


def finetune(
    config: str | Path | Mapping[str, Any], parent: "str | Path | Run | None" = None, /, **overrides: Any
) -> "Run":
    """Train from the best weights of the run `parent`, or from those that the model names: `bmtool finetune`. Otherwise as `train`."""
    return _trained(config, parent, overrides, finetunes=True)


def _trained(config: Any, parent: Any, overrides: dict[str, Any], *, finetunes: bool) -> "Run":
    from bmtool.commands import train as command
    from bmtool.config import given

    with _guest():
        resolved = given.config(config, overrides, Console().say)
        try:
            return Run(command.train(resolved, command.parent_of(_path(parent)), finetunes=finetunes))
        except Interrupted as error:
            raise KeyboardInterrupt(str(error)) from error


class Run:
    """A run directory, whatever made it. Raises DataError when there is none at `path`."""

    path: Path

    def __init__(self, path: str | Path):
        from bmtool.engine.record import Record

        # It is the same run wherever the program goes.
        self._record = Record.open(Path(path).absolute())
        self.path = self._record.path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def config(self) -> Any:
        """The resolved configuration; `model_dump()` gives it as a dict, which `train` takes."""
        return self._record.config()

    @property
    def summary(self) -> "Summary":
        """How it stands: state, steps, figures. What cannot be read is said in it."""
        from bmtool.runs.summary import summed_up

        return summed_up(self.path)

    @property
    def figures(self) -> dict[str, float]:
        """Of the best checkpoint: those of the test split where it was evaluated, else those of the validation."""
        return {name: held["value"] for name, held in self.summary.figures.items() if held["value"] is not None}

    def metrics(self) -> list[dict[str, float]]:
        """A row for each step that was logged or validated, in order: `step`, `elapsed_s`, `train/...`, `valid/...`.

        Rows lack what was not measured at their step. `pandas.DataFrame(run.metrics())` makes a table of them.
        """
        rows: dict[int, dict[str, float]] = {}
        for event in self._record.events():
            rows.setdefault(event["step"], {}).update(event)
        return [rows[step] for step in sorted(rows)]

    def model(self) -> "Model":
        """The model with its best weights: `load(run)`."""
        return Model(self.path)

    def evaluate(
        self,
        split: str = "test",
        *,
        data: str | Path | None = None,
        require: str | Sequence[str] = (),
        baseline: "str | Path | Run | None" = None,
    ) -> "Evaluated":
        """Measure it on a split or on a file: `bmtool evaluate`, with its reports in `eval/`.

        `.figures` and `.differences` (from a `baseline`) have intervals: `found.figures["accuracy"].value`, `.low`, `.high`. Raises
        GateMissed, after all is written, when a bound of `require` ("accuracy>=0.9") does not hold.
        """
        from bmtool.commands import evaluate as command

        place, bounds = None if data is None else str(data), [require] if isinstance(require, str) else list(require)
        with _guest():
            return command.evaluate([self.path], split=split, data=place, require=bounds, baseline=_path(baseline))

    def export(
        self, output: str | Path | None = None, *, int8: bool = False, samples: str | Path | None = None
    ) -> Path:
        """Write the best weights as one ONNX file, compared with PyTorch: `bmtool export-onnx`. Returns its path."""
        from bmtool.commands.export_onnx import export_onnx

        places = {
            key: None if path is None else str(path) for key, path in {"output": output, "samples": samples}.items()
        }
        with _guest():
            return export_onnx(self.path, int8=int8, **places)


def _path(named: "Run | Named") -> "Path | Named":
    return named.path if isinstance(named, Run) else named


@contextmanager
def _guest() -> Iterator[None]:
    """In somebody else's program: where its pictures open, which is a notebook's own setting, is as it was afterwards."""
    import matplotlib

    # An undecided back end is no text, and asking in another way would decide it.
    before = dict.__getitem__(matplotlib.rcParams, "backend")
    try:
        yield
    finally:
        if isinstance(before, str):
            matplotlib.use(before)


# --- models ---


def load(model: "str | Path | Run" = "default") -> "Model":
    """The model of a run directory or of an exported .onnx file (for which torch is not needed); "default" comes with bmtool.

    Raises a BmtoolError for one that cannot be used.
    """
    return Model(model)


class Model:
    """A model, loaded once: raw inputs in, values out. See `load`."""

    def __init__(self, model: "str | Path | Run" = "default"):
        self._loaded = load_model(_path(model), Console().warn)

    def __repr__(self) -> str:
        return f"Model({self._loaded.path!r}): {self.task}, takes {self._loaded.entry.takes}, gives {self._loaded.entry.gives}"

    @property
    def task(self) -> str:
        return self._loaded.task

    @cached_property
    def options(self) -> tuple[str, ...]:
        """The names of the options that `predict` takes."""
        return tuple(self._loaded.entry.load("options").model_fields)

    @overload
    def predict(self, inputs: One, **options: Any) -> Value: ...
    @overload
    def predict(self, inputs: Iterable[Any], **options: Any) -> list[Value]: ...
    def predict(self, inputs: Any, **options: Any) -> Any:
        """A value for one input, a list of values for several: lines of text, images, rows as dicts, seeds.

        An image is a file, its bytes, a PIL image, or an array of pixels uint8 [H, W] or [H, W, 3]; several arrays are a list. `options`
        are those of the command line. Raises ConfigError for an option that the model has not, BadInput for an input.
        """
        if _is_one(inputs):
            return self.predict([inputs], **options)[0]
        asked = options_of(self._loaded, options)
        read = [self._loaded.predictor.read(raw) for raw in inputs]
        return self._loaded.predictor.predict(read, asked) if read else []

    @overload
    def records(self, inputs: One, **options: Any) -> dict[str, Any]: ...
    @overload
    def records(self, inputs: Iterable[Any], **options: Any) -> list[dict[str, Any]]: ...
    def records(self, inputs: Any, **options: Any) -> Any:
        """As `predict`, but what `bmtool predict --json` prints, without a name for images that are no files."""
        if _is_one(inputs):
            return self.records([inputs], **options)[0]
        kept = list(inputs)
        return [self._record(raw, value) for raw, value in zip(kept, self.predict(kept, **options))]

    def _record(self, raw: Any, value: Value) -> dict[str, Any]:
        if isinstance(raw, Mapping):
            return record(self._loaded, json.dumps(raw, ensure_ascii=False, default=str), value)
        return (
            record(self._loaded, str(raw), value) if isinstance(raw, (str, Path, int, np.integer)) else value.record()
        )


def _is_one(inputs: Any) -> bool:
    """Whether it is an input and not a list of them."""
    return isinstance(inputs, (str, bytes, Mapping, np.ndarray)) or not isinstance(inputs, Iterable)


@overload
def translate(text: str, *, model: str | Path = ..., **options: Any) -> str: ...
@overload
def translate(text: list[str], *, model: str | Path = ..., **options: Any) -> list[str]: ...
def translate(text: str | list[str], *, model: str | Path = "default", **options: Any) -> str | list[str]:
    """Pinyin to Chinese text: a line, or a list of lines, by the model that comes with bmtool unless `model` names a run or .onnx file.

    `context` stands before each line; `fuzzy` names sounds that count as one ("z/zh", ..., or "all"); with `initials`, initials may stand
    for syllables; `lexicon` is a file of words; `traditional` writes traditional characters. Raises a BmtoolError for a model or file
    that cannot be used. For probabilities and alternatives see `load`.
    """
    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    found: list[Text] = _translator(str(model)).predict([text] if isinstance(text, str) else text, **given)  # type: ignore[assignment]
    return found[0].text if isinstance(text, str) else [value.text for value in found]


@lru_cache(maxsize=4)
def _translator(model: str) -> Model:
    made = Model(model)
    require_translator(made._loaded)
    return made
