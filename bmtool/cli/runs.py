"""`bmtool runs`."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bmtool import flags
from bmtool.cli.arguments import Run
from bmtool.errors import ConfigError


class Group(TyperGroup):
    """`bmtool runs`, with or without options, is `bmtool runs list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_for_help = bool({"-h", "--help"} & set(args[:1]))
        return super().parse_args(
            ctx, args if (args[:1] and not args[0].startswith("-")) or asks_for_help else ["list", *args]
        )


app = typer.Typer(cls=Group, rich_markup_mode=None, help="The runs there are: listed, shown, compared, drawn, watched.")
Runs = Annotated[list[str], typer.Argument(help="Run directories.", metavar="RUN", parser=flags.path)]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]


@app.command("list")
def list_(
    places: Annotated[
        list[str],
        typer.Argument(
            help="Folders that hold runs, at any depth up to 5; default: runs.", metavar="DIR", parser=flags.path
        ),
    ] = [],  # noqa: B006
    task: Annotated[str | None, typer.Option(help="Runs of this task alone.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="The best of this figure first; default: the newest first.", metavar="FIGURE")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """A table of runs, each with figures and state.

    A run that failed, was interrupted or is damaged is a row that says so; the exit code is 0 all the same.
    """
    from bmtool.commands import runs

    runs.list_runs(places, task=task, sort=sort, as_json=json)


@app.command()
def show(
    run: Run,
    json: Json = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write RUN/report.html, one file that needs no other, and print where it is.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Write RUN/report.html and open it in a browser.")] = False,
) -> None:
    """One run in full.

    Settings, data, figures with intervals, checkpoints, exports, where the time went.
    """
    from bmtool.commands import runs

    if json and (html or open_):
        raise ConfigError("--json prints a run, --html and --open write its page: leave one of them out")
    runs.show(run, as_json=json, html=html, open_it=open_)


@app.command()
def compare(run: Runs, json: Json = False) -> None:
    """What differs between runs, and is it significant?

    The first is what the others are compared with.
    """
    from bmtool.commands import runs

    runs.compare(run, as_json=json)


@app.command()
def plot(
    run: Runs,
    figure: Annotated[
        list[str],
        typer.Option(help="Draw this figure; may be repeated. Default: all of the validation.", metavar="NAME"),
    ] = [],  # noqa: B006
    output: Annotated[str, typer.Option(help="Where to write.", metavar="FILE.png", parser=flags.path)] = "runs.png",
) -> None:
    """Curves of several runs in one picture.

    A star marks the step of the best checkpoint.
    """
    from bmtool.commands import runs

    runs.plot(run, figures=figure, output=output)


@app.command()
def watch(run: Run, port: Annotated[int, typer.Option(min=1, max=65535)] = 8001) -> None:
    """A live page of a run, until Ctrl-C.

    Only browsers on this machine can ask for it.
    """
    from bmtool.commands import runs

    runs.watch(run, port=port)
