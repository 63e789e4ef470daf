"""`bmtool doctor`."""

from typing import Annotated

import typer


def doctor(json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Whether bmtool can work here: versions, device, memory, optional packages, the model in the box.

    Exit 0 when it can; what is broken comes with the command that mends it.
    """
    from bmtool.commands import doctor

    doctor.doctor(as_json=json)
