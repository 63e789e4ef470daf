"""What outlives a request: the model in use, its batcher and its counters."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bmtool.errors import BadInput, BmtoolError, ConfigError
from bmtool.predict.contract import Options
from bmtool.registry import Entry, find
from bmtool.serve import costs
from bmtool.serve.batcher import Batcher, Busy, Ending, Limits
from bmtool.serve.bodies import Asked
from bmtool.serve.memory import Held, Memory
from bmtool.serve.problems import ProblemError
from bmtool.serve.process import Gone, ModelProcess
from bmtool.serve.settings import Settings

PATHS = {
    "/",
    "/v1/translate",
    "/v1/translate/stream",
    "/v1/predict",
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/models",
    "/v1/model",
    "/v1/reload",
    "/health",
    "/ready",
    "/metrics",
}
COPIES = 2  # of an answer: its parts, and the whole


class Service:
    """The model in use, its batcher and its counters."""

    batcher: Batcher  # from `start` on

    def __init__(self, path: str, model: ModelProcess, settings: Settings, warn: Callable[[str], None]):
        self.path, self.model, self.settings, self.warn = path, model, settings, warn
        self.memory = Memory(settings.room)
        self.ready = False
        self.writing = 0  # texts that are being written
        self._ended = False
        self._starting: ModelProcess | None = None
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
        self.texts = Gauge("bmtool_writing", "Texts that are being written.", registry=self.registry)
        self.held = Gauge("bmtool_memory_held_bytes", "Memory that requests under way hold.", registry=self.registry)
        self._reloading = asyncio.Lock()
        self._background: set[asyncio.Task] = set()

    @property
    def entry(self) -> Entry:
        return find(self.model.task)

    def start(self) -> None:
        s = self.settings
        limits = Limits(s.batch, costs.of_run(self.entry.takes, s), s.wait_ms, s.queue)
        self.batcher = Batcher(self._run, limits, self.sizes.observe)
        self.waiting.set_function(lambda: self.batcher.waiting)
        self.texts.set_function(lambda: self.writing)
        self.held.set_function(lambda: self.memory.held)
        self.ready = True
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)

    def end(self, seconds: float) -> None:
        """Take no new work; what is under way has so many seconds before it is answered 503."""
        self.ready, self._ended = False, True
        asyncio.get_running_loop().call_later(seconds, self.batcher.end)

    async def stop(self) -> None:
        """When all have been answered: nobody waits for what the model still does."""
        self.ready, self._ended = False, True
        for task in self._background:
            task.cancel()
        if self.batcher.running or self._starting is not None:
            self.kill()
        self.batcher.close()
        self.model.close()

    def kill(self) -> None:
        """End the model now, and one that is being loaded."""
        for process in (self.model, self._starting):
            if process is not None:
                process.kill()

    def _run(self, options: Options | str, inputs: list) -> list:
        """In the batcher's thread."""
        with self._in_use:
            return self.model.run(options, inputs)

    async def ask(self, asked: Asked, held: Held) -> list:
        """Answers of the model in use now. 503 when too much waits or the model starts again, 504 when it takes too long."""

        def keep(answers: list) -> None:
            held.more(sum(COPIES * len(answer) for answer in answers if isinstance(answer, bytes)))

        work = self.batcher.ask(asked.inputs, asked.options, costs=asked.costs, keep=keep)
        try:
            return await asyncio.wait_for(work, self.settings.answer_seconds)
        except Busy as error:
            raise ProblemError(503, "too many requests wait: try again", {"Retry-After": "1"}) from error
        except Ending as error:
            raise ProblemError(503, "the server ends: ask another", {"Retry-After": "5"}) from error
        except Gone as error:
            self._on_gone()
            raise ProblemError(503, "the model starts again: try again", {"Retry-After": "2"}) from error
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ProblemError(504, f"no answer within {self.settings.answer_seconds:g} s") from error

    def _on_gone(self) -> None:
        if self.ready:
            self.ready = False
            self.warn("the model's process has ended (for want of memory?): it is started again")
            self.later(self._revive())

    async def answer(self, asked: Asked, held: Held) -> bytes:
        """JSON: one answer for one input, `answers` for a list. ProblemError for an input that cannot be used."""
        answers = await self.ask(asked, held)
        for number, found in enumerate(answers, 1):
            if isinstance(found, BadInput):
                raise ProblemError(422, f"{self.entry.takes} {number}: {found}")
        return answers[0] if asked.single else b'{"answers":[' + b",".join(answers) + b"]}"

    async def reload(self, held: Held | None = None) -> dict:
        """Load the model again from where it lies, and use it from the next run on; what runs ends with the old one.

        Two models are in memory meanwhile, which `held` answers for; without it the old one is gone.
        """
        async with self._reloading:
            if held is not None:
                held.more(self.model.bytes)
            await asyncio.get_running_loop().run_in_executor(None, self._replace)
        return self.model.about

    def _replace(self) -> None:
        self._starting = self.model.again()
        try:
            fresh = self._starting.load()
        finally:
            self._starting = None
        if self._ended:
            fresh.close()
            return
        if fresh.task != self.model.task:
            fresh.close()
            raise ConfigError(f"{self.path} is a model of {fresh.task} now: start a new server for it")
        with self._in_use:
            old, self.model = self.model, fresh
        old.close()

    def _on_hangup(self) -> None:
        async def attempt() -> None:
            held = self.memory.hold()
            try:
                await self.reload(held)
            except (BmtoolError, ProblemError) as error:
                self.warn(f"reload failed, the old model stays: {error}")
            finally:
                held.release()

        self.later(attempt())

    async def _revive(self) -> None:
        """Start the model until it starts."""
        while not self.ready:
            try:
                await self.reload()
                self.ready = True
            except BmtoolError as error:
                self.warn(f"the model does not start: {error}")
                await asyncio.sleep(self.settings.revive_seconds)

    def later(self, work: Coroutine) -> None:
        """Do it beside what is asked; it is not waited for."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def seen(self, path: str, status: int, seconds: float) -> None:
        shown = path if path in PATHS else "other"
        self.requests.labels(shown, str(status)).inc()
        self.latency.labels(shown).observe(seconds)
