"""What outlives a request: the model in use, its batcher and its counters."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bmtool.errors import BadInput, BmtoolError, ConfigError
from bmtool.predict.contract import Options
from bmtool.registry import Entry, find
from bmtool.serve.batcher import Batcher, Busy
from bmtool.serve.bodies import Asked
from bmtool.serve.problems import ProblemError
from bmtool.serve.process import Gone, ModelProcess
from bmtool.serve.settings import Settings

PATHS = {
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


class Service:
    """The model in use, its batcher and its counters."""

    batcher: Batcher  # from `start` on

    def __init__(self, path: str, model: ModelProcess, settings: Settings, warn: Callable[[str], None]):
        self.path, self.model, self.settings, self.warn = path, model, settings, warn
        self.ready = False
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
        self.waiting = Gauge("bmtool_queue", "Inputs that wait for the model.", registry=self.registry)
        self._reloading = asyncio.Lock()
        self._background: set[asyncio.Task] = set()

    @property
    def entry(self) -> Entry:
        return find(self.model.task)

    def start(self) -> None:
        s = self.settings
        self.batcher = Batcher(self._run, batch=s.batch, wait_ms=s.wait_ms, queue=s.queue, watch=self.sizes.observe)
        self.waiting.set_function(lambda: self.batcher.waiting)
        self.ready = True
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def stop(self) -> None:
        self.ready = False
        for task in self._background:
            task.cancel()
        await self.batcher.close()
        self.model.close()

    def _run(self, options: Options, inputs: list) -> list:
        """In the batcher's thread."""
        with self._in_use:
            return self.model.run(options, inputs)

    async def ask(self, inputs: list, options: Options) -> list:
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

    async def answer(self, asked: Asked) -> Any:
        """One answer for one input, `answers` for a list. ProblemError for an input that cannot be used."""
        answers = await self.ask(asked.inputs, asked.options)
        for number, found in enumerate(answers, 1):
            if isinstance(found, BadInput):
                raise ProblemError(422, f"{self.entry.takes} {number}: {found}")
        return answers[0] if asked.single else {"answers": answers}

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
        shown = path if path in PATHS else "other"
        self.requests.labels(shown, str(status)).inc()
        self.latency.labels(shown).observe(seconds)
