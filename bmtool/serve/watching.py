"""A run while it is trained, as a page that follows it: the page of its report, and what has been written since the last look."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

import bmtool
from bmtool.base.pages import known
from bmtool.engine.record import Record
from bmtool.engine.series import series
from bmtool.runs import page
from bmtool.runs.contents import contents
from bmtool.serve.app import HEADERS, show_problems
from bmtool.serve.guard import Guard
from bmtool.serve.memory import Memory
from bmtool.serve.settings import Settings


class Watched:
    """metrics.jsonl is read on from where the last look ended; a training that goes on may write it anew, which makes a new generation."""

    def __init__(self, path: str | Path, warn: Callable[[str], None]):
        self.record, self._warn = Record.open(path), warn
        self._looking = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._offset, self._file, self._generation = 0, 0, 0

    def since(self, first: int, generation: int) -> dict[str, Any]:
        """All that the run says, and of its curves what came after so many events of a generation."""
        with self._looking:
            self._look()
            new = self._events[first if generation == self._generation else 0 :]
            run = contents(self.record.path, self._warn, events=self._events)
            shown = run | {"series": page.thinned(series(new))}
            return {"generation": self._generation, "events": len(new), "run": shown}

    def _look(self) -> None:
        if not self.record.metrics.is_file():
            return
        with self.record.metrics.open("rb") as stream:
            self._begin_anew_where_it_was_replaced(self.record.metrics.stat())
            stream.seek(self._offset)
            whole = stream.read()
        whole = whole[: whole.rfind(b"\n") + 1]
        self._events += self.record.events_of(whole, len(self._events) + 1, self._warn)
        self._offset += len(whole)

    def _begin_anew_where_it_was_replaced(self, found: Any) -> None:
        if found.st_ino != self._file or found.st_size < self._offset:
            self._file, self._offset, self._events = found.st_ino, 0, []
            self._generation += 1


def create(watched: Watched) -> Guard:
    """The application, guarded as the server is: for pages of its own, by its own name."""
    app, settings = FastAPI(title="bmtool", version=bmtool.__version__, docs_url=None, redoc_url=None), Settings()
    show_problems(app)
    text = page.template()
    policy = (
        f"default-src 'none'; script-src {known(text, 'script')}; style-src {known(text, 'style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @app.get("/")
    def root() -> HTMLResponse:
        return HTMLResponse(text)

    @app.get("/v1/run")
    def run(first: int = 0, generation: int = 0) -> dict[str, Any]:
        return watched.since(max(0, first), generation)

    headers = HEADERS | {"Content-Security-Policy": policy}
    return Guard(app, settings, memory=Memory(settings.room), headers=headers, seen=lambda path, status, seconds: None)
