"""Many lines in one request: a line of text each in, a line of JSON each out, in order, as they are ready."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

from bmtool.errors import BadInput
from bmtool.serve import costs
from bmtool.serve.bodies import Asked, require_lines
from bmtool.serve.memory import Held
from bmtool.serve.problems import ProblemError
from bmtool.serve.service import Service

_PIECE = 1 << 20  # bytes that are looked at before others have their turn


async def require_text(raw: bytes) -> None:
    """ProblemError 400 for what is not UTF-8, before the first answer is sent."""
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start + _PIECE) + 1 or len(raw)
        try:
            raw[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProblemError(400, f"the body is not UTF-8 (byte {start + error.start + 1})") from error
        start = end
        await asyncio.sleep(0)


async def answers(service: Service, raw: bytes, held: Held) -> AsyncIterator[bytes]:
    """The answers to the lines of `raw`, which is UTF-8; the last one says what was wrong where something was."""
    options, number = service.entry.load("options")(), 1
    try:
        for chunk in chunks(service, raw):
            require_lines(chunk, service.settings, number)
            asked = Asked(chunk, False, options, costs.priced(service.entry, chunk, options, service.settings))
            before = held.bytes
            for answer in await service.ask(asked, held):
                if isinstance(answer, BadInput):
                    raise ProblemError(422, f"line {number}: {answer}")
                yield answer + b"\n"
                number += 1
            held.less(held.bytes - before)
    except ProblemError as error:
        said = {"line": number, "problem": json.loads(bytes(error.answer.body))}
        yield json.dumps(said, ensure_ascii=False).encode() + b"\n"


def chunks(service: Service, raw: bytes) -> Iterator[list[str]]:
    """Lines of `raw`, as many as a run of the model holds; never all of them at once."""
    most, spent = costs.of_run(service.entry.takes, service.settings), 0
    chunk: list[str] = []
    for line in lines(raw):
        if chunk and (len(chunk) == service.settings.batch or spent + len(line) > most):
            yield chunk
            chunk, spent = [], 0
        chunk.append(line)
        spent += len(line)
    if chunk:
        yield chunk


def lines(raw: bytes) -> Iterator[str]:
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        yield raw[start:end].decode("utf-8").removesuffix("\r")
        start = end + 1
