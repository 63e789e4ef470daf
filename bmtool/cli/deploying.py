"""A trained model on its way to where it is used."""

from typing import Annotated

import typer

from bmtool import flags
from bmtool.cli import completion
from bmtool.cli.arguments import Documents, NoVerify, Run


def serve(  # noqa: PLR0913
    model: Annotated[
        str,
        typer.Argument(
            help="A run directory or an exported .onnx file.",
            metavar="[RUN|FILE.onnx]",
            parser=flags.path,
            autocompletion=completion.models,
        ),
    ] = "default",
    documents: Documents = None,
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
        wait_ms=wait_ms, queue=queue, documents=documents,
    )  # fmt: skip


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


def export_hf(
    run: Run,
    folder: Annotated[
        str,
        typer.Argument(
            help="Where to write; a directory that is empty or not there.", metavar="DIR", parser=flags.path
        ),
    ],
) -> None:
    """Export to the format of Hugging Face.

    For language models: config.json, model.safetensors and a tokenizer, which transformers and others load.
    """
    from bmtool.commands import export_hf

    export_hf.export_hf(run, folder)
