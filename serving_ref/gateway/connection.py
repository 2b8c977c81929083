"""HTTP/1.1 connections to model servers: one request at a time on each, kept open between them.

Written on asyncio and httptools, because a call costs a quarter of what it costs in aiohttp's client (figures in
docs/decisions/0006-serving-stack.md), and because it must be known of each call whether the replica was lost.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httptools

from serving_ref import protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEAD_PEER = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_USER_TIMEOUT": 2000}
"""A node that is gone says nothing, not even that: after 2 to 3 s of silence the kernel gives a connection up (tcp(7);
where the system has these options). A busy model server's kernel answers, however long the model takes."""
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_OUTCOME = protocol.OUTCOME.encode()


def watch_peer(transport: asyncio.BaseTransport) -> None:
    """Have the kernel give a connection up when nothing is heard from the other side's kernel."""
    own = transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _DEAD_PEER.items():
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Lost(Exception):
    """The connection could not be made, or ended before the response was whole."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response."""

    status: int
    body: bytes
    leave: bool
    """The server asks to leave the connection: it is on its way out."""
    outcome: bytes
    """What our own model server says of it (`protocol.OUTCOME`); others say nothing."""


class Connection(asyncio.Protocol):
    """One connection. `call` is not to be entered twice."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[Response] | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.parts: list[bytes] = []
        self.size = 0
        self.outcome = b""
        self.closed = False
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    def call(self, request: Sequence[bytes], timeout_s: float) -> asyncio.Future[Response]:
        """Send a request; the future brings its response, or Lost."""
        self.answer = self.loop.create_future()
        if self.closed or self.transport is None:
            self.answer.set_exception(Lost("closed"))
        else:
            self.timer = self.loop.call_later(timeout_s, self._lose, "no answer in time")
            self.transport.write(b"".join(request))
        return self.answer

    def close(self) -> None:
        """Leave it."""
        self.closed = True
        if self.timer is not None:
            self.timer.cancel()
        if self.transport is not None:
            self.transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is no subclass of it
        watch_peer(transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lose(f"not HTTP: {error}")

    def eof_received(self) -> None:
        """Close our side too."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits has lost."""
        self._lose(str(exc or "closed by the server"))

    def _lose(self, why: str) -> None:
        self.close()
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(Lost(why))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Leave it where nobody has asked: nothing on this connection can be believed."""
        if self.answer is None or self.answer.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the one that matters."""
        if len(name) == len(_OUTCOME) and name.lower() == _OUTCOME:
            self.outcome = value

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self.parts.append(body)
        self.size += len(body)
        if self.size > MAX_RESPONSE_BYTES:
            self._lose("the response is too large")

    def on_message_complete(self) -> None:
        """Hand the response over, and be ready for the next."""
        parser, answer = self.parser, self.answer
        leave = not parser.should_keep_alive()
        response = Response(parser.get_status_code(), b"".join(self.parts), leave, self.outcome)
        self.parts, self.size, self.outcome = [], 0, b""
        self.parser = httptools.HttpResponseParser(self)
        if answer is None or answer.done():
            return
        if self.timer is not None:
            self.timer.cancel()
        if leave:
            self.close()
        answer.set_result(response)
