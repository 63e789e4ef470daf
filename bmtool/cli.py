"""The command line: a signature, a sentence and a lazy call each. Nothing heavy is imported here."""

from typing import Annotated

import typer

import bmtool
from bmtool import ends, flags
from bmtool.errors import ConfigError

app = typer.Typer(
    name="bmtool",
    cls=ends.Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From raw data to a trained, measured, exported and deployed model, from the shell.",
)

Config = Annotated[
    str, typer.Argument(help="A YAML file; those that ship are under configs/.", metavar="CONFIG", parser=flags.path)
]
Run = Annotated[str, typer.Argument(help="A run directory.", metavar="RUN", parser=flags.path)]
Model = Annotated[
    str,
    typer.Argument(help="A run directory or an exported .onnx file.", metavar="RUN|FILE.onnx", parser=flags.path),
]
Overrides = Annotated[
    list[str], typer.Option("--set", help="Override a key of the config: --set train.steps=100.", metavar="KEY=VALUE")
]


def _verify(leave_out: bool) -> None:
    """Heeds `--no-verify`, for all that this call of bmtool does."""
    from bmtool.data.prepared import verifies

    verifies.set(not leave_out)


NoVerify = Annotated[
    bool,
    typer.Option("--no-verify", help="Use prepared data without checking them first.", callback=_verify),
]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"bmtool {bmtool.__version__}")
        raise typer.Exit(0)


