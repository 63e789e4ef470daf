"""Requests that come at the same time are one run of the model."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple


class Busy(Exception):
    """The queue is full: the request is refused now rather than answered too late."""


class _Waiting(NamedTuple):
    inputs: Sequence[Any]
    options: Hashable
    done: asyncio.Future


class Batcher:
    """Gathers inputs for at most `wait_ms` and hands up to `batch` of them to `run(options, inputs)`, in a thread of its own.

    Only inputs with equal options share a run, and `run` answers each input by itself, so an answer does not depend on its
    neighbours. At most `queue` inputs wait; beyond that `Busy` is raised. `watch(inputs)` hears of the size of every run.
    """

    def __init__(
        self, run: Callable[[Any, list], list], *, batch: int, wait_ms: float, queue: int, watch: Callable[[int], None]
    ):
        self._run, self._batch, self._wait, self._limit, self._watch = run, batch, wait_ms / 1000, queue, watch
        self.waiting = 0
        self._crowd = 1  # inputs that were in our hands when a run ended: so many may come back
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def ask(self, inputs: Sequence[Any], options: Hashable) -> list:
        """The answers, in the order of `inputs`."""
        if self.waiting + len(inputs) > self._limit and self.waiting:
            raise Busy
        self.waiting += len(inputs)
        done = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(inputs, options, done))
            return await done
        finally:
            self.waiting -= len(inputs)

    async def _work(self) -> None:
        held: _Waiting | None = None
        while True:
            first = held or await self._queue.get()
            group, held = await self._gather(first)
            group = [waiting for waiting in group if not waiting.done.cancelled()]
            if group:
                await self._answer(group)

    async def _gather(self, first: _Waiting) -> tuple[list[_Waiting], _Waiting | None]:
        """What may run together with `first`, and the one that came then and may not."""
        loop = asyncio.get_running_loop()
        group, size, until = [first], len(first.inputs), loop.time() + self._wait
        while size < self._batch:
            try:
                left = until - loop.time()
                wait = self._queue.empty() and left > 0 and size < self._crowd
                following = await asyncio.wait_for(self._queue.get(), left) if wait else self._queue.get_nowait()
            except (asyncio.QueueEmpty, asyncio.TimeoutError):
                break
            if following.options != first.options or size + len(following.inputs) > self._batch:
                return group, following
            group.append(following)
            size += len(following.inputs)
        return group, None

    async def _answer(self, group: list[_Waiting]) -> None:
        inputs = [item for waiting in group for item in waiting.inputs]
        self._watch(len(inputs))
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, group[0].options, inputs
            )
            self._crowd = self.waiting
        except Exception as error:
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        start = 0
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_result(answers[start : start + len(waiting.inputs)])
            start += len(waiting.inputs)

    async def close(self) -> None:
        """Stop taking requests from the queue; what runs is finished."""
        self._task.cancel()
        self._thread.shutdown(wait=True)
