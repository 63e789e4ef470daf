"""What the model writes, bit by bit, as the server asks for it."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

from bmtool.errors import BadInput, TooLong
from bmtool.predict.contract import Options
from bmtool.serve import costs
from bmtool.serve.bodies import Asked
from bmtool.serve.jsontext import parse
from bmtool.serve.memory import Held
from bmtool.serve.problems import ProblemError
from bmtool.serve.service import Service
from bmtool.serve.writing import LOST, WRITES, Begin, Bit, Next

SHARE = 8  # bits that a run of the model holds at most


async def written(service: Service, prompt: Any, options: Options, held: Held) -> AsyncIterator[Bit]:
    """Bits of what the model writes, until it has ended. ProblemError for a prompt that it cannot use, and where too many texts are being
    written. However this ends, the model is told to write no more."""
    settings = service.settings
    if service.writing >= settings.writing:
        raise ProblemError(503, f"{settings.writing} texts are being written: try again", {"Retry-After": "1"})
    asked: Begin | Next = Begin(uuid4().hex, prompt, options)
    cost = costs.of_run("text", settings) // SHARE
    service.writing += 1
    ended = False
    try:
        while not ended:
            before = held.bytes
            (said,) = await service.ask(Asked([asked], True, WRITES, [cost]), held)
            held.less(held.bytes - before)
            if isinstance(said, BadInput):
                ended = True
                code = "context_length_exceeded" if isinstance(said, TooLong) else None
                raise ProblemError(503 if str(said) == LOST else 422, str(said), code=code)
            bit = parse(said)
            ended = bool(bit["ended"])
            yield bit
            asked = Next(asked.name)
    finally:
        service.writing -= 1
        if not ended:
            service.later(_end(service, asked.name))


async def _end(service: Service, name: str) -> None:
    with suppress(ProblemError):
        await service.ask(Asked([Next(name, True)], True, WRITES, [0]), service.memory.hold())
