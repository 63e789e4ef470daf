"""Connections that ask for nothing are closed: uvicorn waits for a request for ever, and holds only so many."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for a request line and headers to arrive, from the connection's or their first byte


class Connection(H11Protocol):
    """A connection of uvicorn's that must bring a whole request head within HEAD_SECONDS."""

    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._waits is None:
            self._waits = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
