"""The command line: a signature, a sentence and a lazy call each. Nothing heavy is imported here."""

import os
from typing import Annotated

import typer

import bmtool
from bmtool import ends, flags
from bmtool.cli import asking, comparing, completion, deploying, doctor, runs, selfcheck, starting, training, tuning

app = typer.Typer(
    name="bmtool",
    cls=ends.Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From raw data to a trained, measured, exported and deployed model, from the shell.",
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"bmtool {bmtool.__version__}")
        raise typer.Exit(0)


# In the order of the help.
for function in (
    starting.init, training.prepare_data, training.pretrain, training.finetune, tuning.tune, asking.evaluate, comparing.compare,
):  # fmt: skip
    app.command()(function)
app.command(cls=flags.command(lambda entry: entry.translates))(asking.translate)
app.command(cls=flags.command(lambda entry: entry.goes_on))(asking.generate)
app.command(cls=flags.command(lambda entry: True))(asking.predict)
for function in (deploying.serve, asking.annotate, deploying.export_onnx, deploying.export_hf):
    app.command()(function)
app.add_typer(runs.app, name="runs")
app.command()(doctor.doctor)
app.add_typer(starting.config, name="config")
app.add_typer(selfcheck.app, name="selfcheck")


def main() -> None:
    completion.join_words(os.environ)
    app(prog_name="bmtool")
