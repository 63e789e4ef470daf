"""What stands before the application: limits, keys, headers, request ids and the log. Plain ASGI, so that it sees every byte first."""

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bmtool.serve.problems import problem
from bmtool.serve.process import log_bug
from bmtool.serve.settings import Settings

log = logging.getLogger("bmtool.serve")
_ID = re.compile(r"[\w.-]{1,64}")
OPEN_PATHS = ("/health", "/ready", "/", "/favicon.ico")  # need no key


class _Refused(Exception):
    def __init__(self, status: int, title: str, detail: str):
        self.answer = problem(status, title, detail)


class Guard:
    """Wraps an application. Nothing of a request's body is ever logged."""

    def __init__(
        self, app: ASGIApp, settings: Settings, headers: dict[str, str], seen: Callable[[str, int, float], None]
    ):
        self.app, self.settings, self.seen = app, settings, seen
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, headers = time.perf_counter(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [*self.headers, (b"x-request-id", request_id.encode())]
                names = {name for name, _ in added}
                kept = [header for header in message["headers"] if header[0].lower() not in names]
                message = {**message, "headers": kept + added}
            await send(message)

        try:
            self._check_key(scope["path"], headers)
            body = await self._body(headers, receive)
            await self.app(scope, _replay(body, receive), answer)
        except _Refused as refused:
            await refused.answer(scope, receive, answer)
        except Exception as error:  # a bug of ours: named in the log, never in the answer
            log_bug(log, error, request=request_id)
            await problem(500, "Internal error", "the server failed to answer; its log has the request id")(
                scope, receive, answer
            )
        took = time.perf_counter() - began
        self.seen(scope["path"], status, took)
        line = {
            "time": round(time.time(), 3), "request": request_id, "method": scope["method"], "path": scope["path"][:200],
            "status": status, "ms": round(1000 * took, 2),
        }  # fmt: skip
        log.info(json.dumps(line))

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self.settings.api_key is None or path in OPEN_PATHS:
            return
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        if not hmac.compare_digest(given.strip(), self.settings.api_key.encode()):
            raise _Refused(
                401, "Unauthorized", "send the server's key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """All of it, unless it is too long or too slow."""
        limit = self.settings.body_bytes
        declared = headers.get(b"content-length", b"0")
        too_long = _Refused(413, "Content too large", f"a body may hold {limit:,} bytes")
        if not declared.isdigit() or int(declared) > limit:
            raise too_long
        parts, size, more = [], 0, True
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.body_seconds
        while more:
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - loop.time()))
            except (TimeoutError, asyncio.TimeoutError) as error:
                seconds = f"{self.settings.body_seconds:g} s"
                raise _Refused(408, "Request timeout", f"a body must arrive within {seconds}") from error
            if message["type"] == "http.disconnect":
                raise _Refused(400, "Bad request", "the connection was closed before the body had come")
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > limit:
                raise too_long
        return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once, then whatever comes."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
