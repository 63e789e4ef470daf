"""Several configurations at once."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import NoVerify, Overrides


def compare(  # noqa: PLR0913
    config: Annotated[
        list[str],
        typer.Argument(
            help="YAML files of one task; `bmtool init` writes one.",
            metavar="CONFIG...",
            parser=flags.path,
            autocompletion=completion.configs,
        ),
    ],
    without: Annotated[list[str], typer.Option(help="Leave a baseline out; may be repeated.", metavar="NAME")] = [],  # noqa: B006
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Finetune the configs from the weights of this run.",
            metavar="RUN",
            parser=flags.path,
            autocompletion=completion.runs,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="What all are measured on: test, valid or train.")] = "test",
    figure: Annotated[
        str | None,
        typer.Option(help="The figure to show and sort by; default: that which decides the best checkpoint."),
    ] = None,
    set_: Overrides = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table, with all figures.")] = False,
    no_verify: NoVerify = False,
) -> None:
    """Train configs and the baselines of their task on the same data: one table.

    The data are prepared once. Every model is a run of its own, those of the baselines in RUN-baselines; what is trained and measured
    already is not done again. Stopped or killed, the same command goes on.
    """
    from bmtool.commands import compare

    compare.compare(config, set_, compare.Asked(without, split, figure, from_), as_json=json)
