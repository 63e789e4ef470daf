"""The routes. `create` makes the application for a model; everything that outlives a request is in `Service`."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

import bmtool
from bmtool.errors import BmtoolError, ResourceError
from bmtool.serve import bodies
from bmtool.serve.guard import Guard
from bmtool.serve.problems import ProblemError, problem
from bmtool.serve.process import ModelProcess
from bmtool.serve.service import Service
from bmtool.serve.settings import Settings

_HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()", "Server": "bmtool",
}  # fmt: skip


def create(path: str, model: ModelProcess, settings: Settings, warn: Callable[[str], None]) -> Guard:
    """The application for the model that was loaded from `path`, guarded."""
    service = Service(path, model, settings, warn)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        except asyncio.CancelledError:  # by a second signal
            service.model.kill()
            raise
        await service.stop()

    app = FastAPI(
        title="bmtool", version=bmtool.__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="A bmtool model over HTTP. Errors are problem details (RFC 9457).",
    )  # fmt: skip
    app.state.service = service
    _errors(app)
    _routes(app, service)
    page = resources.files("bmtool.serve").joinpath("page.html").read_text("utf-8")
    policy = _policy(page)

    @app.get("/", include_in_schema=False)
    async def root() -> HTMLResponse:
        return HTMLResponse(page)

    return Guard(app, settings, _HEADERS | {"Content-Security-Policy": policy}, service.seen)


def _policy(page: str) -> str:
    """Nothing but the page's own script and style, known by their hashes, and its own server."""

    def known(tag: str) -> str:
        inside = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[0]
        return f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {known('script')}; style-src {known('style')}; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _errors(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def on_problem(_: Request, error: ProblemError) -> JSONResponse:
        return error.answer

    @app.exception_handler(BmtoolError)
    async def on_ours(_: Request, error: BmtoolError) -> JSONResponse:
        if isinstance(error, ResourceError):
            return problem(503, "Service unavailable", str(error))
        return problem(422, "Unprocessable content", str(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [{"field": ".".join(map(str, e["loc"][1:])), "problem": e["msg"]} for e in error.errors()[:10]]
        return problem(
            422, "Unprocessable content", "the request does not fit the schema (GET /openapi.json)", errors=found
        )

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), str(error.detail), error.headers)

    @app.exception_handler(RecursionError)
    async def on_deep(_: Request, error: RecursionError) -> JSONResponse:
        return problem(400, "Bad request", "the JSON is nested too deeply")


def _routes(app: FastAPI, service: Service) -> None:
    _state(app, service)
    schema = bodies.schema(service.entry, service.model.about)

    @app.post("/v1/translate", openapi_extra=schema)
    async def translate(request: Request) -> JSONResponse:
        """Text to text: one line gives one answer, a list gives a list."""
        _require_translation(service)
        return JSONResponse(await service.answer(await _asked(request, service)))

    @app.post("/v1/translate/stream")
    async def stream(request: Request) -> StreamingResponse:
        """Many lines: a line of text each in, a line of JSON each out (NDJSON), in order, as they are ready."""
        _require_translation(service)
        try:
            lines = (await request.body()).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ProblemError(400, "the body is not UTF-8") from error
        return StreamingResponse(_streamed(service, lines), media_type="application/x-ndjson")

    @app.post("/v1/predict", openapi_extra=schema)
    async def predict(request: Request) -> JSONResponse:
        """What the model says of one input or a list: the field is called as what the model takes; images also as a form."""
        return JSONResponse(await service.answer(await _asked(request, service)))


async def _asked(request: Request, service: Service) -> bodies.Asked:
    return await bodies.read(request, service.entry, about=service.model.about, settings=service.settings)


async def _streamed(service: Service, lines: list[str]) -> AsyncIterator[str]:
    step, options = service.settings.batch, service.entry.load("options")()
    for start in range(0, len(lines), step):
        chunk = lines[start : start + step]
        try:
            bodies.require_lines(chunk, service.settings)
            found = await service.ask(chunk, options)
        except ProblemError as error:
            said = {"line": start + 1, "problem": json.loads(bytes(error.answer.body))}
            yield json.dumps(said, ensure_ascii=False) + "\n"
            return
        for answer in found:
            yield json.dumps(answer, ensure_ascii=False) + "\n"


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
    async def reload() -> dict:
        if service.settings.api_key is None:
            raise ProblemError(403, "reloading needs a server that was started with --api-key (SIGHUP does the same)")
        return await service.reload()


def _require_translation(service: Service) -> None:
    entry = service.entry
    if (entry.takes, entry.gives) != ("text", "text"):
        raise ProblemError(
            404,
            f"this server has a model of {service.model.task}, which takes {entry.takes} and gives {entry.gives}: "
            "ask it at /v1/predict, and see GET /v1/model",
        )
