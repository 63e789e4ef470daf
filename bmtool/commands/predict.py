"""`predict`: what a model says of files or lines, whatever its task."""

import json
from collections.abc import Sequence
from pathlib import Path

from bmtool import registry
from bmtool.base.console import Console
from bmtool.commands.loading import load_model
from bmtool.errors import ConfigError, DataError


def predict(  # noqa: PLR0913
    model: str | Path, inputs: Sequence[str], *, top: int = 5, as_json: bool = False, explain: str | None = None,
    output: str | None = None,
) -> None:  # fmt: skip
    """Print a line (or JSON) for each input. DataError at the end when some could not be read."""
    console = Console()
    loaded = load_model(model, console.warn)
    answering = registry.find(loaded.task).module("predict")
    made = {name: value for name, value in (("explain", explain), ("output", output)) if value is not None}
    able = getattr(answering, "PICTURES", ())
    for name in made:
        if name not in able:
            raise ConfigError(f"--{name}: models of {loaded.task} have no such picture")
    failed = []

    def bad(name: str, why: str) -> None:
        failed.append(name)
        console.warn(f"{name}: {why}")

    for line, record in answering.answers(loaded.predictor, list(inputs), top=top, bad=bad):
        print(json.dumps(record, ensure_ascii=False) if as_json else line, flush=True)
    for name, path in made.items():
        written = getattr(answering, name)(loaded.predictor, list(inputs), Path(path))
        console.say(f"wrote {written}")
    if failed:
        raise DataError(f"{len(failed)} of the inputs could not be read: {', '.join(failed[:5])}")
