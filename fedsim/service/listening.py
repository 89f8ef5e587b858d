"""The application on a socket, until a signal; pages that watch are let go first."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from fedsim.service.protocol import HEADER_BYTES, Protocol, room

BACKLOG = 2048


class Server(uvicorn.Server):
    """Ends the streams of an application before it waits for its connections, which would never end otherwise."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            http=Protocol,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_keep_alive=5,
            limit_concurrency=room(),
            ws="none",
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of everybody."""
        self._app.state.desk.closing.set()
        await super().shutdown(sockets)


def listener(host: str, port: int) -> socket.socket:
    """Return an open port, from this moment on: who connects early waits. Raises OSError."""
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened
