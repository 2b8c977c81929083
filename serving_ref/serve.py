"""Run an ASGI application until SIGTERM, and then drain it."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Protocol

import uvicorn

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from serving_ref.asgi import App
    from serving_ref.settings import Drain


class Drained(Protocol):
    """What a server does about its end."""

    def begin_drain(self) -> None:
        """Be not ready from now on, and ask clients to leave their connections."""


class DrainingServer(uvicorn.Server):
    """uvicorn that serves on for a notice period after SIGTERM, and stops then."""

    def __init__(self, config: uvicorn.Config, app: Drained, notice_s: float) -> None:
        super().__init__(config)
        self.app = app
        self.notice_s = notice_s
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Note the loop, for the signal handler."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM: drain. On a second signal or SIGINT: stop as uvicorn does."""
        if sig == signal.SIGTERM and self._draining is None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin)
        else:
            super().handle_exit(sig, frame)

    def _begin(self) -> None:
        self.app.begin_drain()
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        await asyncio.sleep(self.notice_s)
        self.should_exit = True  # uvicorn closes its door, and waits for the answers that are under way


def serve(asgi: App, app: Drained, host: str, port: int, drain: Drain) -> None:
    """Serve until SIGTERM has been obeyed."""
    assert threading.current_thread() is threading.main_thread()
    config = uvicorn.Config(
        asgi,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        backlog=2048,
        # Longer than the gateway keeps an idle connection: the side that sends requests is the side that closes.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(round(drain.limit), 1),
    )
    DrainingServer(config, app, drain.notice).run()
