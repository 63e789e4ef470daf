"""`serve`: a model over HTTP."""

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bmtool.base.memory import available, resident
from bmtool.base.needs import needs
from bmtool.commands.lines import warn
from bmtool.errors import ConfigError, Interrupted, ResourceError

if TYPE_CHECKING:
    import uvicorn

    from bmtool.serve.guard import Guard
    from bmtool.serve.process import ModelProcess
    from bmtool.serve.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
FINISH_SECONDS = 20  # after a signal, for what runs; then it is answered 503
CLOSE_SECONDS = 25  # after a signal, for clients to take their answers; then connections are closed
PACKAGES = "fastapi uvicorn prometheus-client python-multipart jinja2"


def serve(  # noqa: PLR0913
    model: str | Path = "default", *, host: str = "127.0.0.1", port: int = 8000, api_key: str | None = None, is_open: bool = False,
    memory: str | None = None, host_names: Sequence[str] = (), cors: Sequence[str] = (), batch: int = 64, wait_ms: float = 3.0,
    queue: int = 512, documents: str | None = None,
) -> None:  # fmt: skip
    """Answer until a signal comes; then finish what runs, and return. Interrupted when a second one comes before that.

    `documents` is a file or folder that a model of question-answering looks questions up in. `memory` is what the server and its model
    may take together, such as "2GB"; three quarters of what there is unless it is given.

    ConfigError when others than this machine could reach a server without a key; ResourceError when the port is taken, or the memory
    too little for the model.
    """
    with needs(PACKAGES, "serving takes packages of its own"):
        import uvicorn  # noqa: F401  here, before a model is loaded

        from bmtool.serve import app  # noqa: F401  here, too
        from bmtool.serve import memory as budget
        from bmtool.serve.origins import require_origins
        from bmtool.serve.process import ModelProcess
        from bmtool.serve.settings import Settings
    if host not in LOOPBACK and not api_key and not is_open:
        raise ConfigError(
            f"--host {host} lets other machines in: give an --api-key (or BMTOOL_API_KEY), or --open to let everyone in"
        )
    require_origins(cors)
    limit = budget.size(memory) if memory else int(budget.SHARE * available())
    settings = Settings(
        api_key=api_key or None, host_names=(host, *host_names), cors=tuple(cors), memory=limit, batch=batch, wait_ms=wait_ms, queue=queue
    )  # fmt: skip
    log_to_stderr(logging.INFO)
    with (
        closing(bound(host, port)) as taken,
        closing(
            ModelProcess(str(model), memory=limit, run_seconds=settings.run_seconds, documents=documents).load()
        ) as process,
    ):
        room = budget.room(limit, resident() + process.bytes)
        settings = replace(settings, room=room // 2, run_bytes=room // 2)
        _run(str(model), process, settings, taken)


def _run(model: str, process: "ModelProcess", settings: "Settings", taken: socket.socket) -> None:
    """Serve at an address that is taken until a signal comes."""
    from bmtool.serve.app import create
    from bmtool.serve.service import Service

    service = Service(model, process, settings, warn)
    listen(create(service), taken, f"{model} ({process.task})", lambda: service.end(FINISH_SECONDS))


def listen(app: "Guard", taken: socket.socket, what: str, end: Callable[[], None]) -> None:
    """Answer at an address that is taken until a signal comes, then `end`. Interrupted when a second one comes before that is done."""
    import uvicorn

    from bmtool.serve.connections import Connection

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on",
        http=Connection, timeout_graceful_shutdown=CLOSE_SECONDS, timeout_keep_alive=30, limit_concurrency=app.settings.connections,
        h11_max_incomplete_event_size=65_536, ws="none",
    )  # fmt: skip
    host, port = taken.getsockname()[:2]
    print(f"{what} at http://{host}:{port}/", file=sys.stderr, flush=True)
    server = _server(config, end)
    server.run(sockets=[taken])
    if server.force_exit:
        raise Interrupted("a second signal came: what ran was not finished")


def bound(host: str, port: int) -> socket.socket:
    """An address of ours, at which nobody is heard before the model is loaded. ResourceError when another program has it."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise ResourceError(f"cannot listen on {host}:{port} ({error.strerror}): choose another with --port") from error
    # asyncio does this for sockets that it makes itself; without it an answer waits up to 40 ms for the client's acknowledgement.
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken


def _server(config: "uvicorn.Config", end: Callable[[], None]) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            end()
            await super().shutdown(sockets)

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """SIGTERM and SIGINT end the server and nothing else: uvicorn would raise the signal again, and the exit code were not 0."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)


class _Line(logging.Formatter):
    """A line of JSON a record; ours are JSON already."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name == "bmtool.serve":
            return message
        return json.dumps(
            {"time": round(record.created, 3), "level": record.levelname.lower(), "message": message},
            ensure_ascii=False,
        )


def log_to_stderr(level: int) -> None:
    """What the server says from this level on; what serves it, from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    for name, least in (("bmtool.serve", level), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)
