"""A server under mixed traffic for as long as one likes: good requests, bad ones, abandoned ones, slow ones. Its memory must not grow."""

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

from stress import Attempt
from stress.server import HEAD
from stress.serving import Server

WARM = 0.5  # share of the time in which it meets runs of all sizes; what memory it had then it may keep
GROWTH = 60_000_000  # bytes that all processes together may take more after that
CLIENTS = 6
KNOWN = {"ni hao": "你好", "jintian tianqi henhao": "今天天气很好", "zaijian": "再见"}


class Soak:
    """Clients that ask by turns, and what went wrong."""

    def __init__(self, server: Server, until: float):
        self.server, self.until = server, until
        self.asked: Counter[str] = Counter()
        self.wrong: list[str] = []

    def client(self, seed: int) -> None:
        draw = random.Random(seed)
        kinds = (self.good, self.many, self.bad, self.abandoned, self.slow, self.stream)
        while time.monotonic() < self.until:
            kind = draw.choices(kinds, (60, 10, 10, 10, 5, 5))[0]
            self.asked[kind.__name__] += 1
            if problem := kind(draw):
                self.wrong.append(f"{kind.__name__}: {problem}")

    def good(self, draw: random.Random) -> str:
        line = draw.choice(list(KNOWN))
        status, body = self.server.post(json.dumps({"text": line}).encode())
        if status in (503, 504):
            return ""
        right = status == 200 and json.loads(body)["text"] == KNOWN[line]
        return "" if right else f"{line} gave {status} {body[:100]!r}"

    def many(self, draw: random.Random) -> str:
        lines = draw.choices(list(KNOWN), k=draw.randint(2, 250))
        status, body = self.server.post(json.dumps({"text": lines, "n_best": draw.randint(1, 20)}).encode())
        if status in (503, 504):
            return ""
        right = status == 200 and [answer["text"] for answer in json.loads(body)["answers"]] == [
            KNOWN[line] for line in lines
        ]
        return "" if right else f"{len(lines)} lines gave {status} {body[:100]!r}"

    def bad(self, draw: random.Random) -> str:
        body = draw.choice(
            (
                b"[" * 90_000,
                b'{"text": [' + b"1," * 50_000 + b"1]}",
                b'{"text": 3}',
                b"\xff",
                b'{"text": "' + b"a" * 3_000_000 + b'"}',
            )
        )
        status, _ = self.server.post(body)
        return "" if status in (422, 503) else str(status)

    def abandoned(self, draw: random.Random) -> str:
        body = json.dumps({"text": ["women yiqi qu gongyuan sanbu ba " * 4] * draw.randint(1, 60)}).encode()
        with contextlib.suppress(OSError), self.server.connect() as held:
            held.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(draw.random() / 5)
        return ""

    def slow(self, draw: random.Random) -> str:
        body = json.dumps({"text": "ni hao"}).encode()
        with contextlib.suppress(OSError), self.server.connect() as held:
            held.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
            for letter in body[: draw.randint(1, len(body))]:
                held.sendall(bytes([letter]))
                time.sleep(0.02)
        return ""

    def stream(self, draw: random.Random) -> str:
        lines = draw.choices(list(KNOWN), k=draw.randint(1, 500))
        status, body = self.server.post("\n".join(lines).encode(), "/v1/translate/stream", content_type="text/plain")
        if status == 503:
            return ""
        said = [json.loads(line) for line in body.splitlines()]
        if said and "problem" in said[-1]:
            lines = lines[: len(said) - 1]
            said.pop()
        right = status == 200 and [answer["text"] for answer in said] == [KNOWN[line] for line in lines]
        return "" if right else f"{len(lines)} lines gave {status} and {len(said)} answers"


def attempts(sample: int | None, seed: int) -> Iterator[Attempt]:
    """Ten minutes; a sample is one, which says little about memory. There is nothing to draw: traffic depends on the server's pace."""
    yield from soak(10 if sample is None else 1)


def soak(minutes: float) -> Iterator[Attempt]:
    """One attempt for the answers, one for the memory after the warm-up, one for the state at the end."""
    server = Server()
    try:
        run = Soak(server, time.monotonic() + 60 * minutes)
        clients = [threading.Thread(target=run.client, args=(seed,)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        warm, most = _watched(server, run.until, 60 * minutes)
        for client in clients:
            client.join()
        asked = ", ".join(f"{count} {name}" for name, count in sorted(run.asked.items()))
        yield Attempt(f"soak, {minutes:g} min: {asked}", "; ".join(run.wrong[:3]))
        grown = f"{(most - warm) / 1e6:+.0f} MB" if most > warm + GROWTH else ""
        yield Attempt(f"soak: memory {warm / 1e6:.0f} MB after warming up, {most / 1e6:.0f} MB at most later", grown)
        yield Attempt("soak: the server afterwards", server.problem())
    finally:
        server.close()


def _watched(server: Server, until: float, seconds: float) -> tuple[int, int]:
    """The most memory while it warmed up, and after."""
    warm, later = 0, 0
    while (now := time.monotonic()) < until:
        taken = server.bytes()
        if now < until - (1 - WARM) * seconds:
            warm = max(warm, taken)
        else:
            later = max(later, taken)
        time.sleep(0.5)
    return warm, later
