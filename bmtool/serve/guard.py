"""What stands before the application: limits, keys, origins, headers, ids and the log. Plain ASGI, so that it sees every byte first."""

import asyncio
import hmac
import json
import logging
import random
import re
import time
from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bmtool.serve.jsontext import Values
from bmtool.serve.memory import Held, Memory
from bmtool.serve.origins import Origins
from bmtool.serve.problems import ProblemError, problem, told
from bmtool.serve.process import log_bug
from bmtool.serve.settings import Settings

log = logging.getLogger("bmtool.serve")
_ID = re.compile(r"[\w.-]{1,64}")
OPEN_PATHS = ("/health", "/ready", "/", "/favicon.ico")  # need no key
GONE = 499  # in the log: who asked has gone before the answer (as nginx says it)
PIECE = 65_536  # bytes of an answer that are written at once: a client has to take each in time
VALUE = 250  # bytes that a value of JSON takes at most when it is parsed, beside its letters
STREAM = "/v1/translate/stream"


class Guard:
    """Wraps an application. Nothing of a request's body is ever logged."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        memory: Memory,
        headers: dict[str, str],
        seen: Callable[[str, int, float], None],
    ):
        self.app, self.settings, self.memory, self.seen = app, settings, memory, seen
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.origins = Origins(settings.host_names, settings.cors)
        self.inner: ASGIApp = self._asked
        if settings.cors:
            self.inner = CORSMiddleware(
                self._asked, settings.cors, ("GET", "POST"), ("Authorization", "X-API-Key", "X-Request-Id"),
                expose_headers=("X-Request-Id", "Retry-After"),
            )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(scope, self.headers, send)
        abandoned = _Abandoned(scope)
        try:
            await self._safely(scope, receive, answer)
        except asyncio.CancelledError:
            if not abandoned.yes:
                raise
            answer.status = GONE
        took = time.perf_counter() - began
        self.seen(scope["path"], answer.status, took)
        line = {
            "time": round(time.time(), 3), "request": answer.id, "method": scope["method"], "path": scope["path"][:200],
            "status": answer.status, "ms": round(1000 * took, 2),
        }  # fmt: skip
        log.info(json.dumps(line))

    async def _safely(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            self.origins.check(scope["method"], dict(scope["headers"]))
            await self.inner(scope, receive, answer)
        except ProblemError as refused:
            await refused.told(scope["path"])(scope, receive, answer)
        except Exception as error:  # a bug of ours: named in the log, never in the answer
            log_bug(log, error, request=answer.id)
            found = problem(500, "Internal error", "the server failed to answer; its log has the request id")
            await told(found, scope["path"], {})(scope, receive, answer)

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request of this server's own pages, or of one that was named: its body is read before the application sees it."""
        headers = dict(scope["headers"])
        held = scope["state"]["held"] = self.memory.hold()
        try:
            self._check_key(scope["path"], headers)
            parts = await self._body(scope["path"], headers, receive, held)
            # `wait_for` keeps it from us where the body came at the same moment.
            if scope["state"]["abandoned"].yes:
                raise asyncio.CancelledError
            scope["state"]["read"] = True
            await self.app(scope, _replay(parts, receive), send)
        except ProblemError as refused:
            await refused.told(scope["path"])(scope, receive, send)
        finally:
            held.release()

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self.settings.api_key is None or path in OPEN_PATHS:
            return
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        if not hmac.compare_digest(given.strip(), self.settings.api_key.encode()):
            raise ProblemError(401, "send the server's key as `Authorization: Bearer KEY` or `X-API-Key: KEY`")

    async def _body(self, path: str, headers: dict[bytes, bytes], receive: Receive, held: Held) -> list[bytes]:
        """All of it, unless it is too long, holds too much, or is too slow. Nothing is read of one that says so before."""
        limit = self.settings.body_bytes
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
            raise _too_long(limit)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ProblemError(415, "send the body as it is, without Content-Encoding", {"Accept-Encoding": "identity"})
        plain = path == STREAM or headers.get(b"content-type", b"").lower().startswith(b"multipart/")
        values = None if plain else Values()
        return await self._parts(receive, held, values)

    async def _parts(self, receive: Receive, held: Held, values: Values | None) -> list[bytes]:
        loop = asyncio.get_running_loop()
        parts, until, more = [], loop.time() + self.settings.body_seconds, True
        while more:
            message = await self._next(receive, until - loop.time())
            piece, more = message.get("body", b""), message.get("more_body", False)
            held.more(2 * len(piece))  # the pieces, and the whole
            parts.append(piece)
            if held.bytes > 2 * self.settings.body_bytes:
                raise _too_long(self.settings.body_bytes)
            if values is not None and piece:
                self._count(values, piece)
        held.more(VALUE * values.count if values is not None else 0)
        return parts

    def _count(self, values: Values, piece: bytes) -> None:
        values.add(piece)
        if values.count > self.settings.values:
            raise ProblemError(413, f"a body may hold {self.settings.values:,} values of JSON")

    async def _next(self, receive: Receive, seconds: float) -> Message:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, seconds))
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ProblemError(408, f"a body must arrive within {self.settings.body_seconds:g} s") from error
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "the connection was closed before the body had come")
        return message


def _too_long(limit: int) -> ProblemError:
    return ProblemError(413, f"a body may hold {limit:,} bytes")


class _Abandoned:
    """Ends a request whose connection is lost: the connection calls it."""

    def __init__(self, scope: Scope):
        self.yes = False
        self._task = asyncio.current_task()
        scope.setdefault("state", {})["abandoned"] = self

    def __call__(self) -> None:
        self.yes = True
        if self._task is not None:
            self._task.cancel()


class _Answer:
    """Sends an answer with our headers, in pieces; the connection ends after one that came before the whole request."""

    def __init__(self, scope: Scope, headers: list[tuple[bytes, bytes]], send: Send):
        sent = dict(scope["headers"])
        given = sent.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        self.status = 500
        self._send, self._scope, self._headers = send, scope, headers
        self._has_body = b"transfer-encoding" in sent or sent.get(b"content-length", b"0") != b"0"

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._send({**message, "headers": self._completed(message["headers"])})
            return
        whole, more = memoryview(message.get("body", b"")), message.get("more_body", False)
        for start in range(0, max(1, len(whole)), PIECE):
            piece, last = whole[start : start + PIECE], start + PIECE >= len(whole)
            await self._send({"type": message["type"], "body": bytes(piece), "more_body": more or not last})

    def _completed(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        added = [*self._headers, (b"x-request-id", self.id.encode())]
        if self._has_body and not self._scope["state"].get("read"):
            added.append((b"connection", b"close"))
        names = {name for name, _ in added}
        return [header for header in headers if header[0].lower() not in names] + added


def _replay(parts: list[bytes], receive: Receive) -> Receive:
    """The body once, piece by piece, so that no reader of it keeps others waiting; then whatever comes."""
    left = parts[::-1]
    parts.clear()

    async def again() -> Message:
        if not left:
            return await receive()
        piece = left.pop()
        if left:
            await asyncio.sleep(0)
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    return again
