"""What several commands take."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion

Config = Annotated[
    str,
    typer.Argument(
        help="A YAML file; `bmtool init` writes one.",
        metavar="CONFIG",
        parser=flags.path,
        autocompletion=completion.configs,
    ),
]
Run = Annotated[
    str, typer.Argument(help="A run directory.", metavar="RUN", parser=flags.path, autocompletion=completion.runs)
]
Model = Annotated[
    str,
    typer.Argument(
        help="A run directory or an exported .onnx file.",
        metavar="RUN|FILE.onnx",
        parser=flags.path,
        autocompletion=completion.models,
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Override a key of the config: --set train.steps=100.",
        metavar="KEY=VALUE",
        autocompletion=completion.keys,
    ),
]


Documents = Annotated[
    str | None,
    typer.Option(
        help="Answer from a file of text (.txt, .md), or a folder of them: the passages that a question is about are looked for.",
        metavar="FILE|DIR",
        parser=flags.path,
    ),
]
Search = Annotated[
    str | None,
    typer.Option(
        help="In documents: by words (BM25), by vectors of the model, or hybrid, the default.",
        metavar="HOW",
        show_default=False,
    ),
]
Passages = Annotated[
    int | None,
    typer.Option(help="Of documents so many passages are read; 5 by default.", min=1, max=100, show_default=False),
]


def _verify(leave_out: bool) -> None:
    """Heeds `--no-verify`, for all that this call of bmtool does."""
    from bmtool.data.prepared import verifies

    verifies.set(not leave_out)


NoVerify = Annotated[
    bool,
    typer.Option("--no-verify", help="Use prepared data without checking them first.", callback=_verify),
]
