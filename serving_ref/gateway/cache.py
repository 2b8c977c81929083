"""The response cache in Redis. When Redis is slow or gone, requests go on without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from scenarios.rules.breaker import CircuitBreaker, breaker_rule
from serving_ref.gateway.redis_address import parse_redis_url
from serving_ref.gateway.redis_client import RedisClient, RedisFailure

if TYPE_CHECKING:
    from serving_ref.gateway.metrics import Metrics
    from serving_ref.gateway.settings import Redis


class ResponseCache:
    """Answers by key, each with a time to live."""

    def __init__(self, settings: Redis, metrics: Metrics) -> None:
        self.redis = RedisClient(parse_redis_url(settings.url), settings.timeout)
        self.metrics = metrics
        self.breaker = CircuitBreaker(breaker_rule(settings.breaker), metrics.cache_opened.inc)

    async def get(self, key: str) -> bytes | None:
        """Return the answer that is kept under a key; None: there is none, or Redis can't say."""
        epoch = self.breaker.admit(time.monotonic_ns())
        if epoch is None:
            self.metrics.cache_skipped.inc()
            return None
        try:
            found = await self.redis.get(key)
        except RedisFailure:
            self._note(epoch, ok=False)
            return None
        self._note(epoch, ok=True)
        (self.metrics.cache_miss if found is None else self.metrics.cache_hit).inc()
        return found

    async def put(self, key: str, answer: bytes, ttl_s: float | None) -> None:
        """Keep an answer; without a time to live, until Redis needs the room."""
        epoch = self.breaker.admit(time.monotonic_ns())
        if epoch is None:
            return
        try:
            await self.redis.set(key, answer, None if ttl_s is None else max(round(ttl_s * 1000), 1))
        except RedisFailure:
            self._note(epoch, ok=False)
        else:
            self._note(epoch, ok=True)

    def _note(self, epoch: int, *, ok: bool) -> None:
        if not ok:
            self.metrics.cache_error.inc()
        self.breaker.note(time.monotonic_ns(), ok=ok, latency_ns=0, epoch=epoch)
