"""The routes. `create` makes the application for a model; everything that outlives a request is in `Service`."""

import asyncio
import base64
import hashlib
import json
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import bmtool
from bmtool.commands.translate import Reading, fuzzy_names
from bmtool.errors import BmtoolError, ConfigError, ResourceError
from bmtool.images.pictures import BadImage
from bmtool.serve.batcher import Batcher, Busy
from bmtool.serve.guard import Guard
from bmtool.serve.model import Asked, from_base64
from bmtool.serve.problems import ProblemError, problem
from bmtool.serve.process import Gone, ModelProcess
from bmtool.serve.settings import Settings

_HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()", "Server": "bmtool",
}  # fmt: skip


class TranslateIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "jintian tianqi henhao", "n_best": 3}]}
    )

    text: str | list[str] = Field(description="A line of pinyin, or several.")
    n_best: int = Field(1, ge=1, description="So many ways to write each line.")
    context: str = Field("", description="Text that stands before each line.")
    fuzzy: list[str] = Field([], description="Sounds that count as one: z/zh, an/ang, ..., or all.")
    initials: bool = Field(False, description="Initials may stand for syllables.")
    traditional: bool = False
    alternatives: bool = Field(False, description="Also every syllable with its place and its candidates.")


class PredictIn(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"image": "iVBORw0KGgo...", "top": 5}]})

    image: str | list[str] | None = Field(None, description="Image files in base64.")
    text: str | list[str] | None = Field(None, description="Lines, for a model of text.")
    top: int = Field(5, ge=1, le=1000)


