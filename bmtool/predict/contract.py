"""The contract between a task and whoever asks its model, on one page: commands, Python, the server, exports, evaluations.

`predictor(about, backend, assets)` in a task's `predict.py` makes a Predictor, for a run and for an export alike.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bmtool.config.options import Options
from bmtool.measure.report import Measured
from bmtool.predict.examples import Example
from bmtool.predict.values import Value


class Predictor(Protocol):
    """Inputs are what `read` gave; an answer depends on its own input alone, whatever else is asked with it."""

    def read(self, raw: Any) -> Any:
        """One input as the model takes it; BadInput when it cannot be used."""
        ...

    def predict(self, inputs: Sequence[Any], options: Options = ...) -> list[Value]:
        """A value for each input."""
        ...

    def probes(self, count: int) -> list[Any]:
        """Inputs that need no data, always the same: an export is compared on them."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a model card says of it: classes, vocabulary, columns."""
        ...


class Draws(Predictor, Protocol):
    """Of a task whose options name pictures."""

    def draw(self, picture: str, inputs: Sequence[tuple[str, Any]], path: Path) -> Path:
        """Write the picture of this name, of (name, input) pairs, and return where it lies."""
        ...


class Writes(Predictor, Protocol):
    """Of a task that takes text and gives text."""

    weighs: bool  # whether it can show what it has weighed: `alternatives`, `explained`
    progress: Callable[[int, int], None]  # hears how much of how much is done of an input that takes long

    def explained(self, line: str, options: Options) -> Iterator[str]:
        """Lines for people: what was weighed. ConfigError for a model that cannot say."""
        ...


class Continues(Writes, Protocol):
    """Of a model that goes on from where a text stops, or answers in a dialogue: what `generate` and the server ask."""

    chats: bool  # whether it was trained on dialogues: `read` takes a text for what a user says then

    def read_text(self, raw: Any) -> Any:
        """A text to go on from, whatever the model was trained on."""
        ...

    def read_dialogue(self, raw: Any) -> Any:
        """Turns to answer, `{"role", "content"}` each. ConfigError for a model without a chat template."""
        ...

    def begin(self, prompt: Any, options: Options) -> Iterator[Any]:
        """What is written, after every token (`text.generation.Written`)."""
        ...

    def stream(self, prompt: Any, options: Options) -> Iterator[str]:
        """What follows, in pieces that never change again. ConfigError before the first for options that have no effect."""
        ...

    def choose(self, prompts: Sequence[Any], choices: Sequence[str]) -> list[Value]:
        """Which of the choices follows each prompt, with their probabilities."""
        ...


class Embeds(Predictor, Protocol):
    """Of a model that has hidden states."""

    def read_to_embed(self, raw: Any) -> Any: ...

    def embed(self, texts: Sequence[Any]) -> np.ndarray:
        """A vector for each, float64 [texts, width]."""
        ...


class Evaluation(Protocol):
    """Made as `Evaluation(predictor, columns)`, 1 + RESAMPLES columns for intervals or one without. Feeds a meter."""

    # of the figures, before anything is measured: of the class those that any model of its task may have. `of_groups`, where there is
    # one, names the figure in which groups are compared, in place of the first.
    names: tuple[str, ...]

    def read(self, example: Example) -> Any:
        """What the model takes of an example; BadInput when it cannot be used."""
        ...

    def refuses(self, example: Example) -> str:
        """Why an example cannot be measured, such as a class that the model does not know; "" when it can."""
        ...

    def unlike(self, other: Any) -> dict[str, str]:
        """Figures that cannot be compared with another model's, and why. DataError when nothing can."""
        ...

    def add(self, examples: Sequence[Example], weight: np.ndarray) -> Iterator[dict[str, Any]]:
        """Count examples, each with what was read of it, `weight` [examples, columns], and give a record of each."""
        ...

    def measured(self) -> Measured: ...

    def warnings(self, measured: Measured) -> Iterator[str]:
        """What a reader of the figures should know, such as a model that is no better than chance."""
        ...
