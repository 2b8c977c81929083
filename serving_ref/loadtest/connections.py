"""Keep-alive connections to the target: one request at a time on each, as HTTP/1.1 clients do."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import httptools

from serving_ref import protocol
from serving_ref.loadtest.results import BROKEN, GARBLED, LOST, NOT_CONNECTED, result_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

MOST_IDLE_NS = 4_000_000_000
"""A connection that was idle for longer is not used again: uvicorn and Node close theirs after 5 s, and a request that
crosses the closing would be lost through no fault of the server."""
_OUTCOME, _SERVICE = protocol.OUTCOME.encode(), protocol.SERVICE.encode()
NO_SERVICE = -1
_UNTIL_CLOSE = frozenset((b"content-length", b"transfer-encoding"))


class Attempt:
    """An attempt under way."""

    __slots__ = ("connection", "data", "over", "row")

    def __init__(self, row: int, data: bytes) -> None:
        self.row, self.data = row, data
        self.connection: Connection | None = None
        self.over = False


class Ended(Protocol):
    """Told how attempts end."""

    def __call__(self, attempt: Attempt, end_ns: int, result: int, status: int, service: int) -> None:
        """`end_ns` is a time of `time.monotonic_ns()`; `service` is the place of the one that answered, or -1."""


class Connection(asyncio.Protocol):
    """One connection: writes a request, reads its answer, and is idle again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._outcome, self._service = b"", NO_SERVICE
        self._has_length = self._in_body = False
        self._received_ns = 0
        self.attempt: Attempt | None = None
        self.idle_since_ns = 0

    def send(self, attempt: Attempt) -> None:
        """Write a request; the connection is idle."""
        assert self._transport is not None
        self.attempt, attempt.connection = attempt, self
        self._outcome, self._service = b"", NO_SERVICE
        self._has_length = self._in_body = False
        self._transport.write(attempt.data)
        attempt.data = b""

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._received_ns = time.monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError:
            self._end(LOST, GARBLED)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed or reset by the other side, or by us."""
        self._received_ns = time.monotonic_ns()
        if (
            exc is None and self._in_body and not self._has_length
        ):  # the end of the connection ends such an answer
            self.on_message_complete()
        self._end(LOST, BROKEN)
        self._transport = None
        self._pool.closed(self)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        lower = name.lower()
        if lower == _OUTCOME:
            self._outcome = value
            self._pool.named += 1
        elif lower == _SERVICE:
            self._service = self._pool.services.get(value, NO_SERVICE)
        elif lower in _UNTIL_CLOSE:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """What follows is the answer's body."""
        self._in_body = True

    def on_message_complete(self) -> None:
        """The answer is whole."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and its like: the answer is still to come
            self._in_body = False
            return
        stays = self._parser.should_keep_alive() and self.attempt is not None
        self._end(result_of(status, self._outcome), status)
        if stays:
            self._pool.free(self, self._received_ns)
        else:
            self.abort()

    def _end(self, result: int, status: int) -> None:
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            self._pool.ended(attempt, self._received_ns, result, status, self._service)


class Pool:
    """The connections of a run, and the attempts that wait for one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        most_opening: int,
        services: Sequence[str],
        ended: Ended,
    ) -> None:
        """`most_opening` connections are opened at a time: a target that swallows them must not use up all files."""
        self._loop, self._host, self._port, self._tls = loop, host, port, tls
        self._most_opening = most_opening
        self.services = {name.encode(): place for place, name in enumerate(services)}
        self._idle: deque[Connection] = deque()
        self._waiting: deque[Attempt] = deque()
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self.ended = ended
        self.opened = 0
        """Connections made so far."""
        self.waits = 0
        """Attempts that had to wait for a connection."""
        self.named = 0
        """Answers that said how they came about."""

    async def warm(self, connections: int) -> None:
        """Open connections before they are needed. Raises OSError where the target cannot be reached."""
        for _ in range(connections):
            connection = await self._connect()
            self._idle.append(connection)
            connection.idle_since_ns = time.monotonic_ns()

    def send(self, attempt: Attempt, now_ns: int) -> None:
        """Send on an idle connection; without one, open another and let the attempt wait for the first to be free."""
        while self._idle:
            connection = self._idle.popleft()
            if connection not in self._open:
                continue
            if now_ns - connection.idle_since_ns > MOST_IDLE_NS:
                connection.abort()
                continue
            connection.send(attempt)
            return
        self.waits += 1
        self._waiting.append(attempt)
        if len(self._opening) >= self._most_opening:
            return
        task = self._loop.create_task(self._open_for_waiting())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def give_up(self, attempt: Attempt) -> None:
        """Nobody waits for an attempt any more: its connection is of no use until the answer is there, so it goes."""
        attempt.over = True
        if attempt.connection is not None:
            attempt.connection.attempt = None
            attempt.connection.abort()

    def free(self, connection: Connection, now_ns: int) -> None:
        """A connection has its answer: it takes the attempt that waits longest, or is idle."""
        while self._waiting:
            attempt = self._waiting.popleft()
            if not attempt.over:
                connection.send(attempt)
                return
        connection.idle_since_ns = now_ns
        self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)

    def close(self) -> None:
        """Close everything."""
        for task in self._opening:
            task.cancel()
        for connection in list(self._open):
            connection.abort()

    async def _connect(self) -> Connection:
        _, connection = await self._loop.create_connection(
            lambda: Connection(self), self._host, self._port, ssl=self._tls
        )
        self.opened += 1
        self._open.add(connection)
        return connection

    async def _open_for_waiting(self) -> None:
        try:
            connection = await self._connect()
        except OSError:
            now_ns = time.monotonic_ns()
            while self._waiting:
                attempt = self._waiting.popleft()
                if not attempt.over:
                    self.ended(attempt, now_ns, LOST, NOT_CONNECTED, NO_SERVICE)
                    return
            return
        self.free(connection, time.monotonic_ns())