class Service:
    """The model in use, its batcher and its counters."""

    def __init__(self, path: str, model: ModelProcess, settings: Settings, warn: Callable[[str], None]):
        self.path, self.model, self.settings, self.warn = path, model, settings, warn
        self.ready, self.batcher = False, None
        self._in_use = threading.Lock()  # of `model`: held while it runs
        self.registry = CollectorRegistry()
        self.requests = Counter("bmtool_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.latency = Histogram("bmtool_request_seconds", "Time to answer.", ["path"], registry=self.registry)
        self.sizes = Histogram(
            "bmtool_batch_size",
            "Inputs of one run of the model.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        waiting = Gauge("bmtool_queue", "Inputs that wait for the model.", registry=self.registry)
        waiting.set_function(lambda: self.batcher.waiting if self.batcher else 0)
        self._reloading = asyncio.Lock()
        self._background: set[asyncio.Task] = set()

    def start(self) -> None:
        s = self.settings
        self.batcher = Batcher(self._run, batch=s.batch, wait_ms=s.wait_ms, queue=s.queue, watch=self.sizes.observe)
        self.ready = True
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def stop(self) -> None:
        self.ready = False
        for task in self._background:
            task.cancel()
        await self.batcher.close()
        self.model.close()

    def _run(self, options: Any, inputs: list) -> list:
        """In the batcher's thread."""
        with self._in_use:
            return self.model.run(options, inputs)

    async def ask(self, inputs: list, options: Any) -> list:
        """Answers of the model in use now. 503 when too much waits or the model starts again, 504 when it takes too long."""
        try:
            return await asyncio.wait_for(self.batcher.ask(inputs, options), self.settings.answer_seconds)
        except Busy as error:
            raise ProblemError(503, "too many requests wait: try again", {"Retry-After": "1"}) from error
        except Gone as error:
            if self.ready:
                self.ready = False
                self.warn("the model's process has ended (for want of memory?): it is started again")
                self._in_background(self._revive())
            raise ProblemError(503, "the model starts again: try again", {"Retry-After": "2"}) from error
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ProblemError(504, f"no answer within {self.settings.answer_seconds:g} s") from error

    async def reload(self) -> dict:
        """Load the model again from where it lies, and use it from the next run on; what runs ends with the old one."""
        async with self._reloading:
            await asyncio.get_running_loop().run_in_executor(None, self._replace)
        return self.model.about

    def _replace(self) -> None:
        fresh = ModelProcess(self.path)
        if fresh.task != self.model.task:
            fresh.close()
            raise ConfigError(f"{self.path} is a model of {fresh.task} now: start a new server for it")
        with self._in_use:
            old, self.model = self.model, fresh
        old.close()

    def _on_hangup(self) -> None:
        async def attempt() -> None:
            try:
                await self.reload()
            except BmtoolError as error:
                self.warn(f"reload failed, the old model stays: {error}")

        self._in_background(attempt())

    async def _revive(self) -> None:
        """Start the model until it starts."""
        while not self.ready:
            try:
                await self.reload()
                self.ready = True
            except BmtoolError as error:
                self.warn(f"the model does not start: {error}")
                await asyncio.sleep(self.settings.revive_seconds)

    def _in_background(self, work: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def seen(self, path: str, status: int, seconds: float) -> None:
        shown = path if path in _PATHS else "other"
        self.requests.labels(shown, str(status)).inc()
        self.latency.labels(shown).observe(seconds)


_PATHS = {
    "/",
    "/v1/translate",
    "/v1/translate/stream",
    "/v1/predict",
    "/v1/model",
    "/v1/reload",
    "/health",
    "/ready",
    "/metrics",
}


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
        inside = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
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
    settings = service.settings

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
        if settings.api_key is None:
            raise ProblemError(403, "reloading needs a server that was started with --api-key (SIGHUP does the same)")
        return await service.reload()

    @app.post("/v1/translate")
    async def translate(asked: TranslateIn) -> JSONResponse:
        """Pinyin to Chinese text: one line gives one answer, a list gives a list."""
        lines = [asked.text] if isinstance(asked.text, str) else asked.text
        answers = await service.ask(_lines(lines, settings), Asked(_reading(asked, service), asked.alternatives))
        return JSONResponse(answers[0] if isinstance(asked.text, str) else {"answers": answers})

    @app.post("/v1/translate/stream")
    async def stream(request: Request) -> StreamingResponse:
        """Many lines: a line of text each in, a line of JSON each out (NDJSON), in order, as they are ready."""
        _require(service, "pinyin")
        try:
            lines = (await request.body()).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ProblemError(400, "the body is not UTF-8") from error
        step = settings.batch

        async def answers() -> AsyncIterator[str]:
            for start in range(0, len(lines), step):
                try:
                    chunk = _lines(lines[start : start + step], settings)
                    found = await service.ask(chunk, Asked(Reading()))
                except ProblemError as error:
                    yield (
                        json.dumps({"line": start + 1, "problem": json.loads(error.answer.body)}, ensure_ascii=False)
                        + "\n"
                    )
                    return
                for answer in found:
                    yield json.dumps(answer, ensure_ascii=False) + "\n"

        return StreamingResponse(answers(), media_type="application/x-ndjson")

    @app.post("/v1/predict", openapi_extra=_MULTIPART)
    async def predict(request: Request) -> JSONResponse:
        """What the model says of images (multipart `image`, or JSON with base64) or of lines of text."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            inputs, single, top = await _from_form(request, settings)
        else:
            inputs, single, top = _from_json(await _json(request), service)
        if service.model.takes == "pinyin":
            answers = await service.ask(inputs, Asked(Reading(n_best=min(top, settings.n_best))))
        else:
            answers = await service.ask(inputs, top)
            for number, answer in enumerate(answers):
                if isinstance(answer, BadImage):
                    raise ProblemError(422, f"image {number + 1}: {answer}")
        return JSONResponse(answers[0] if single else {"answers": answers})


_MULTIPART = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "top": {"type": "integer", "default": 5},
                    },
                }
            },
            "application/json": {"schema": PredictIn.model_json_schema()},
        }
    }
}


async def _json(request: Request) -> PredictIn:
    from pydantic import ValidationError

    try:
        return PredictIn.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in error.errors()]) from error


async def _from_form(request: Request, settings: Settings) -> tuple[list[bytes], bool, int]:
    """Uploads stay in memory: a part may be as long as a body, so nothing is spooled to disk."""
    form = request.form(max_files=settings.images, max_fields=4, max_part_size=settings.body_bytes)
    async with form as held:
        uploads = [part for part in held.getlist("image") if hasattr(part, "read")]
        if not uploads:
            raise ProblemError(422, "send the image as the form field `image`")
        top = str(held.get("top", "5"))
        if not (top.isascii() and top.isdigit() and 1 <= int(top) <= 1000):
            raise ProblemError(422, "top: expected a number from 1 to 1000")
        return [await part.read() for part in uploads], len(uploads) == 1, int(top)


def _from_json(asked: PredictIn, service: Service) -> tuple[list, bool, int]:
    settings = service.settings
    if service.model.takes == "pinyin":
        if asked.text is None:
            raise ProblemError(422, "this is a model of text: send `text`")
        lines = [asked.text] if isinstance(asked.text, str) else asked.text
        return _lines(lines, settings), isinstance(asked.text, str), asked.top
    _require(service, "image")
    if asked.image is None:
        raise ProblemError(422, "this is a model of images: send `image`, in base64 or as a form")
    images = [asked.image] if isinstance(asked.image, str) else asked.image
    if not 1 <= len(images) <= settings.images:
        raise ProblemError(422, f"a request may hold 1 to {settings.images} images")
    decoded = [from_base64(image) for image in images]
    if None in decoded:
        raise ProblemError(422, f"image {decoded.index(None) + 1} is not base64")
    return decoded, isinstance(asked.image, str), asked.top


def _require(service: Service, kind: str) -> None:
    if service.model.takes != kind:
        raise ProblemError(
            404,
            f"this server has a model of {service.model.task}, which takes {service.model.takes}: see GET /v1/model",
        )


def _lines(lines: list[str], settings: Settings) -> list[str]:
    if not 1 <= len(lines) <= settings.lines:
        raise ProblemError(422, f"a request may hold 1 to {settings.lines} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > settings.line_characters:
            raise ProblemError(422, f"line {number} is longer than {settings.line_characters:,} characters")
        if any(0xD800 <= ord(character) <= 0xDFFF for character in line):
            raise ProblemError(422, f"line {number} holds half a surrogate pair")
    return lines


def _reading(asked: TranslateIn, service: Service) -> Reading:
    _require(service, "pinyin")
    settings = service.settings
    if asked.n_best > settings.n_best:
        raise ProblemError(422, f"n_best: at most {settings.n_best}")
    if len(asked.context) > settings.line_characters:
        raise ProblemError(422, f"context is longer than {settings.line_characters:,} characters")
    try:
        fuzzy = fuzzy_names(asked.fuzzy)
    except ConfigError as error:
        raise ProblemError(422, str(error)) from error
    return Reading(asked.n_best, asked.context, fuzzy, asked.initials, None, asked.traditional)
