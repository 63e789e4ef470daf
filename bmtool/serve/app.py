"""The routes. `create` makes the application for a model; everything that outlives a request is in `Service`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

import bmtool
from bmtool.base.pages import known
from bmtool.errors import BmtoolError, ResourceError
from bmtool.serve import bodies, openai, streams
from bmtool.serve.guard import Guard
from bmtool.serve.problems import ProblemError, problem, told
from bmtool.serve.service import Service

HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()", "Server": "bmtool",
}  # fmt: skip


PROBLEMS = 10  # of a body that are shown
SHOWN = 200  # letters of each


def create(service: Service) -> Guard:
    """The application for a model, guarded."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        except asyncio.CancelledError:  # by a second signal
            service.kill()
            raise
        await service.stop()

    app = FastAPI(
        title="bmtool", version=bmtool.__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="A bmtool model over HTTP. Errors are problem details (RFC 9457).",
    )  # fmt: skip
    app.state.service = service
    show_problems(app)
    _routes(app, service)
    page = resources.files("bmtool.serve").joinpath("page.html").read_text("utf-8")
    policy = _policy(page)

    @app.get("/", include_in_schema=False)
    async def root() -> HTMLResponse:
        return HTMLResponse(page)

    return Guard(
        app, service.settings, memory=service.memory, headers=HEADERS | {"Content-Security-Policy": policy}, seen=service.seen
    )  # fmt: skip


def _policy(page: str) -> str:
    """Nothing but the page's own script and style, known by their hashes, and its own server."""
    return (
        f"default-src 'none'; script-src {known(page, 'script')}; style-src {known(page, 'style')}; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def show_problems(app: FastAPI) -> None:
    """Errors are problem details."""

    @app.exception_handler(ProblemError)
    async def on_problem(request: Request, error: ProblemError) -> JSONResponse:
        return error.told(request.url.path)

    @app.exception_handler(BmtoolError)
    async def on_ours(request: Request, error: BmtoolError) -> JSONResponse:
        status = 503 if isinstance(error, ResourceError) else 422
        return ProblemError(status, str(error)).told(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        every = error.errors()
        found = [
            {"field": ".".join(map(str, e["loc"][1:]))[:SHOWN], "problem": e["msg"][:SHOWN]} for e in every[:PROBLEMS]
        ]
        more: dict[str, Any] = {"more": len(every) - PROBLEMS} if len(every) > PROBLEMS else {}
        return problem(
            422,
            "Unprocessable content",
            "the request does not fit the schema (GET /openapi.json)",
            errors=found,
            **more,
        )

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        found = problem(error.status_code, str(error.detail), str(error.detail), error.headers)
        return told(found, request.url.path, error.headers or {})


def _routes(app: FastAPI, service: Service) -> None:
    """Those that are asked most come first: a request is held against one after the other."""
    schema = bodies.schema(service.entry, service.model.about)

    @app.post("/v1/translate", openapi_extra=schema, include_in_schema=service.entry.translates)
    async def translate(request: Request) -> Response:
        """Text to text: one line gives one answer, a list gives a list."""
        _require_translation(service)
        return await _answered(request, service)

    @app.post("/v1/translate/stream", include_in_schema=service.entry.translates)
    async def stream(request: Request) -> StreamingResponse:
        """Many lines: a line of text each in, a line of JSON each out (NDJSON), in order, as they are ready."""
        _require_translation(service)
        raw = await request.body()
        await streams.require_text(raw)
        return StreamingResponse(streams.answers(service, raw, request.state.held), media_type="application/x-ndjson")

    @app.post("/v1/predict", openapi_extra=schema)
    async def predict(request: Request) -> Response:
        """What the model says of one input or a list: the field is called as what the model takes; images also as a form."""
        return await _answered(request, service)

    openai.routes(app, service)
    _state(app, service)


async def _answered(request: Request, service: Service) -> Response:
    asked = await bodies.read(request, service.entry, about=service.model.about, settings=service.settings)
    return Response(await service.answer(asked, request.state.held), media_type="application/json")


def _state(app: FastAPI, service: Service) -> None:
    """What is asked about the server itself."""

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(generate_latest(service.registry), media_type="text/plain; version=0.0.4")

    @app.get("/v1/model")
    async def model() -> dict:
        return service.model.about

    @app.post("/v1/reload")
    async def reload(request: Request) -> dict:
        if service.settings.api_key is None:
            raise ProblemError(403, "reloading needs a server that was started with --api-key (SIGHUP does the same)")
        return await service.reload(request.state.held)


def _require_translation(service: Service) -> None:
    entry = service.entry
    if not entry.translates:
        raise ProblemError(
            404,
            f"this server has a model of {service.model.task}, which takes {entry.takes} and gives {entry.gives}: "
            "ask it at /v1/predict, and see GET /v1/model",
        )
