"""The routes that clients of OpenAI's interface ask: completions, dialogues, embeddings, and which model there is."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from bmtool.errors import BadInput
from bmtool.serve import bodies, completions, costs
from bmtool.serve.bits import written
from bmtool.serve.bodies import Asked
from bmtool.serve.completions import ChatCompletion, Choice, Completion, Embeddings, Shape, Writing
from bmtool.serve.jsontext import parse
from bmtool.serve.memory import Held
from bmtool.serve.problems import ProblemError
from bmtool.serve.service import Service
from bmtool.serve.writing import EMBEDS, Bit

Work = list[tuple[Choice, AsyncIterator[Bit]]]
DEFAULT_TOKENS = 16  # of a completion, as OpenAI has it; a dialogue has what there is room for


def routes(app: FastAPI, service: Service) -> None:
    created = int(time.time())

    @app.post("/v1/chat/completions", openapi_extra=_schema(ChatCompletion))
    async def chat(request: Request) -> Response:
        """What the assistant says next; `stream` sends it as it comes."""
        _require(service, "writes")
        asked = completions.validated(ChatCompletion, await bodies.json_of(request))
        turns = completions.turns(asked)
        _require_size([turn["content"] for turn in turns], asked.n)
        most = asked.max_completion_tokens or asked.max_tokens or service.model.about["context"]
        return await _answered(service, request, asked, [turns], most=most)

    @app.post("/v1/completions", openapi_extra=_schema(Completion))
    async def complete(request: Request) -> Response:
        """How texts go on; `stream` sends it as it comes."""
        _require(service, "writes")
        asked = completions.validated(Completion, await bodies.json_of(request))
        prompts = _texts(service, asked.prompt, "prompt")
        _require_size(prompts, asked.n)
        return await _answered(service, request, asked, prompts, most=asked.max_tokens or DEFAULT_TOKENS)

    @app.post("/v1/embeddings", openapi_extra=_schema(Embeddings))
    async def embed(request: Request) -> dict:
        """A vector for each text: the mean of the last hidden states at its tokens."""
        _require(service, "embeds")
        asked = completions.validated(Embeddings, await bodies.json_of(request))
        _require_model(service, asked.model)
        texts = _texts(service, asked.input, "input")
        _require_size(texts, 1)
        found = await _embedded(service, texts, request.state.held)
        if asked.dimensions not in (None, len(found[0]["embedding"])):
            raise ProblemError(
                422, f"dimensions: this model's vectors have {len(found[0]['embedding'])}", param="dimensions"
            )
        return completions.embeddings(found, service.model.about["model"], asked.encoding_format)

    @app.get("/v1/models")
    async def models() -> dict:
        return {"object": "list", "data": [_model(service, created)]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict:
        _require_model(service, name)
        return _model(service, created)


def _model(service: Service, created: int) -> dict[str, Any]:
    return {"id": service.model.about["model"], "object": "model", "created": created, "owned_by": "bmtool"}


def _schema(kind: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": kind.model_json_schema()}}}}


# --- what is refused ---


def _require(service: Service, able: str) -> None:
    about = service.model.about
    if not about.get(able):
        what = {"writes": "writes nothing on", "embeds": "has no hidden states"}[able]
        raise ProblemError(404, f"this server has a model of {about['task']} that {what}: see GET /v1/model")


def _require_model(service: Service, name: str | None) -> None:
    mine = service.model.about["model"]
    if name not in (None, mine):
        raise ProblemError(
            404,
            f"the model {name[:80]!r} does not exist: this server has {mine!r}",
            param="model",
            code="model_not_found",
        )


def _texts(service: Service, given: str | list[str], name: str) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not 1 <= len(texts) <= service.settings.lines:
        raise ProblemError(422, f"{name}: 1 to {service.settings.lines} texts, this one has {len(texts):,}", param=name)
    return texts


def _require_size(texts: list[str], times: int) -> None:
    """As `costs.priced`, for as many texts as are written."""
    letters, most = times * sum(map(len, texts)), costs.TARIFFS["text"].request
    if letters > most:
        told = f"a request may hold {most:,} letters, this one has {letters:,}: shorten it"
        raise ProblemError(413, told, code="context_length_exceeded")


# --- writing ---


async def _answered(service: Service, request: Request, asked: Any, prompts: list[Any], *, most: int) -> Response:
    _require_model(service, asked.model)
    if len(prompts) * asked.n > service.settings.choices:
        raise ProblemError(
            422, f"n: {service.settings.choices} texts at most are written for a request, prompts times n", param="n"
        )
    chat = isinstance(asked, ChatCompletion)
    shape = Shape.of(chat, service.model.about["model"], asked.logprobs is True or (asked.logprobs == 0 and not chat))
    work = _work(service, asked, prompts, most, request.state.held)
    if not asked.stream:
        choices = [choice async for choice, _ in _bits(work)]
        return JSONResponse(shape.whole([*dict.fromkeys(choices)]))
    # What is refused is refused before the answer begins.
    bits = _bits(work)
    first = await anext(bits)
    usage = asked.stream_options is not None and asked.stream_options.include_usage
    events = _events(shape, [choice for choice, _ in work], first, bits, usage=usage)
    return StreamingResponse(events, media_type="text/event-stream")


def _work(service: Service, asked: Writing, prompts: list[Any], most: int, held: Held) -> Work:
    """A text for each prompt and choice, each with another seed."""
    kind, seed = service.entry.load("options"), secrets.randbelow(1 << 31) if asked.seed is None else asked.seed
    every = [(which, prompt, number) for which, prompt in enumerate(prompts) for number in range(asked.n)]
    return [
        (Choice(index, which), written(service, prompt, completions.options(asked, kind, most, seed + number), held))
        for index, (which, prompt, number) in enumerate(every)
    ]


async def _bits(work: Work) -> AsyncIterator[tuple[Choice, Bit]]:
    """All of every text, one after the other."""
    for choice, bits in work:
        async with aclosing(bits) as coming:  # type: ignore[type-var]
            async for bit in coming:
                choice.add(bit)
                yield choice, bit


async def _events(
    shape: Shape,
    choices: list[Choice],
    first: tuple[Choice, Bit],
    bits: AsyncIterator[tuple[Choice, Bit]],
    *,
    usage: bool,
) -> AsyncIterator[bytes]:
    """Server-sent events: an object each, and [DONE] at the end; what goes wrong meanwhile is the last."""
    begun: set[int] = set()
    async with aclosing(bits) as coming:  # type: ignore[type-var]
        try:
            choice, bit = first
            while True:
                if choice.index not in begun and (begins := shape.begins(choice)):
                    yield _event(begins)
                begun.add(choice.index)
                yield _event(shape.piece(choice, bit))
                choice, bit = await anext(coming)
        except StopAsyncIteration:
            pass
        except ProblemError as error:
            yield _event(parse(bytes(error.told("/v1/completions").body)))
            return
    if usage:
        yield _event(shape.usage(choices))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


# --- embeddings ---


async def _embedded(service: Service, texts: list[str], held: Held) -> list[dict[str, Any]]:
    price = [len(text) + 1 for text in texts]
    answers = await service.ask(Asked(texts, False, EMBEDS, price), held)
    for number, found in enumerate(answers):
        if isinstance(found, BadInput):
            raise ProblemError(422, f"input {number + 1}: {found}", param="input")
    return await asyncio.to_thread(lambda: [parse(found) for found in answers])
