"""Hyper-parameters."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Config, NoVerify, Overrides
from bmtool.errors import ConfigError


def _seconds(text: str) -> float:
    from bmtool.base.units import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise ConfigError(f"--time: {error}") from error


def tune(  # noqa: PLR0913
    config: Config,
    vary: Annotated[
        list[str],
        typer.Option(
            help="A key, and a range or a list of values for it: optim.lr=1e-4..1e-2, model.layers=2,4,6.",
            metavar="KEY=VALUES",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Finetune: the run whose weights every trial starts from; not needed where the network comes with some.",
            metavar="RUN",
            parser=flags.path,
            autocompletion=completion.runs,
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="So many in all, those of earlier sittings among them.", min=1)] = 20,
    figure: Annotated[
        str | None,
        typer.Option(help="The validation figure that decides; default: that of train.best, or the task's own."),
    ] = None,
    time: Annotated[
        float | None,
        typer.Option(
            help="No trial begins after so long: 90s, 30m, 2h, 1h30m.",
            metavar="TIME",
            parser=_seconds,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of what is proposed; default: the config's.", min=0, show_default=False)
    ] = None,
    set_: Overrides = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    no_verify: NoVerify = False,
) -> None:
    """Search for settings: trials of CONFIG with other values of some keys, judged by their validation.

    Trials are trained as the config's first line says: from scratch, or from other weights.
    Every trial is a run of its own in RUN-tune/trials, given up when it is worse than the others were; the best settings are written
    to RUN-tune/best.yaml. Stopped or killed, the same command goes on.
    """
    from bmtool.commands import tune

    plan = tune.Plan(vary, trials, figure, time, seed, from_)
    tune.tune(config, plan, set_, as_json=json)
