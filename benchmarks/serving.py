"""`bmtool serve` under load on loopback: latency and errors, with batching and without, its overhead, and memory over a long run.

python benchmarks/serving.py [--seconds 60] [--connections 64] [--soak 0]
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SENTENCES = Path(__file__).parent.parent / "data" / "pinyin2hanzi" / "sentences" / "news.txt"
SYLLABLES = 12
PORT = 8765


def sentences() -> list[str]:
    """Toneless syllables of SYLLABLES hanzi each, out of the embedded sample."""
    from bmtool.chinese.readings import labeller

    text = "".join(c for c in SENTENCES.read_text("utf-8") if "一" <= c <= "鿿")
    pieces = [text[start : start + SYLLABLES] for start in range(0, len(text) - SYLLABLES, SYLLABLES)]
    return [" ".join(labeller().lazy(piece)) for piece in pieces]


class Server:
    """A server in a process of its own."""

    def __init__(self, *options: str):
        self.options = options

    def __enter__(self) -> "Server":
        command = [sys.executable, "-m", "bmtool", "serve", "--port", str(PORT), *self.options]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while True:
            try:
                asyncio.run(asyncio.open_connection("127.0.0.1", PORT))
                return self
            except OSError:
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        if self.process.wait(40):
            sys.exit(f"the server ended with {self.process.returncode}")

    def megabytes(self) -> float:
        """Resident memory of the server and of its model's process."""
        pid = self.process.pid
        children = [c for file in Path(f"/proc/{pid}/task").glob("*/children") for c in file.read_text().split()]
        return sum(_resident(number) for number in (pid, *children)) / 1024


def _resident(pid: int | str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def connection(lines: list[str], until: float, seconds: list[float], errors: list[str]) -> None:
    """One client that asks again as soon as it is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    number = id(reader) % len(lines)
    while time.perf_counter() < until:
        body = json.dumps({"text": lines[number % len(lines)]}).encode()
        number += 1
        began = time.perf_counter()
        writer.write(
            b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        seconds.append(time.perf_counter() - began)
        if b" 200 " not in head.split(b"\r\n")[0]:
            errors.append(head.split(b"\r\n")[0].decode())
    writer.close()


def load(lines: list[str], connections: int, duration: float) -> tuple[np.ndarray, list[str]]:
    """Milliseconds of every request, and what went wrong."""
    seconds: list[float] = []
    errors: list[str] = []

    async def all_of_them() -> None:
        until = time.perf_counter() + duration
        await asyncio.gather(*(connection(lines, until, seconds, errors) for _ in range(connections)))

    asyncio.run(all_of_them())
    return 1000 * np.array(seconds), errors


def show(name: str, milliseconds: np.ndarray, errors: list[str], duration: float) -> float:
    rate = len(milliseconds) / duration
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    print(
        f"{name:34} {rate:6,.0f} requests/s   p50 {p50:.1f}  p95 {p95:.1f}  p99 {p99:.1f} ms   {len(errors)} errors {errors[:1] or ''}"
    )
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--soak", type=float, default=0, help="minutes of load with a look at the memory every minute")
    arguments = parser.parse_args()
    lines = sentences()
    with Server() as server:
        load(lines, 8, 3)
        gathered = show(
            "gathered into batches", *load(lines, arguments.connections, arguments.seconds), arguments.seconds
        )
        alone = load(lines, 1, 5)[0]
        held = [server.megabytes()]
        for _ in range(int(arguments.soak)):
            errors = load(lines, arguments.connections, 60)[1]
            held.append(server.megabytes())
            print(f"soak: {held[-1]:.0f} MB, {len(errors)} errors", flush=True)
    with Server("--batch", "1", "--wait-ms", "0") as server:
        load(lines, 8, 3)
        single = show(
            "one at a time (--batch 1)",
            *load(lines, arguments.connections, arguments.seconds / 3),
            arguments.seconds / 3,
        )
        unwaited = load(lines, 1, 5)[0]
    print(f"batching gives {gathered / single:.2f} times the throughput")
    from bmtool import Model

    translator, inside = Model(), []
    for line in (lines * 3)[:400]:
        began = time.perf_counter()
        translator.predict([line])
        inside.append(1000 * (time.perf_counter() - began))
    inner = statistics.median(inside[50:])
    print(
        f"one client: {np.median(alone):.1f} ms, without waiting for others {np.median(unwaited):.1f} ms; in process {inner:.1f} ms"
    )
    print(f"memory {' '.join(f'{m:.0f}' for m in held)} MB")


if __name__ == "__main__":
    main()