@app.command()
def prepare_data(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file.", metavar="CONFIG", show_default=False, parser=flags.path)
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


@app.command()
def pretrain(config: Config, set_: Overrides = [], no_verify: NoVerify = False) -> None:  # noqa: B006
    """Train from scratch, or resume.

    Resumes by itself when the run directory holds a checkpoint.
    """
    from bmtool.commands import train

    train.pretrain(config, set_)


@app.command()
def finetune(
    config: Config,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="The run directory to start from; not needed where model.weights names some.",
            metavar="RUN",
            parser=flags.path,
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


@app.command()
def evaluate(  # noqa: PLR0913
    models: Annotated[
        list[str],
        typer.Argument(
            help="A run directory or an exported .onnx file; several are averaged, or vote.",
            metavar="RUN|FILE.onnx",
            parser=flags.path,
        ),
    ],
    split: Annotated[str, typer.Option(help="valid or test: a split of the run's prepared data.")] = "test",
    data: Annotated[
        str | None,
        typer.Option(
            help="What to evaluate on instead: a file of text or pairs (.tsv, .jsonl), class folders, "
            "a table (.csv, .tsv, .jsonl, .parquet).",
            metavar="PATH",
            parser=flags.path,
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="With --data, for pinyin2hanzi: `sentence` (the default), or `run` for every run of 2 to 40 hanzi."
        ),
    ] = None,
    require: Annotated[
        list[str], typer.Option(help='A bound that must hold, else exit 3: --require "cer<=0.08".')
    ] = [],  # noqa: B006
    baseline: Annotated[
        str | None, typer.Option(help="Another run or .onnx file: is the difference significant?", parser=flags.path)
    ] = None,
    weight: Annotated[
        list[float], typer.Option(help="Of several models: how much each counts, in their order.", show_default=False)
    ] = [],  # noqa: B006
    output: Annotated[
        str | None,
        typer.Option(
            help="Directory for the report; default: the run's eval/, or beside the .onnx file.", parser=flags.path
        ),
    ] = None,
    no_verify: NoVerify = False,
) -> None:
    """Measure a model, with a quality gate.

    Every figure has a confidence interval; --require makes it the gate of a CI job.
    """
    from bmtool.commands import evaluate

    evaluate.evaluate(
        models, split=split, data=data, unit=unit, require=require, baseline=baseline, output=output, weight=weight
    )


@app.command(cls=flags.command(lambda entry: (entry.takes, entry.gives) == ("text", "text")))
def translate(  # noqa: PLR0913
    context: typer.Context,
    text: Annotated[
        list[str], typer.Argument(help="Lines of text; without any, standard input is read.", metavar="[TEXT]...")
    ] = [],  # noqa: B006
    model: Annotated[
        str,
        typer.Option(
            help="A run directory or an exported .onnx file.",
            envvar="BMTOOL_MODEL",
            show_default=False,
            parser=flags.path,
        ),
    ] = "default",
    input_: Annotated[
        str | None, typer.Option("--input", help="A file of lines.", metavar="FILE", parser=flags.path)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with probabilities.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show what was weighed for every syllable.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Choose among candidates by number.")
    ] = False,
    proofread: Annotated[
        str | None,
        typer.Option(
            help="Look for homophone errors in a file of Chinese text instead.", metavar="FILE", parser=flags.path
        ),
    ] = None,
) -> None:
    """Text to text, line by line: pinyin to Chinese, by the model that comes with bmtool unless --model names another."""
    from bmtool.commands import translate

    options = context.meta[flags.OPTIONS]
    if proofread is not None and (text or input_ or interactive):
        raise ConfigError("--proofread reads a file of text: it takes no pinyin beside it")
    if explain and (interactive or proofread is not None):
        raise ConfigError("--explain is for translating: leave it or --interactive and --proofread out")
    if interactive and (text or input_ or json):
        raise ConfigError("--interactive asks for its lines: leave TEXT, --input and --json out")
    if proofread is not None:
        translate.proofread(proofread, model=model, as_json=json)
    elif interactive:
        translate.interactive(model=model, options=options)
    else:
        translate.translate(text, model=model, input_file=input_, as_json=json, explain=explain, options=options)


@app.command(cls=flags.command(lambda entry: True))
def predict(
    context: typer.Context,
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Image files or folders of them; lines of text, or files of lines; rows: JSON, .csv, .tsv, .jsonl; for a GAN, numbers. "
            "- is standard input: lines, rows as JSON, or numbers.",
            metavar="INPUT...",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What a model says of files, lines or rows, a line each.

    Any task answers; inputs that cannot be read are counted by reason, the others are answered, and the exit code is 4.
    """
    from bmtool.commands import predict

    options, pictures = context.meta[flags.OPTIONS], context.meta[flags.PICTURES]
    predict.predict(model, inputs, as_json=json, pictures=pictures, options=options)


@app.command()
def serve(  # noqa: PLR0913
    model: Annotated[
        str,
        typer.Argument(help="A run directory or an exported .onnx file.", metavar="[RUN|FILE.onnx]", parser=flags.path),
    ] = "default",
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    api_key: Annotated[
        str | None, typer.Option(help="Key that requests must carry.", envvar="BMTOOL_API_KEY", show_default=False)
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Let everyone in who can reach the address.")] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            help="That the server and its model may take; default: three quarters of what the machine or its container has.",
            metavar="SIZE",
            show_default=False,
        ),
    ] = None,
    host_name: Annotated[
        list[str],
        typer.Option(
            help="A name that requests may call this server by: behind a proxy. May be repeated.", metavar="NAME"
        ),
    ] = [],  # noqa: B006
    cors: Annotated[
        list[str], typer.Option(help="An origin whose pages may ask, too. May be repeated.", metavar="ORIGIN")
    ] = [],  # noqa: B006
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Inputs of one run of the model.")] = 64,
    wait_ms: Annotated[float, typer.Option(min=0, max=1000, help="That a request waits for others to join it.")] = 3.0,
    queue: Annotated[int, typer.Option(min=1, help="Inputs that may wait; more are refused with 503.")] = 512,
) -> None:
    """A model over HTTP, with a page.

    Without a model the one that comes with bmtool answers.
    """
    from bmtool.commands import serve

    serve.serve(
        model, host=host, port=port, api_key=api_key, is_open=open_, memory=memory, host_names=host_name, cors=cors, batch=batch,
        wait_ms=wait_ms, queue=queue,
    )  # fmt: skip


@app.command()
def annotate(
    text: Annotated[
        list[str],
        typer.Argument(help="Lines of Chinese text; without any, standard input is read.", metavar="[TEXT]..."),
    ] = [],  # noqa: B006
    input_: Annotated[
        str | None, typer.Option("--input", help="A file of lines.", metavar="FILE", parser=flags.path)
    ] = None,
    style: Annotated[str, typer.Option(help="marks (nǐ), numbers (ni3), or ruby (HTML over the hanzi).")] = "marks",
    readings: Annotated[
        str | None,
        typer.Option(
            help="Your own reading dictionary: a line each of word, tab, pinyin.", metavar="FILE", parser=flags.path
        ),
    ] = None,
) -> None:
    """Chinese text to pinyin, line by line."""
    from bmtool.commands import annotate

    annotate.annotate(text, input_file=input_, style=style, readings=readings)


@app.command()
def export_onnx(
    run: Run,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise weights to 8 bits.")] = False,
    samples: Annotated[
        str | None,
        typer.Option(
            help="What int8 is judged on; default: the validation split of the run's data.",
            metavar="PATH",
            parser=flags.path,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Where to write; default: the run's export/.", metavar="FILE", parser=flags.path)
    ] = None,
    no_verify: NoVerify = False,
) -> None:
    """Export to ONNX, compared with PyTorch.

    The best weights become one file; it is kept only if it agrees with PyTorch.
    """
    from bmtool.commands import export_onnx

    export_onnx.export_onnx(run, output=output, int8=int8, samples=samples)


selfcheck_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Prove a promise of bmtool on your own config."
)
app.add_typer(selfcheck_app, name="selfcheck")


@selfcheck_app.command()
def resume(
    config: Config,
    from_: Annotated[
        str | None, typer.Option("--from", help="Check a finetuning from this run.", metavar="RUN", parser=flags.path)
    ] = None,
    set_: Overrides = [],  # noqa: B006
) -> None:
    """Kill a short training of CONFIG, start it again, and compare the weights bit for bit."""
    from bmtool.commands import selfcheck

    selfcheck.resume(config, parent=from_, overrides=set_)


@selfcheck_app.callback()
def selfcheck() -> None:
    """Keeps `resume` a sub-command while it is the only one."""


def main() -> None:
    app()
