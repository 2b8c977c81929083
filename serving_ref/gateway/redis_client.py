"""Redis over one connection: commands go out as they come, and answers come in their order.

A pool of connections that carry one command each has a bound, and whatever the bound, a burst of requests for one key
found it (figures in docs/decisions/0006-serving-stack.md). This takes a sixth of the CPU time, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import hiredis

from serving_ref.gateway.connection import watch_peer

if TYPE_CHECKING:
    from serving_ref.gateway.redis_address import RedisAddress

CONNECT_TIMEOUT_S = 1.0
"""Longest attempt to connect. Who waits for it waits no longer than for an answer."""
GRACE_S = 0.002
"""From the end of an answer's time to the verdict, so that the loop reads in between what has come: a loop that was
busy for longer than an answer may take would else find Redis late."""
_NOT_YET = object()


class RedisFailure(Exception):
    """Redis is not there, refuses, or is too slow."""


class RedisConnection(asyncio.Protocol):
    """One connection, in use until it breaks."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.closed = False

    def ask(self, *command: str | int | bytes) -> asyncio.Future[Any]:
        """Send a command; the future brings its answer, or RedisFailure."""
        answer: asyncio.Future[Any] = self.loop.create_future()
        if self.closed or self.transport is None:
            answer.set_exception(RedisFailure("closed"))
        else:
            self.waiting.append(answer)
            self.transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # declared for one word
        return answer

    def close(self) -> None:
        """Leave it."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is no subclass of it
        watch_peer(transport)

    def data_received(self, data: bytes) -> None:
        """Hand answers to those who wait for them. Who has given up still has its turn."""
        self.reader.feed(data)
        try:
            while (found := self.reader.gets()) is not _NOT_YET:
                answer = self.waiting.popleft()
                if answer.done():
                    continue
                if isinstance(found, hiredis.ReplyError):
                    answer.set_exception(RedisFailure(str(found)))
                else:
                    answer.set_result(found)
        except (hiredis.ProtocolError, IndexError):  # no answer at all, or one that nobody has asked for
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits has lost."""
        self.closed = True
        while self.waiting:
            answer = self.waiting.popleft()
            if not answer.done():
                answer.set_exception(RedisFailure(str(exc or "closed by the server")))


class RedisClient:
    """What the response cache asks of Redis. Every failure is a RedisFailure."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.connection: RedisConnection | None = None
        self.attempt: asyncio.Task[RedisConnection] | None = None

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under a key."""
        connection = self.connection
        if connection is None or connection.closed:
            connection = await self._connected()
        found: bytes | None = await self._in_time(connection.ask("GET", key))
        return found

    async def set(self, key: str, value: bytes, ttl_ms: int | None) -> None:
        """Keep a value, for a time or for good."""
        connection = self.connection
        if connection is None or connection.closed:
            connection = await self._connected()
        for_how_long = () if ttl_ms is None else ("PX", ttl_ms)
        await self._in_time(connection.ask("SET", key, value, *for_how_long))

    async def _in_time(self, answer: asyncio.Future[Any]) -> Any:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.timeout_s, loop.call_later, GRACE_S, _too_late, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    async def _connected(self) -> RedisConnection:
        """Return a connection; all who need one wait for the same attempt."""
        attempt = self.attempt
        if attempt is None:
            attempt = self.attempt = asyncio.get_running_loop().create_task(self._connect())
            attempt.add_done_callback(asyncio.Task.exception)  # heard, also where nobody waits any more
        done, _ = await asyncio.wait({attempt}, timeout=self.timeout_s)
        if not done:
            raise RedisFailure("no connection in time")
        return attempt.result()

    async def _connect(self) -> RedisConnection:
        address = self.address
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    RedisConnection, address.host, address.port, ssl=address.tls or None
                )
                try:
                    await self._introduce(connection)
                except BaseException:
                    connection.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise RedisFailure(str(error) or "no connection in time") from None
        finally:
            self.attempt = None
        self.connection = connection
        return connection

    async def _introduce(self, connection: RedisConnection) -> None:
        """Say who one is, and choose the database."""
        address = self.address
        if address.password:
            name = (address.user,) if address.user else ()
            await connection.ask("AUTH", *name, address.password)
        if address.database:
            await connection.ask("SELECT", address.database)


def _too_late(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(RedisFailure("no answer in time"))
