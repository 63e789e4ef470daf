"""Requests that no server should suffer from: of the wrong size, type, order or speed, abandoned, too many, from strangers.

After each the server must answer `/health` and a good request in time, and its memory must have stayed within its budget.
"""

import contextlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from stress import Attempt
from stress.serving import END_SECONDS, Server

Trial = Callable[[Server], str]
LONG = "women yiqi qu gongyuan sanbu ba "
DEAR = json.dumps({"text": [(LONG * 63)[:1_990]] * 20}).encode()
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
GOOD = b'{"text": "ni hao"}'
HEAD = b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: 18\r\n\r\n" + GOOD


def attempts(sample: int | None, seed: int) -> Iterator[Attempt]:
    """Everything there is to try on a server, or `sample` of it."""
    trials = _trials()
    names = sorted(trials)
    if sample is not None:
        names = random.Random(seed).sample(names, min(sample, len(names)))
    server = Server()
    try:
        for name in names:
            problem = trials[name](server) or server.problem()
            yield Attempt(f"server: {name}", problem)
            if problem:  # a fresh one, so that the others are not blamed
                server.close()
                server = Server()
    finally:
        server.close()


def _trials() -> dict[str, Trial]:
    return {**_bodies(), **_strangers(), **_protocol(), **_crowds(), **_ends()}


# --- bodies ---


def _bodies() -> dict[str, Trial]:
    def refused(body: bytes, *allowed: int, path: str = "/v1/translate", **headers: str) -> Trial:
        def trial(server: Server) -> str:
            began = time.monotonic()
            status, answer = server.post(body, path, **headers)
            if time.monotonic() - began > 20:
                return f"{status} after {time.monotonic() - began:.1f} s"
            return _unlike(status, answer, allowed)

        return trial

    def fields(more: str) -> bytes:
        return b'{"text": "ni hao", ' + more.encode() + b"}"

    made = {f"body {name}": refused(body, *allowed) for name, (body, *allowed) in _json_bodies().items()}
    for number, value in enumerate(_odd_values()):
        made[f"text {value[:30]}"] = refused(f'{{"text": {value}}}'.encode(), 422)
        if number < 8:
            made[f"list of {value[:30]}"] = refused(f'{{"text": [{value}]}}'.encode(), 422)
    for name in ("top", "n_best", "context", "fuzzy", "initials", "traditional", "alternatives", "lexicon"):
        for value in ("[[[]]]", "{}", "-1", "9" * 5_000, '"' + "x" * 9_000 + '"', '"\\ud800"'):
            made[f"option {name} {value[:12]} of {len(value)}"] = refused(fields(f'"{name}": {value}'), 422)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/xml",
        "a" * 900,
        "image/png",
    ):
        made[f"content type {kind[:40]}"] = refused(b'{"text": "ni hao"}', 415, content_type=kind)
    for coding in ("gzip", "br", "deflate", "gzip, gzip", "x"):
        made[f"content encoding {coding}"] = refused(b"\x1f\x8b" + bytes(1_000), 415, content_encoding=coding)
    for path, *allowed in (
        ("/v1/reload", 403),
        ("/v1/nothing", 404),
        ("/" + "a" * 9_000, 404),
        ("/health", 405),
        ("//", 404),
    ):
        made[f"path {path[:20]}"] = refused(b"{}", *allowed, path=path)
    for name, body in (("no UTF-8", b"ni hao\n\xff\n"), ("a cut letter", "你".encode()[:2])):
        made[f"stream of {name}"] = refused(body, 400, path="/v1/translate/stream")
    return made


