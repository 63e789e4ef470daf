"""From nothing to a configuration, and what stands in one."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Config, Overrides
from bmtool.errors import ConfigError

CI = "ci"
HUB = "hf:"


def init(  # noqa: PLR0913
    task: Annotated[
        str | None,
        typer.Argument(
            help="A task, or `ci`; without any, all that can be written is listed. With `--data hf:NAME`: where to put the data.",
            metavar="[TASK|ci]",
            show_default=False,
            autocompletion=completion.tasks_and_ci,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(
            help="Where to write; with `ci`, the config to train there.",
            metavar="[FILE]",
            show_default=False,
            parser=flags.path,
            autocompletion=completion.configs,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Which config of the task, where it has several.", autocompletion=completion.shipped),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Where your own data lie; default: sample data. Without a task, hf:OWNER/NAME or hf:OWNER/NAME@REVISION: "
            "a data set of the Hugging Face hub to download.",
            metavar="PATH|hf:NAME",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="With `--data` a table: the column to be learned.", metavar="COLUMN", show_default=False),
    ] = None,
    require: Annotated[
        list[str], typer.Option(help='With `ci`: a bound that a model must hold there: --require "accuracy>=0.9".')
    ] = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="The list as JSON, a config a line.")] = False,
) -> None:
    """Write a commented config to begin with, or `ci`: a workflow and a Makefile that train, gate and export it.

    Without a task all that come with bmtool are listed. No file that is there is written over.
    """
    from bmtool.commands import ci, download, init

    if json and task is not None:
        raise ConfigError("--json is for the list: leave TASK out")
    if data is not None and data.startswith(HUB):
        if file or name or require or target:
            raise ConfigError("--data hf:NAME downloads: it takes a directory and nothing else")
        download.download(data, task)
        return
    if task is None and (name or data):
        raise ConfigError("name the task too: `bmtool init TASK`; `bmtool init` lists them")
    if target and (data is None or task == CI):
        raise ConfigError("--target goes with --data, a table of your own")
    if require and task != CI:
        raise ConfigError("--require goes with `bmtool init ci`")
    if task is None:
        init.print_list(as_json=json)
    elif task == CI:
        if name or data:
            raise ConfigError("--name and --data are for a config: leave them out with `bmtool init ci`")
        ci.init(file, require=require)
    else:
        init.init(task, file, name=name, data=data, target=target)


config = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="A config as bmtool reads it; the schema of all."
)


@config.command()
def show(
    config: Config,
    set_: Overrides = [],  # noqa: B006
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object: the config, and where each key is from.")
    ] = False,
) -> None:
    """The resolved config as YAML, each value with where it comes from: a line of the file, --set, or a default."""
    import json as jsons

    from bmtool.commands import config as commands

    if json:
        print(jsons.dumps(commands.resolved(config, set_), ensure_ascii=False))
    else:
        print(commands.show(config, set_), end="")


@config.command()
def schema(
    task: Annotated[
        str | None,
        typer.Argument(
            help="A task; default: all.", metavar="[TASK]", show_default=False, autocompletion=completion.tasks
        ),
    ] = None,
) -> None:
    """JSON Schema of configs, for editors: keys, ranges, choices, and what each is for."""
    import json

    from bmtool.commands import config as commands

    print(json.dumps(commands.schema(task), ensure_ascii=False, indent=1))
