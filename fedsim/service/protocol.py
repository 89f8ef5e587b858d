"""Connections of the service: each brings its request in time, and nobody holds them all."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""Time for the headers of a request, from the connection or from their first byte."""
HEADER_BYTES = 32_768
"""Of a request line with its headers."""


def room() -> int:
    """Return how many connections fit into the descriptors of this process, half of which are left for the store."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000 if soft == resource.RLIM_INFINITY else max(8, min(1_000, soft // 2))


class Protocol(H11Protocol):
    """A connection. One that has brought no request is closed after a while, or sooner to make room for another.

    At most half of the room is for connections without a request, at most three quarters for one peer: the oldest
    without a request goes first; where all are being answered a new one is turned away.
    """

    request_s = REQUEST_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find room for the connection."""
        super().connection_made(transport)
        self._await_request()
        every = [one for one in self.connections if isinstance(one, Protocol)]
        peer = [one for one in every if one._peer == self._peer]
        waiting = sorted((one for one in every if one._waits), key=Protocol._since)
        most = room()
        if len(waiting) > most // 2:
            waiting[0]._hang_up()
        elif len(peer) > most * 3 // 4:
            next(one for one in waiting if one._peer == self._peer)._hang_up()
        elif len(every) > most:
            waiting[0]._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; a request that begins has its time."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_request()
        else:
            self._forget()

    @property
    def _peer(self) -> Any:
        return self.client[0] if self.client else None

    @property
    def _waits(self) -> bool:
        return self._deadline is not None

    def _since(self) -> float:
        return self._deadline.when() if self._deadline is not None else 0.0

    def _await_request(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.request_s, self._hang_up)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._forget()
        self.connections.discard(self)
        self.transport.abort()
