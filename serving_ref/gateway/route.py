"""A path through the gateway: rate limit, cache, coalescing, shedding, and flights to the targets.

The order, and what each step means, is the simulator's (docs/scenario-language.md; the reference engine,
simulator/dataplane/reference.py, is its explanation).
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scenarios.rules.token_bucket import TokenBucket, limit_schedule_ns
from serving_ref import asgi, protocol
from serving_ref.delays import delay_s
from serving_ref.gateway.service import NEVER, Reply, Service, Work
from serving_ref.inference import InvalidResponse, lowest, with_id
from serving_ref.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenarios.schema import Route
    from serving_ref.gateway.cache import ResponseCache
    from serving_ref.gateway.metrics import Metrics
    from serving_ref.gateway.settings import GatewaySettings

_FETCHES = 1e-9
"""A feature fetch below this is none."""


@dataclass(eq=False, slots=True)
class Request:
    """A validated request."""

    body: bytes
    version: str | None
    ident: str | None
    key: str | None
    difficulty: float | None
    priority: int
    deadline_ns: int


@dataclass(eq=False)
class Flight:
    """Work for a service, on behalf of those who wait for it."""

    request: Request
    work: Work
    waiters: list[asyncio.Future[Reply]] = field(default_factory=list)
    latest_deadline_ns: int = 0
    reply: Reply | None = None


class RouteHandler:
    """One route: its buckets, caches and flights."""

    def __init__(
        self,
        route: Route,
        settings: GatewaySettings,
        services: Mapping[str, Service],
        cache: ResponseCache | None,
        metrics: Metrics,
    ) -> None:
        self.route = route
        self.confidence_output = settings.confidence_output
        interval_ns, burst_ns = limit_schedule_ns(route.rate_limit)
        self.bucket = TokenBucket(interval_ns * settings.replicas, burst_ns)
        self.shedding = [
            (max(rule.max_outstanding // settings.replicas, 1), rule.below_priority)
            for rule in route.shedding
        ]
        self.cache = cache if route.cache is not None else None
        self.prefix = f"{settings.name}:{route.name}:"
        self.targets = [services[target.service] for target in route.targets]
        self.limits = [target.difficulty_below or 0.0 for target in route.targets[:-1]]
        self.weights = list(itertools.accumulate(target.weight or 1.0 for target in route.targets))
        self.dice = random.Random()
        self.under_way: dict[str, Flight] = {}
        self.outstanding = 0
        self.escalated = metrics.escalated.labels(route.name)
        self.tasks: set[asyncio.Task[None]] = set()
        metrics.outstanding.labels(route.name).set_function(lambda: self.outstanding)

    def limited(self) -> float | None:
        """Take a token; None: there was one. Else: seconds until there is."""
        now_ns = time.monotonic_ns()
        return None if self.bucket.take(now_ns) else self.bucket.wait_ns(now_ns) / 1e9

    async def answer(self, request: Request) -> Reply:
        """Answer a request from the cache, from a flight under way, or by a flight of its own."""
        if self.cache is not None and request.key is not None:
            found = await self.cache.get(self.prefix + request.key)
            if found is not None:
                return Reply(Outcome.CACHE, self._own(found, request, stripped=True), 200, "")
        flight = self.under_way.get(request.key) if request.key is not None else None
        if flight is None:
            for most, below in self.shedding:
                if self.outstanding >= most and request.priority < below:
                    return _refusal(Outcome.SHED, "too much is outstanding")
            flight = self._begin(request)
            return await self._wait(flight, request)
        reply = flight.reply or await self._wait(flight, request)
        if reply.outcome is Outcome.MODEL:
            return Reply(Outcome.COALESCED, self._own(reply.body, request), 200, reply.service)
        return reply

    def _own(self, body: bytes, request: Request, *, stripped: bool = False) -> bytes:
        """Return a shared answer with this request's id."""
        if request.ident is None and (stripped or b'"id"' not in body):
            return body
        return with_id(body, request.ident)

    async def _wait(self, flight: Flight, request: Request) -> Reply:
        """Wait for a flight until the deadline."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Reply] = loop.create_future()
        flight.waiters.append(waiter)
        flight.latest_deadline_ns = max(flight.latest_deadline_ns, request.deadline_ns)
        if request.deadline_ns >= NEVER:
            return await waiter
        left_s = (request.deadline_ns - time.monotonic_ns()) / 1e9
        timer = loop.call_later(max(left_s, 0), self._give_up, flight, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    @staticmethod
    def _give_up(flight: Flight, waiter: asyncio.Future[Reply]) -> None:
        """A waiter's time is over: it goes, and the service's breaker hears of it."""
        if waiter.done():
            return
        flight.waiters.remove(waiter)
        if flight.work.call is not None:
            flight.work.call.note(ok=False)
        waiter.set_result(_refusal(Outcome.TIMEOUT, "the time that the client gave was over"))

    def _begin(self, request: Request) -> Flight:
        work = Work(
            request.body,
            request.priority,
            request.deadline_ns,
            request.version,
            request.difficulty,
            self.route.redispatch,
        )
        flight = Flight(request, work)
        self.outstanding += 1
        if request.key is not None and self.route.coalesce:
            self.under_way[request.key] = flight
        task = asyncio.get_running_loop().create_task(self._fly(flight))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return flight

    async def _fly(self, flight: Flight) -> None:
        """Bring a flight to its end: everybody who waits for it hears the same."""
        try:
            flight.reply = await self._reply(flight)
        except InvalidResponse as error:
            flight.reply = _refusal(Outcome.ERROR, str(error))
        except Exception as error:  # a defect must cost its own request only, and be an outcome like others
            logging.getLogger("uvicorn.error").exception("a flight broke")
            flight.reply = _refusal(Outcome.ERROR, type(error).__name__)
        self.outstanding -= 1
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_result(flight.reply)
        key = flight.request.key
        if key is None:
            return
        try:
            await self._keep(key, flight.reply)
        finally:  # only now: whoever missed the cache before finds the flight's answer
            if self.under_way.get(key) is flight:
                del self.under_way[key]

    async def _keep(self, key: str, reply: Reply) -> None:
        """Put an answer into the cache."""
        cache = self.route.cache
        if self.cache is not None and cache is not None and reply.outcome is Outcome.MODEL:
            kept = with_id(reply.body, None) if b'"id"' in reply.body else reply.body
            await self.cache.put(self.prefix + key, kept, cache.ttl)

    async def _reply(self, flight: Flight) -> Reply:
        fetch_s = delay_s(self.route.feature_fetch, self.dice)
        if fetch_s > _FETCHES:
            await asyncio.sleep(fetch_s)
        hop = self._first_hop(flight.request)
        while True:
            reply = await self._call(flight, self.targets[hop])
            if reply.outcome is not Outcome.MODEL or not self._goes_on(reply, hop):
                return reply
            hop += 1
            self.escalated.inc()

    async def _call(self, flight: Flight, service: Service) -> Reply:
        """Call a service; again where it gave up for the founder, and others who came later still wait."""
        while True:
            reply = await service.answer(flight.work)
            later = flight.latest_deadline_ns > flight.work.deadline_ns
            if reply.outcome is not Outcome.TIMEOUT or not (flight.waiters and later):
                return reply
            flight.work.deadline_ns = flight.latest_deadline_ns

    def _first_hop(self, request: Request) -> int:
        if len(self.targets) == 1 or self.route.split == "cascade":
            return 0
        if self.route.split == "difficulty":
            difficulty = 1.0 if request.difficulty is None else request.difficulty
            return sum(difficulty >= limit for limit in self.limits)
        return bisect.bisect_right(
            self.weights, self.dice.random() * self.weights[-1], hi=len(self.weights) - 1
        )

    def _goes_on(self, reply: Reply, hop: int) -> bool:
        """Whether a cascade's answer is not sure enough. A model that does not say how sure it is is believed."""
        if self.route.split != "cascade" or hop == len(self.limits):
            return False
        confidence = lowest(reply.body, self.confidence_output)
        return confidence is not None and confidence <= 1 - self.limits[hop]


def _refusal(outcome: Outcome, message: str) -> Reply:
    return Reply(outcome, asgi.error_body(message), protocol.STATUS[outcome], "")