def _json_bodies() -> dict[str, tuple]:
    million = b'{"text": [' + b"1," * 999_999 + b"1]}"
    return {
        "of 1 M numbers": (million, 413),
        "of 1 M lists": (b'{"text": [' + b"[]," * 999_999 + b"[]]}", 413),
        "of 1 M texts": (b'{"text": [' + b'"",' * 999_999 + b'""]}', 413),
        "of 300,000 names": (b"{" + b",".join(b'"n%d":1' % n for n in range(300_000)) + b"}", 413),
        "of 99,000 names": (b"{" + b",".join(b'"n%d":1' % n for n in range(99_000)) + b"}", 422),
        "of 99,000 wrong items": (b'{"text": [' + b"1," * 99_000 + b"1]}", 422),
        "of 256 wrong items": (b'{"text": [' + b"1," * 255 + b"1]}", 422),
        "of 257 lines": (json.dumps({"text": ["ni"] * 257}).encode(), 422),
        "of no lines": (b'{"text": []}', 422),
        "of 4 M brackets": (b"[" * 4_000_000, 413),
        "of 90,000 brackets": (b"[" * 90_000, 422),
        "of 50,000 nested objects": (b'{"text":' * 50_000, 422),
        "of 8 MB of quotes": (b'"' * 7_900_000, 422),
        "of 8 MB of backslashes": (b'{"text": "' + b"\\" * 7_900_000 + b'"}', 422),
        "of one line of 7 MB": (b'{"text": "' + b"a" * 7_000_000 + b'"}', 422),
        "of one line of emoji": (b'{"text": "' + "😀".encode() * 1_900_000 + b'"}', 422),
        "of 7 MB of escapes": (b'{"text": "' + b"\\u4f60" * 1_200_000 + b'"}', 422),
        "of 7 MB of blanks": (b" " * 7_000_000, 422),
        "of 9 MB": (b"x" * 9_000_000, 413, 0),
        "of a name of 7 MB": (b'{"' + b"a" * 7_000_000 + b'": 1}', 422),
        "of 256 lines of 2,000": (json.dumps({"text": ["a" * 2_000] * 256}).encode(), 413),
        "of initials": (json.dumps({"text": ["b j d x z g r m " * 8] * 16, "initials": True}).encode(), 413),
        "of 7 dear initials": (json.dumps({"text": ["b j d x z g r m " * 8] * 7, "initials": True}).encode(), 200, 503, 504),
        "of 20 long lines": (DEAR, 200, 503, 504),
        "empty": (b"", 422), "of nothing": (b"null", 422), "cut": (b'{"text": "ni', 422), "of zeros": (bytes(1_000), 422),
        "of two values": (b'{"text": "ni"} {"text": "hao"}', 422), "UTF-16": ('{"text": "ni"}'.encode("utf-16"), 422),
        "with a mark": (b'\xef\xbb\xbf{"text": "ni"}', 422), "with names twice": (b'{"text": "a", "text": "b"}', 422),
        "with half a pair": (b'{"text": "\\ud800"}', 422), "with half a pair as a name": (b'{"text": "a", "\\udfff": 1}', 422),
        "of a cycle": (b'{"text": {"text": {"text": "a"}}}', 422), "of no object": (b'["ni hao"]', 422),
        "with 1e999": (b'{"text": "a", "top": 1e999}', 422), "with a comment": (b'{"text": "a" /* */}', 422),
    }  # fmt: skip


def _odd_values() -> list[str]:
    return [
        "null",
        "true",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "0",
        "{}",
        "[[]]",
        "[null]",
        '{"a": 1}',
        "9" * 5_000,
        "'a'",
        "[1, 2",
    ]


def _unlike(status: int, answer: bytes, allowed: tuple[int, ...]) -> str:
    """Why an answer is none that was allowed, or no problem that says what is wrong."""
    if status not in allowed:
        return f"{status} {answer[:200]!r}, expected {allowed}"
    if status >= 400:
        said = json.loads(answer)
        if said["status"] != status or not said["detail"] or len(answer) > 10_000:
            return f"no short problem: {answer[:200]!r}"
    return ""


# --- strangers ---


