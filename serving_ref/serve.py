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

    @property
    def in_flight(self) -> int:
        """Requests that still wait for their answer."""


class DrainingServer(uvicorn.Server):
    """uvicorn that serves on for the notice period after SIGTERM, and then until nothing is in flight."""

    def __init__(self, config: uvicorn.Config, app: Drained, drain: Drain) -> None:
        super().__init__(config)
        self.app = app
        self.drain = drain
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
        await asyncio.sleep(self.drain.notice)
        try:
            async with asyncio.timeout(self.drain.limit):
                while self.app.in_flight:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        self.should_exit = True


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
        timeout_graceful_shutdown=5,
    )
    DrainingServer(config, app, drain).run()
