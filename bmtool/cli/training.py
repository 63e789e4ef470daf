"""From raw data to a trained model."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Config, NoVerify, Overrides
from bmtool.errors import ConfigError


def prepare_data(
    config: Annotated[
        str | None,
        typer.Argument(
            help="A YAML file; `bmtool init` writes one.",
            metavar="CONFIG",
            show_default=False,
            parser=flags.path,
            autocompletion=completion.configs,
        ),
    ] = None,
    set_: Overrides = [],  # noqa: B006
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read the first 10,000 lines of each file, say what is kept, write nothing."),
    ] = False,
    report_only: Annotated[
        str | None,
        typer.Option(help="Print the report of a prepared directory again.", metavar="DIR", parser=flags.path),
    ] = None,
) -> None:
    """Turn raw data into what training reads.

    Cleans, deduplicates, splits, labels and indexes it, and counts what it drops.
    """
    from bmtool.commands import prepare_data

    if (config is None) == (report_only is None):
        raise ConfigError("prepare-data needs a CONFIG, or --report-only DIR")
    if report_only is not None:
        prepare_data.report_only(report_only)
    elif dry_run:
        prepare_data.dry_run(config, set_)
    else:
        prepare_data.prepare_data(config, set_)


def pretrain(config: Config, set_: Overrides = [], no_verify: NoVerify = False) -> None:  # noqa: B006
    """Train from scratch, or resume.

    Resumes by itself when the run directory holds a checkpoint. A larger train.steps goes on with a run that has ended where the rate
    does not fall over all steps: schedule.name constant, step, inverse_sqrt, plateau or wsd, not linear, cosine or exponential.
    """
    from bmtool.commands import train

    train.pretrain(config, set_)


def finetune(
    config: Config,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="The run directory to start from; not needed where model.weights names some.",
            metavar="RUN",
            parser=flags.path,
            autocompletion=completion.runs,
        ),
    ] = None,
    set_: Overrides = [],  # noqa: B006
    no_verify: NoVerify = False,
) -> None:
    """Train from the weights of another run, or from those that the config names.

    Resumes by itself, like pretrain.
    """
    from bmtool.commands import train

    train.finetune(config, from_, set_)
