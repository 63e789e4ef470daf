"""Connections that ask for nothing, or do not take what they asked for, are closed: uvicorn waits for ever, and holds only so many."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for a request line and headers to arrive, from the connection's or their first byte
WRITE_SECONDS = 10.0  # for a client to take the piece of an answer that was written


class Connection(H11Protocol):
    """A connection of uvicorn's that must bring a whole request head, and take answers, in time; one that is lost ends its request."""

    _waits: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # `pause_writing` as soon as the client takes no more
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._cancel_stuck()
        super().connection_lost(exc)
        cycle: Any = self.cycle  # None before the first request
        if cycle and cycle.disconnected and (abandoned := self.scope["state"].get("abandoned")):
            abandoned()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_stuck()
        super().resume_writing()

    def _cancel_stuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._waits is None:
            self._waits = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
