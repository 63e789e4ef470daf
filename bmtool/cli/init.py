"""`bmtool init`."""

from typing import Annotated

import typer

from bmtool import flags


def init(
    data: Annotated[
        str,
        typer.Option(
            help="Download a data set of the Hugging Face hub into DIR: hf:OWNER/NAME, or hf:OWNER/NAME@REVISION.",
            metavar="hf:NAME",
        ),
    ],
    directory: Annotated[
        str | None,
        typer.Argument(help="Where to; default: data/NAME.", metavar="[DIR]", show_default=False, parser=flags.path),
    ] = None,
) -> None:
    """Fetch data to begin with, and print the lines of a config that read them."""
    from bmtool.commands import download

    download.download(data, directory)