def _strangers() -> dict[str, Trial]:
    def answered(expected: int, **headers: str) -> Trial:
        def trial(server: Server) -> str:
            sent = {name: value.replace("PORT", str(server.port)) for name, value in headers.items()}
            status, answer = server.post(b'{"text": "ni hao"}', **sent)
            return _unlike(status, answer, (expected,))

        return trial

    made = {}
    for host in (
        "evil.example",
        "evil.example:PORT",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "inside.example",
        "a b",
        "",
        "[::",
    ):
        made[f"host {host or 'empty'}"] = answered(421 if host else 200, host=host)
    for host in (
        "localhost",
        "LOCALHOST:PORT",
        "127.0.0.1:PORT",
        "[::1]:PORT",
        "model.example",
        "a.inside.example:80",
        "192.0.2.1",
    ):
        made[f"host {host}"] = answered(200, host=host)
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost:1",
        "http://127.0.0.1:PORT.evil.example",
        "https://friend.example.evil",
    ):
        made[f"origin {origin}"] = answered(403, origin=origin)
        made[f"origin {origin}, said to be cross-site"] = answered(403, origin=origin, sec_fetch_site="cross-site")
    made["origin of its own"] = answered(200, origin="http://127.0.0.1:PORT")
    made["origin of a friend"] = answered(200, origin="https://friend.example", sec_fetch_site="cross-site")
    made["cross-site without an origin"] = answered(403, sec_fetch_site="cross-site")
    made["same-site"] = answered(403, origin="http://localhost:3000", sec_fetch_site="same-site")
    made["same-origin behind a proxy"] = answered(200, origin="https://other.example", sec_fetch_site="same-origin")
    made["preflight of a stranger"] = _preflight("https://evil.example", b" 403 ", False)
    made["preflight of a friend"] = _preflight("https://friend.example", b" 200 ", True)
    return made


def _preflight(origin: str, status: bytes, allowed: bool) -> Trial:
    def trial(server: Server) -> str:
        answer = server.raw(
            b"OPTIONS /v1/translate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccess-Control-Request-Method: POST\r\n"
            b"Access-Control-Request-Headers: content-type\r\nOrigin: " + origin.encode() + b"\r\n\r\n"
        )
        right = status in answer[:20] and (b"access-control-allow-origin" in answer.lower()) == allowed
        return "" if right else f"{answer[:300]!r}"

    return trial


# --- bytes that are no proper request ---


def _protocol() -> dict[str, Trial]:
    def closed(*pieces: bytes) -> Trial:
        """A refusal or a plain end, in time; never a failure of the server's own."""

        def trial(server: Server) -> str:
            began = time.monotonic()
            answer = server.raw(*pieces)
            if b" 500 " in answer[:20] or b"Traceback" in answer:
                return f"{answer[:200]!r}"
            return f"{time.monotonic() - began:.1f} s" if time.monotonic() - began > 15 else ""

        return trial

    made = {f"bytes: {name}": closed(*pieces) for name, pieces in (_heads() | _framed()).items()}
    made["bytes: a head, letter by letter"] = _dripped(GET + b"X-Long: " + b"a" * 400)
    made["bytes: a body, letter by letter"] = _dripped(HEAD + b"Content-Length: 400\r\n\r\n" + b"a" * 100, every=200)
    return made


