"""Requests that come at the same time are one run of the model, and long ones are cut into runs that others may share."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

ROUNDS = 16  # of the event loop, in which a request that has come gets from its connection into the queue


class Busy(Exception):
    """The queue is full: the request is refused now rather than answered too late."""


class Ending(Exception):
    """The server ends: what still waits is not answered any more."""


@dataclass(eq=False)
class _Waiting:
    """A request; `answers` are those of its first inputs."""

    inputs: Sequence[Any]
    costs: Sequence[int]
    options: Hashable
    done: asyncio.Future
    keep: Callable[[list], None]
    answers: list = field(default_factory=list)

    def fitting(self, taken: int, inputs: int, cost: int) -> tuple[int, int]:
        """How many inputs after the first `taken` that are open are at most so many of at most this cost, and their cost."""
        first, spent = len(self.answers) + taken, 0
        last = min(len(self.inputs), first + inputs)
        for place in range(first, last):
            if spent + self.costs[place] > cost:
                return place - first, spent
            spent += self.costs[place]
        return max(0, last - first), spent

    def add(self, answers: list) -> None:
        """Keep what a run gave; a request that may not hold it, or was abandoned, ends."""
        if self.done.done():
            return
        try:
            self.keep(answers)
        except Exception as error:
            self.done.set_exception(error)
            return
        self.answers += answers
        if len(self.answers) == len(self.inputs):
            self.done.set_result(self.answers)


@dataclass
class Limits:
    """`batch` inputs and `cost` are what one run holds at most (one input may cost more), `queue` inputs wait at most, and a run waits
    `wait_ms` for others to join."""

    batch: int
    cost: int
    wait_ms: float
    queue: int


class Batcher:
    """Gathers inputs and hands them to `run(options, inputs)`, in a thread of its own.

    Only inputs with equal options share a run, and `run` answers each input by itself, so an answer does not depend on its
    neighbours. Requests take turns: each has its share of a run, what they leave goes to those that have more, and the one that
    waited longest decides whose turn it is. What nobody waits for any more is not run. `watch(inputs)` hears of the size of every run.
    """

    def __init__(self, run: Callable[[Any, list], list], limits: Limits, watch: Callable[[int], None]):
        self._run, self._limits, self._watch = run, limits, watch
        self.waiting = 0
        self.running = False
        self._ending = False
        self._crowd = 1  # inputs that were in our hands when a run ended: so many may come back
        self._queue: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def ask(
        self,
        inputs: Sequence[Any],
        options: Hashable,
        *,
        costs: Sequence[int],
        keep: Callable[[list], None] = lambda _: None,
    ) -> list:
        """The answers, in the order of `inputs`; `keep` is told of them as they come and may refuse."""
        if self._ending:
            raise Ending
        if self.waiting + len(inputs) > self._limits.queue and self.waiting:
            raise Busy
        self.waiting += len(inputs)
        done = asyncio.get_running_loop().create_future()
        try:
            self._queue.append(_Waiting(inputs, costs, options, done, keep))
            self._came.set()
            return await done
        finally:
            self.waiting -= len(inputs)

    async def _work(self) -> None:
        while True:
            self._forget_abandoned()
            if not self._queue:
                self._came.clear()
                await self._came.wait()
            await self._gather()
            self._forget_abandoned()
            if self._queue:
                await self._answer(self._share())

    def _forget_abandoned(self) -> None:
        self._queue = deque(waiting for waiting in self._queue if not waiting.done.done())

    async def _gather(self) -> None:
        """Wait a moment for those that may come back after the last run, and for those that have come meanwhile and are being read:
        where many are, reading them takes longer than the moment."""
        loop, goal = asyncio.get_running_loop(), min(self._limits.batch, self._crowd)
        until = loop.time() + self._limits.wait_ms / 1000
        timer = loop.call_at(until, self._came.set)
        while self._inputs() < goal and loop.time() < until:
            self._came.clear()
            await self._came.wait()
        timer.cancel()
        for _ in range(ROUNDS):
            if self._inputs() >= goal:
                break
            await asyncio.sleep(0)

    def _inputs(self) -> int:
        return sum(len(waiting.inputs) for waiting in self._queue)

    def _share(self) -> dict[_Waiting, int]:
        """How many inputs of each request the next run holds: one of the first, however dear, then everyone's share, then what is left
        for those that have more. Beside one that is very dear there is still half a run for the others."""
        first = self._queue[0]
        taken = {waiting: 0 for waiting in self._queue if waiting.options == first.options}
        taken[first] = 1
        inputs = self._limits.batch - 1
        cost = max(self._limits.cost - first.costs[len(first.answers)], self._limits.cost // 2)
        share = max(1, inputs // len(taken)), max(1, cost // len(taken))
        for most, dear in (share, (inputs, cost)):
            for waiting, already in taken.items():
                count, spent = waiting.fitting(already, min(most, inputs), min(dear, cost))
                taken[waiting] = already + count
                inputs, cost = inputs - count, cost - spent
        return {waiting: count for waiting, count in taken.items() if count}

    async def _answer(self, group: dict[_Waiting, int]) -> None:
        inputs = [
            item
            for waiting, count in group.items()
            for item in waiting.inputs[len(waiting.answers) : len(waiting.answers) + count]
        ]
        self._watch(len(inputs))
        self.running = True
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, next(iter(group)).options, inputs
            )
            self._crowd = self.waiting
        except Exception as error:
            self._fail(group, error)
            return
        finally:
            self.running = False
        start = 0
        for waiting, count in group.items():
            waiting.add(answers[start : start + count])
            start += count
        self._queue.rotate(-1)

    def _fail(self, group: "dict[_Waiting, int] | deque[_Waiting]", error: Exception) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    def end(self) -> None:
        """Answer nobody any more: `Ending` for those that wait and for those that come."""
        self._ending = True
        self._fail(self._queue, Ending())

    def close(self) -> None:
        """Stop; what runs is waited for."""
        self._task.cancel()
        self._thread.shutdown(wait=True)
