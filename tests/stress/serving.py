"""A server to try things on: in a process of its own, with short limits of time, and its memory looked at."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 1_000_000_000
# The limits of docs/deploy.md, so much shorter that waiting for one takes a second.
LAUNCH = """
import functools, sys
from bmtool.commands import serve
from bmtool.serve import connections, settings
settings.Settings = functools.partial(settings.Settings, body_seconds=1.0, revive_seconds=0.5)
connections.HEAD_SECONDS = connections.WRITE_SECONDS = 1.0
serve.FINISH_SECONDS, serve.CLOSE_SECONDS = 1, 3
serve.serve(port=int(sys.argv[1]), memory=sys.argv[2], cors=["https://friend.example"], host_names=["model.example", "*.inside.example"])
"""
END_SECONDS = 10.0  # within which such a server ends: 3 for connections, and a second for the model, on a busy machine


class Server:
    def __init__(self, *command: str, memory: int = MEMORY):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.port = held.getsockname()[1]
        self.memory = memory
        launch = [sys.executable, "-c", LAUNCH, str(self.port), f"{memory}B"]
        self.log: list[str] = []
        self.process = subprocess.Popen([*command, *launch], cwd=ROOT, stderr=subprocess.DEVNULL)
        self.within(120, lambda: self.get("/ready") == 200)

    def within(self, seconds: float, holds) -> bool:
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until or self.process.poll() is not None:
                return False
            time.sleep(0.05)
        return True

    def get(self, path: str) -> int:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as held,
        ):
            held.request("GET", path)
            return held.getresponse().status
        return 0

    def post(self, body: bytes, path: str = "/v1/translate", **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer; 0 when the connection was closed without one."""
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as held:
                held.request("POST", path, body, sent)
                answer = held.getresponse()
                return answer.status, answer.read()
        except OSError:
            return 0, b""

    def connect(self, seconds: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def raw(self, *pieces: bytes) -> bytes:
        """All that comes back for these bytes until the server closes, a second of silence, or 200 KB."""
        found = b""
        with contextlib.suppress(OSError), self.connect(1.5) as held:
            for piece in pieces:
                held.sendall(piece)
            while len(found) < 200_000 and (more := held.recv(65_536)):
                found += more
        return found

    def pids(self) -> Iterator[int]:
        """The server and what it started."""
        left = [self.process.pid]
        while left:
            pid = left.pop()
            yield pid
            with contextlib.suppress(OSError):
                for file in Path(f"/proc/{pid}/task").glob("*/children"):
                    left += map(int, file.read_text().split())

    def model(self) -> int:
        """The process that holds the model."""
        return next(pid for pid in self.pids() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def bytes(self, field: str = "VmRSS") -> int:
        """Memory of all its processes; VmHWM: the most that each has had."""
        return sum(_status(pid, field) for pid in self.pids())

    def problem(self) -> str:
        """What is wrong with it now: "" when it answers, rightly, within its memory."""
        if self.process.poll() is not None:
            return f"the server ended with {self.process.returncode}"
        began = time.monotonic()
        if self.get("/health") != 200:
            return "/health does not answer"
        if time.monotonic() - began > 5:
            return f"/health took {time.monotonic() - began:.1f} s"
        if not self.within(30, lambda: self.get("/ready") == 200):
            return "it is not ready again"
        status, body = self.post(b'{"text": "ni hao"}')
        if status != 200 or json.loads(body)["text"] != "你好":
            return f"a good request is answered {status} {body[:200]!r}"
        if time.monotonic() - began > 30:
            return f"a good request took {time.monotonic() - began:.1f} s"
        most = self.bytes("VmHWM")
        return f"{most / 1e6:.0f} MB of {self.memory / 1e6:.0f}" if most > self.memory else ""

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _status(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return 1024 * int(line.split()[1])
    return 0