def _heads() -> dict[str, tuple[bytes, ...]]:
    """Request lines and headers that are none."""
    return {
        "nothing": (),
        "half a line": (b"GE",),
        "half a head": (GET + b"X: ",),
        "a body that does not come": (HEAD + b"Content-Length: 50\r\n\r\n{",),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
        "HTTP/0.9": (b"GET /\r\n",),
        "HTTP/1.0 without a host": (b"GET /health HTTP/1.0\r\n\r\n",),
        "HTTP/9": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",),
        "zeros": (bytes(100_000),),
        "newlines": (b"\r\n" * 50_000,),
        "no method": (b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",),
        "a long method": (b"A" * 90_000 + b" / HTTP/1.1\r\n\r\n",),
        "a long path": (b"GET /" + b"a" * 90_000 + b" HTTP/1.1\r\n\r\n",),
        "one long header": (GET + b"X: " + b"a" * 90_000 + b"\r\n\r\n",),
        "many headers": (GET + b"X: y\r\n" * 20_000 + b"\r\n",),
        "endless headers": (GET, *[b"X-%d: y\r\n" % n * 500 for n in range(100)]),
        "no host": (b"GET /health HTTP/1.1\r\n\r\n",),
        "two hosts": (GET + b"Host: evil.example\r\n\r\n",),
        "folded headers": (GET + b"X: a\r\n b\r\n\r\n",),
        "a header without a name": (GET + b": a\r\n\r\n",),
        "zeros in a header": (GET + b"X: \x00\r\n\r\n",),
        "no carriage returns": (GET.replace(b"\r", b"") + b"\n",),
        "an absolute address": (
            b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        "CONNECT": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",),
        "a web socket": (
            GET
            + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n",
        ),
    }


def _framed() -> dict[str, tuple[bytes, ...]]:
    """Bodies that are not as long as is said of them, and requests after requests."""
    return {
        "a length below zero": (HEAD + b"Content-Length: -1\r\n\r\n",),
        "a length of letters": (HEAD + b"Content-Length: ten\r\n\r\n",),
        "a length of 5,000 digits": (HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",),
        "a length of exabytes": (HEAD + b"Content-Length: 999999999999999999\r\n\r\n",),
        "two lengths": (HEAD + b"Content-Length: 18\r\nContent-Length: 5\r\n\r\n" + GOOD,),
        "a length and chunks": (HEAD + b"Content-Length: 18\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + WHOLE,),
        "an unknown transfer coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + GOOD,),
        "chunks of no number": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",),
        "a chunk of exabytes": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + bytes(1_000),),
        "chunks without an end": (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 140,
        ),
        "chunks of a byte": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n" * 1_000] * 20),
        "a long chunk extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 90_000 + b"\r\n \r\n",),
        "endless trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 20_000,),
        "a body after the body": (WHOLE + b"x" * 1_000,),
        "an expectation": (HEAD + b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n",),
        "a body to a stranger": (
            b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 7000000\r\n\r\n",
            *[bytes(65_536)] * 100,
        ),
        "100 requests at once": (WHOLE * 100,),
        "2,000 requests at once": ((GET + b"\r\n") * 2_000,),
        "a request and rubbish": (WHOLE + b"\x00\xff" * 500,),
        "form without a boundary": (
            HEAD.replace(b"application/json", b"multipart/form-data") + b"Content-Length: 2\r\n\r\n{}",
        ),
    }


def _dripped(sent: bytes, every: int = 1) -> Trial:
    """Slower than the server waits: it must hang up, or say 408."""

    def trial(server: Server) -> str:
        until = time.monotonic() + 20
        with contextlib.suppress(OSError), server.connect(0.05) as held:
            held.sendall(sent[:every])
            for place in range(every, len(sent)):
                with contextlib.suppress(TimeoutError):
                    if not (answer := held.recv(100)) or b" 408 " in answer:
                        return ""
                held.sendall(sent[place : place + 1])
                if time.monotonic() > until:
                    return "the connection was still held after 20 s"
            return "all was taken"
        return ""

    return trial


# --- many, slow and abandoned ---


def _crowds() -> dict[str, Trial]:
    made = {
        "20 dear requests, and a small one passes": _passes,
        "40 abandoned dear requests": _abandoned(40, DEAR),
        "300 abandoned small requests": _abandoned(300, b'{"text": "ni hao"}'),
        "8 abandoned streams": _abandoned(8, b"".join([LONG.encode() + b"\n"] * 200_000), b"/v1/translate/stream"),
        "8 streams that nobody reads": _unread(8),
        "400 idle connections": _idle(400),
        "400 connections with half a head": _idle(400, b"GET / HTTP/1.1\r\nHo"),
        "40 bodies that do not end": _idle(40, HEAD + b"Content-Length: 7000000\r\n\r\n" + b" " * 6_000_000),
        "80 large bodies at once": _flood(80, b'{"text": "' + b"a" * 7_000_000 + b'"}'),
        "30 bodies of 99,000 values at once": _flood(30, b'{"text": [' + b"[]," * 98_000 + b"[]]}"),
        "200 small requests at once": _flood(200, b'{"text": "women"}'),
        "40 lists at once": _flood(40, json.dumps({"text": [LONG] * 60, "n_best": 20, "alternatives": True}).encode()),
        "the model is killed": _killed,
        "a connection that is reset": _reset,
        "an answer that is not taken": _not_taken,
    }
    return made


def _passes(server: Server) -> str:
    with ThreadPoolExecutor(20) as pool:
        long = [pool.submit(server.post, DEAR) for _ in range(20)]
        time.sleep(0.5)
        began = time.monotonic()
        status, _ = server.post(b'{"text": "ni hao"}')
        took = time.monotonic() - began
        wrong = {status for status, _ in (one.result() for one in long)} - {200, 503, 504}
    if status not in (200, 503) or took > 25:
        return f"{status} after {took:.1f} s beside dear requests"
    return f"dear requests: {wrong}" if wrong else ""


def _abandoned(count: int, body: bytes, path: bytes = b"/v1/translate") -> Trial:
    def trial(server: Server) -> str:
        for _ in range(count):
            with contextlib.suppress(OSError), server.connect() as held:
                head = HEAD.replace(b"/v1/translate", path) + b"Content-Length: %d\r\n\r\n" % len(body)
                held.sendall(head + body)
                time.sleep(0.005)
        return "" if server.within(20, lambda: _waiting(server) == 0) else "abandoned work is still in the queue"

    return trial


def _waiting(server: Server) -> float:
    answer = server.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return sum(
        float(line.split()[1])
        for line in answer.splitlines()
        if line.startswith((b"bmtool_queue ", b"bmtool_memory_held_bytes "))
    )


def _unread(count: int) -> Trial:
    body = b"".join([b"ni hao\n"] * 500_000)

    def trial(server: Server) -> str:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                held = stack.enter_context(server.connect())
                held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                head = HEAD.replace(b"/v1/translate", b"/v1/translate/stream") + b"Content-Length: %d\r\n\r\n" % len(
                    body
                )
                with contextlib.suppress(OSError):
                    held.sendall(head + body)
            return server.problem()

    return trial


def _idle(count: int, sent: bytes = b"") -> Trial:
    def trial(server: Server) -> str:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    held = stack.enter_context(server.connect(2.0))
                    held.sendall(sent)
            return server.problem()

    return trial


def _flood(count: int, body: bytes) -> Trial:
    def trial(server: Server) -> str:
        with ThreadPoolExecutor(min(count, 40)) as pool:
            found = [status for status, _ in pool.map(lambda _: server.post(body), range(count))]
        return f"answers {sorted(set(found))}" if 500 in found or set(found) == {0} else ""

    return trial


def _killed(server: Server) -> str:
    before = server.model()
    os.kill(before, signal.SIGKILL)
    status, _ = server.post(b'{"text": "ni hao"}')
    if status not in (200, 503):
        return f"{status} when the model had died"
    return "" if server.within(60, lambda: server.get("/ready") == 200) else "the model was not started again"


def _reset(server: Server) -> str:
    for _ in range(50):
        held = server.connect()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        held.sendall(HEAD + b"Content-Length: 18\r\n\r\n" + b'{"text": "ni hao"}')
        held.close()
    return ""


def _not_taken(server: Server) -> str:
    """Answers of 100 requests on one connection, none of which is read: the server must hang up."""
    with server.connect(0.5) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                held.sendall(page * 100)
            except TimeoutError:
                continue
            except OSError:
                return ""
    return "a client that takes nothing is still served"


# --- ends ---


def _ends() -> dict[str, Trial]:
    """Each on a server of its own, which gets SIGTERM in the middle of something."""

    def ending(begin: Callable[[Server, contextlib.ExitStack], object]) -> Trial:
        def trial(_: Server) -> str:
            server = Server()
            with contextlib.ExitStack() as stack:
                begin(server, stack)
                time.sleep(0.3)
                began = time.monotonic()
                server.close()
                took = time.monotonic() - began
            if server.process.returncode:
                return f"it ended with {server.process.returncode}"
            return f"it took {took:.1f} s to end" if took > END_SECONDS else ""

        return trial

    def dear(server: Server, stack: contextlib.ExitStack) -> None:
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for _ in range(8):
            pool.submit(server.post, DEAR)

    def half(server: Server, stack: contextlib.ExitStack) -> None:
        for sent in (b"", b"GET / HT", HEAD + b"Content-Length: 50\r\n\r\n{", HEAD):
            stack.enter_context(server.connect()).sendall(sent)

    def unread(server: Server, stack: contextlib.ExitStack) -> None:
        held = stack.enter_context(server.connect())
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        body = b"ni hao\n" * 100_000
        held.sendall(
            HEAD.replace(b"/v1/translate", b"/v1/translate/stream") + b"Content-Length: %d\r\n\r\n" % len(body) + body
        )

    def dying(server: Server, stack: contextlib.ExitStack) -> None:
        os.kill(server.model(), signal.SIGKILL)
        server.post(b'{"text": "ni hao"}')

    return {
        "SIGTERM in the middle of 8 dear requests": ending(dear),
        "SIGTERM beside half requests": ending(half),
        "SIGTERM beside a stream that nobody reads": ending(unread),
        "SIGTERM while the model starts again": ending(dying),
    }
