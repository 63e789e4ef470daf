"""`bmtool selfcheck`."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Config, Overrides

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Prove a promise of bmtool on your own config.")


@app.command()
def resume(
    config: Config,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Check a finetuning from this run.",
            metavar="RUN",
            parser=flags.path,
            autocompletion=completion.runs,
        ),
    ] = None,
    set_: Overrides = [],  # noqa: B006
) -> None:
    """Kill a short training of CONFIG, start it again, and compare the weights bit for bit."""
    from bmtool.commands import selfcheck

    selfcheck.resume(config, parent=from_, overrides=set_)


@app.callback()
def selfcheck() -> None:
    """Keeps `resume` a sub-command while it is the only one."""
