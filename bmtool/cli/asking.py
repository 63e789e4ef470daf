"""What is asked of a trained model."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Documents, Model, NoVerify, Passages, Search
from bmtool.errors import ConfigError


def evaluate(  # noqa: PLR0913
    models: Annotated[
        list[str],
        typer.Argument(
            help="A run directory or an exported .onnx file; several are averaged, or vote.",
            metavar="RUN|FILE.onnx",
            parser=flags.path,
            autocompletion=completion.models,
        ),
    ],
    split: Annotated[str, typer.Option(help="valid or test: a split of the run's prepared data.")] = "test",
    data: Annotated[
        str | None,
        typer.Option(
            help="What to evaluate on instead: a file of text or pairs (.tsv, .jsonl), class folders, "
            "a table (.csv, .tsv, .jsonl, .json, .parquet, .arrow), a folder as `datasets` saves it, a tar of images.",
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
        str | None,
        typer.Option(
            help="Another run or .onnx file: is the difference significant?",
            parser=flags.path,
            autocompletion=completion.models,
        ),
    ] = None,
    weight: Annotated[
        list[float], typer.Option(help="Of several models: how much each counts, in their order.", show_default=False)
    ] = [],  # noqa: B006
    by: Annotated[
        list[str],
        typer.Option(
            help="A column of the examples: figures by group, and the gap between groups.",
            metavar="COLUMN",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    find_label_errors: Annotated[
        bool,
        typer.Option("--find-label-errors", help="List the examples whose label is likely wrong, beside the report."),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            help="Directory for the report; default: the run's eval/, or beside the .onnx file.", parser=flags.path
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object in place of the table.")] = False,
    no_verify: NoVerify = False,
) -> None:
    """Measure a model, with a quality gate.

    Every figure has a confidence interval; --require makes it the gate of a CI job.
    """
    from bmtool.commands import evaluate

    evaluate.evaluate(
        models, split=split, data=data, unit=unit, require=require, baseline=baseline, output=output, weight=weight, by=by,
        find_label_errors=find_label_errors, show=evaluate.as_json if json else evaluate.table,
    )  # fmt: skip


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
            autocompletion=completion.models,
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


def generate(  # noqa: PLR0913
    context: typer.Context,
    model: Model,
    prompts: Annotated[
        list[str],
        typer.Argument(
            help="Texts to go on from, or what a user says; without any, lines of standard input.",
            metavar="[PROMPT]...",
        ),
    ] = [],  # noqa: B006
    input_: Annotated[
        str | None, typer.Option("--input", help="A file of prompts, a line each.", metavar="FILE", parser=flags.path)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a prompt, with the log-probability of every token.")
    ] = False,
    choices: Annotated[
        str | None,
        typer.Option(help="Score these texts instead: which is the likeliest to follow?", metavar="A,B,..."),
    ] = None,
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--no-chat",
            help="Take prompts for what a user says, or for texts to go on from; without either, as the model was trained.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="In a dialogue: what the assistant is told before.", metavar="TEXT")
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="A dialogue at the terminal, line by line.")
    ] = False,
    documents: Documents = None,
    search: Search = None,
    passages: Passages = None,
) -> None:
    """Text that goes on from where prompts stop, or answers in a dialogue.

    One prompt is answered as it comes.
    """
    from bmtool.commands import generate, grounded
    from bmtool.commands.documents import Of, require_fit

    options = context.meta[flags.OPTIONS]
    if interactive:
        if prompts or input_ or json or choices is not None or chat is False or documents is not None:
            raise ConfigError(
                "--interactive asks for its lines: leave PROMPT, --input, --json, --choices, --no-chat and --documents out"
            )
        generate.interactive(model, system=system, options=options)
        return
    way = generate.Way(chat, system)
    of = Of(None, documents, search, passages)
    if documents is not None:
        if choices is not None:
            raise ConfigError("--choices are scored behind a prompt: leave --documents out")
        grounded.generate(model, prompts, of, input_file=input_, as_json=json, way=way, options=options)
        return
    require_fit(of)
    generate.generate(model, prompts, input_file=input_, as_json=json, choices=choices, way=way, options=options)


def predict(  # noqa: PLR0913
    called: typer.Context,
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders or tars of them; lines of text, or files of lines; questions; "
            "rows: JSON, .csv, .tsv, .jsonl, .json; "
            ".parquet, .arrow and folders of them for each; for a GAN, numbers. "
            "- is standard input: lines, rows as JSON, or numbers.",
            metavar="[INPUT]...",
        ),
    ] = [],  # noqa: B006
    history: Annotated[
        str | None,
        typer.Option(
            help="Recommend to somebody who took these items, the earliest first.",
            metavar="ID,ID,...",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Recommend to a user whom the model knows.", metavar="ID", show_default=False)
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Items that are like this one.", metavar="ID", show_default=False)
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            help="Recommend to all users whom the model knows: with --output.", metavar="all", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="With --users: where to, a line each of user, place and item; of a model that makes images: the picture of them.",
            metavar="FILE.parquet|.csv|.jsonl",
            show_default=False,
            parser=flags.path,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    uncertain: Annotated[
        int | None,
        typer.Option(
            help="Of classes: only so many inputs, those that the model is least sure of, to label next.",
            metavar="N",
            min=1,
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="The file of the text that questions are asked of (question-answering); text before each line (pinyin2hanzi).",
            metavar="FILE|TEXT",
        ),
    ] = None,
    documents: Documents = None,
    search: Search = None,
    passages: Passages = None,
) -> None:
    """What a model says of files, lines or rows, a line each.

    Any task answers; inputs that cannot be read are counted by reason, the others are answered, and the exit code is 4.
    """
    from bmtool.commands import predict
    from bmtool.commands.documents import Of
    from bmtool.commands.recommending import Who

    options, pictures = called.meta[flags.OPTIONS], called.meta[flags.PICTURES]
    of, who = Of(context, documents, search, passages), Who(history, user, like, users, output)
    if not inputs and who == Who():
        raise ConfigError(
            "nothing to predict on: name INPUT, or for a recommender --history, --user, --like or --users all"
        )
    predict.predict(
        model, inputs, as_json=json, pictures=pictures, options=options, uncertain=uncertain, of=of, who=who
    )


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
