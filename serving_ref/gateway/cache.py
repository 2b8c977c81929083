"""The response cache in Redis. When Redis is slow or gone, requests go on without it.

Look-ups that come in one turn of the event loop go out as one MGET. So a burst of requests costs one command and one
connection, and not as many as there are requests: no pool is large enough for those, and one that is exhausted looks
like a Redis that fails (figures in docs/decisions/0006-serving-stack.md).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from redis import asyncio as redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scenarios.rules.breaker import CircuitBreaker, breaker_rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from serving_ref.gateway.metrics import Metrics
    from serving_ref.gateway.settings import Redis

GRACE_S = 0.002
FAILURES = (RedisError, OSError, TimeoutError)


class ResponseCache:
    """Answers by key, each with a time to live."""

    def __init__(self, settings: Redis, metrics: Metrics) -> None:
        # Its own time-outs would find Redis late when it is this loop that was busy: see _in_time.
        self.redis = redis.Redis.from_url(
            settings.url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self.timeout_s = settings.timeout
        self.metrics = metrics
        self.breaker = CircuitBreaker(breaker_rule(settings.breaker), metrics.cache_opened.inc)
        self.asked: dict[str, list[asyncio.Future[bytes | None]]] = {}
        """Keys of the next MGET, with those who wait for each."""
        self.sending: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> bytes | None:
        """Return the answer that is kept under a key; None: there is none, or Redis can't say."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        if not self.asked:
            loop.call_soon(self._send)  # after all that is to run in this turn
        self.asked.setdefault(key, []).append(answer)
        return await answer

    def _send(self) -> None:
        asked, self.asked = self.asked, {}
        task = asyncio.get_running_loop().create_task(self._look_up(asked))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _look_up(self, asked: dict[str, list[asyncio.Future[bytes | None]]]) -> None:
        """Ask for several keys at once, and tell everybody who waits."""
        values: list[bytes | None] = [None] * len(asked)
        waiting = sum(map(len, asked.values()))
        epoch = self.breaker.admit(time.monotonic_ns())
        if epoch is None:
            self.metrics.cache_skipped.inc(waiting)
        else:
            try:
                async with self._in_time():  # redis-py decodes nothing
                    values = cast("list[bytes | None]", await self.redis.mget(list(asked)))
            except FAILURES:
                self.metrics.cache_error.inc(waiting)
                self._note(epoch, ok=False)
            else:
                hits = sum(len(a) for a, v in zip(asked.values(), values, strict=True) if v is not None)
                self.metrics.cache_hit.inc(hits)
                self.metrics.cache_miss.inc(waiting - hits)
                self._note(epoch, ok=True)
        for answers, value in zip(asked.values(), values, strict=True):
            for answer in answers:
                if not answer.done():  # whoever waited may have gone
                    answer.set_result(value)

    async def put(self, key: str, answer: bytes, ttl_s: float | None) -> None:
        """Keep an answer; without a time to live, until Redis needs the room."""
        epoch = self.breaker.admit(time.monotonic_ns())
        if epoch is None:
            return
        try:
            async with self._in_time():
                await self.redis.set(key, answer, px=None if ttl_s is None else max(round(ttl_s * 1000), 1))
        except FAILURES:
            self.metrics.cache_error.inc()
            self._note(epoch, ok=False)
        else:
            self._note(epoch, ok=True)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raise TimeoutError where Redis takes too long. When its time is over the loop reads once more what has come:
        a loop that was busy with a burst for as long would else blame Redis."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            last_look = loop.call_later(self.timeout_s, lambda: limit.reschedule(loop.time() + GRACE_S))
            try:
                yield
            finally:
                last_look.cancel()

    def _note(self, epoch: int, *, ok: bool) -> None:
        self.breaker.note(time.monotonic_ns(), ok=ok, latency_ns=0, epoch=epoch)
