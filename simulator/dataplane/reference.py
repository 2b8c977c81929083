"""The data plane written for reading: plain SimPy, a process for each request and each batch.

It obeys the same rules as the kernel and is given the same draws, so for every scenario it must come to the same
result, bit for bit. It is the explanation of the kernel, and its main test.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from scenarios.rules.breaker import CircuitBreaker
from scenarios.rules.token_bucket import TokenBucket
from simulator.dataplane import arrivals, python_draws
from simulator.dataplane import specification as spec
from simulator.dataplane.reference_batcher import Flight, Slot, Station, Waiter
from simulator.dataplane.reference_gateway import ResponseCache, RetryBudget
from simulator.dataplane.reference_records import Recorder, Request
from simulator.dataplane.reference_time import DEADLINE, ENTER, FETCHED, RETRY, SEND, OrderedEnvironment
from simulator.dataplane.state import backoff_waits_ns, pack

if TYPE_CHECKING:
    from collections.abc import Generator

    from simpy.events import Event


class Reference:
    """Clients, gateway and services of a specification, in one SimPy environment."""

    def __init__(self, specification: spec.Specification) -> None:
        self.spec = specification
        self.env = OrderedEnvironment(initial_time=0)
        self.recorder = Recorder(specification, self.env)
        self.tables, _ = pack(specification)
        self.buckets = [TokenBucket(r.limit_interval_ns, r.limit_burst_ns) for r in specification.routes]
        self.caches = [ResponseCache(route) for route in specification.routes]
        self.outstanding = [0] * len(specification.routes)
        self.budgets = [RetryBudget(c.budget_ratio, c.budget_cap) for c in specification.classes]
        self.waits = [backoff_waits_ns(c) for c in specification.classes]
        self.breakers = [CircuitBreaker(s.breaker, self.recorder.opener(s)) for s in specification.services]
        self.under_way: dict[int, Flight] = {}
        self.ready: list[list[Station]] = [[] for _ in specification.services]
        self.round_robin: dict[int, int] = defaultdict(int)
        timeouts = sorted({c.timeout_ns for c in specification.classes if c.timeout_ns < spec.NEVER})
        self.timeout_group = {timeout_ns: place for place, timeout_ns in enumerate(timeouts)}
        for stream in specification.streams:
            if stream.source == spec.FROM_USERS:
                for user in range(stream.users):
                    self.env.process(self.user(stream, user))
            else:
                self.env.process(self.open_loop(stream))

    # Clients.

    def open_loop(self, stream: spec.Stream) -> Generator[Event, Any, Any]:
        """Send the requests of an open-loop stream, whatever becomes of them."""
        while True:
            first = arrivals.first_sends(self.tables.memory, stream.index)
            for place, time_ns in enumerate(self.tables.arrival_ns[stream.index].tolist()):
                if time_ns >= spec.NEVER:
                    return
                yield self.env.at(time_ns, SEND, stream.index, 0)
                self.env.process(self.request(self.born(stream, first + place)))

    def user(self, stream: spec.Stream, user: int) -> Generator[Event, Any, Any]:
        """Think, send, wait for the outcome, and again."""
        ident, free_ns = user, 0
        while True:
            think_ns = arrivals.user_think_ns(self.tables.memory, stream.index, ident)
            yield self.env.at(free_ns + think_ns, SEND, stream.index, ident)
            free_ns = yield self.env.process(self.request(self.born(stream, ident)))
            ident += stream.users

    def born(self, stream: spec.Stream, ident: int) -> Request:
        """Return a logical request with its class, key, items and difficulty."""
        now = self.env.now_ns
        c, key, items, difficulty = arrivals.attributes(self.tables.memory, stream.index, ident, now)
        request = Request(stream, ident, self.spec.classes[c], now)
        request.key, request.items, request.difficulty = key, items, difficulty
        return request

    def request(self, request: Request) -> Generator[Event, Any, int]:
        """Attempts of a logical request until one is answered or no more is allowed. Returns when it is over."""
        cls = request.cls
        self.recorder.sent(request)
        self.budgets[cls.index].earn()
        while True:
            outcome = yield from self.attempt(request)
            now = self.env.now_ns
            if outcome in ("model", "coalesced", "cache"):
                end_ns = now + (self.spec.routes[cls.route].hit_ns if outcome == "cache" else 0)
                self.recorder.answered(request, outcome, end_ns)
                return end_ns
            self.recorder.count(cls, f"attempt_{outcome}")
            again = request.attempt < cls.max_retries
            if again and not self.budgets[cls.index].spend():
                self.recorder.count(cls, "retries_denied")
                again = False
            if not again:
                self.recorder.failed(request, outcome)
                return now
            wait_ns = python_draws.draw_wait_ns(
                cls.jitter,
                self.waits[cls.index][request.attempt],
                cls.seeds[spec.FOR_JITTER],
                request.id,
                request.attempt,
            )
            request.attempt += 1
            yield self.env.at(now + wait_ns, RETRY, request.stream.index, request.id, request.attempt)

    def attempt(self, request: Request) -> Generator[Event, Any, str]:
        """One attempt through the gateway. Returns how it ended."""
        env, cls = self.env, request.cls
        route = self.spec.routes[cls.route]
        request.sent_ns = now = env.now_ns
        self.recorder.count(cls, "attempts")
        deadline = env.event()
        if cls.timeout_ns < spec.NEVER:
            deadline = env.at(now + cls.timeout_ns, DEADLINE, self.timeout_group[cls.timeout_ns])
        if not self.buckets[route.index].take(now):
            return "rate_limited"
        validation_ns = python_draws.draw_delay_ns(
            route.validation_ns, cls.seeds[spec.FOR_VALIDATION], request.id, request.attempt
        )
        if validation_ns > 0:
            validated = env.at(now + validation_ns, ENTER, request.stream.index, request.id, request.attempt)
            yield validated | deadline
            if not validated.processed:
                return "timeout"
        if self.is_cached(request, route):
            return "cache"
        flight = self.under_way.get(request.key)
        waiter = Waiter(env.event())
        if flight is not None:
            flight.waiters.append(waiter)
        else:
            for most, below in route.shedding:
                if self.outstanding[route.index] >= most and cls.priority < below:
                    return "shed"
            flight = self.new_flight(request, route, waiter)
            if self.fetch_ns(flight, route) > 0:
                env.process(self.fly(flight, route))
            else:
                self.dispatch(flight)
        yield waiter.reply | deadline
        if waiter.reply.triggered:
            return str(waiter.reply.value)
        if flight.has_been_queued:
            self.note(flight, ok=False)
        flight.waiters.remove(waiter)
        return "timeout"

    # The gateway.

    def is_cached(self, request: Request, route: spec.RouteSpec) -> bool:
        """Whether the response cache answers."""
        if route.cache == spec.CACHE_GIVEN:
            return python_draws.draw_unit(request.cls.seeds[spec.FOR_HIT], request.id) < route.hit_ratio
        return request.key >= 0 and self.caches[route.index].hit(request.key, self.env.now_ns)

    def new_flight(self, request: Request, route: spec.RouteSpec, founder: Waiter) -> Flight:
        """Start the work that a request asks for."""
        flight = Flight(
            stream=request.stream.index, id=request.id, attempt=request.attempt, cls=request.cls, items=request.items,
            difficulty=request.difficulty, key=request.key, waiters=[founder], founder=founder,
        )  # fmt: skip
        self.outstanding[route.index] += 1
        if flight.key >= 0 and route.coalesce:
            self.under_way[flight.key] = flight
        return flight

    def fetch_ns(self, flight: Flight, route: spec.RouteSpec) -> int:
        """Time to fetch the features."""
        return python_draws.draw_delay_ns(
            route.fetch_ns, flight.cls.seeds[spec.FOR_FETCH], flight.id, flight.attempt
        )

    def fly(self, flight: Flight, route: spec.RouteSpec) -> Generator[Event, Any, None]:
        """Fetch the features, then go to the service."""
        ready_ns = self.env.now_ns + self.fetch_ns(flight, route)
        yield self.env.at(ready_ns, FETCHED, flight.stream, flight.id, flight.attempt)
        self.dispatch(flight)

    def dispatch(self, flight: Flight) -> None:
        """Send a flight to the queue of a replica of its service."""
        service = self.spec.services[self.target(flight)]
        flight.service, flight.enqueued_ns = service.index, self.env.now_ns
        stations = self.ready[service.index]
        if not stations:
            return self.fail(flight, "no_replica")
        flight.noted = False
        epoch = self.breakers[service.index].admit(self.env.now_ns)
        if epoch is None:
            return self.fail(flight, "breaker_open")
        flight.probe_epoch = epoch
        station = self.choose(stations, service, flight)
        if len(station.queue) >= service.max_queue:
            self.note(flight, ok=False)
            return self.fail(flight, "queue_full")
        return station.join(flight)

    def target(self, flight: Flight) -> int:
        """Index of the service that a flight goes to next."""
        route = self.spec.routes[flight.cls.route]
        hop = flight.hop
        if len(route.targets) > 1 and route.split == spec.SPLIT_WEIGHTED:
            hop = python_draws.draw_alias(route.weight_table, flight.cls.seeds[spec.FOR_SPLIT], flight.id)
        elif route.split == spec.SPLIT_DIFFICULTY:
            hop = sum(flight.difficulty >= limit for limit in route.difficulty_below)
        return route.targets[hop]

    def choose(self, stations: list[Station], service: spec.ServiceSpec, flight: Flight) -> Station:
        """Return the station that the service's balancing rule picks."""
        if len(stations) == 1:
            return stations[0]
        if service.balance == spec.BALANCE_ROUND_ROBIN:
            self.round_robin[service.index] += 1
            return stations[(self.round_robin[service.index] - 1) % len(stations)]
        if service.balance == spec.BALANCE_LEAST_OUTSTANDING:
            return min(stations, key=lambda station: station.outstanding)
        seed = flight.cls.seeds[spec.FOR_BALANCE]
        first, second = python_draws.draw_two_below(len(stations), seed, flight.id, flight.draw_index)
        if service.balance == spec.BALANCE_RANDOM:
            return stations[first]
        return min(stations[first], stations[second], key=lambda station: station.outstanding)

    def note(self, flight: Flight, *, ok: bool) -> None:
        """Tell the breaker how a flight's call went: the first word counts."""
        if not flight.noted:
            flight.noted = True
            now = self.env.now_ns
            self.breakers[flight.service].note(
                now, ok=ok, latency_ns=now - flight.enqueued_ns, epoch=flight.probe_epoch
            )

    def fail(self, flight: Flight, cause: str) -> None:
        """Everybody who waits for a flight learns that it has failed."""
        for waiter in flight.waiters:
            waiter.reply.succeed(cause)
        self.end(flight)

    def end(self, flight: Flight) -> None:
        """A flight is over."""
        self.outstanding[flight.cls.route] -= 1
        if self.under_way.get(flight.key) is flight:
            del self.under_way[flight.key]

    # What stations ask for.

    def land(self, flight: Flight) -> bool:
        """Deliver a flight's answer and cache it; False: it goes on to the cascade's next target."""
        self.note(flight, ok=True)
        route = self.spec.routes[flight.cls.route]
        if route.split == spec.SPLIT_CASCADE and flight.hop < len(route.targets) - 1:
            if flight.difficulty >= route.difficulty_below[flight.hop]:
                flight.hop += 1
                return False
        for waiter in flight.waiters:
            waiter.reply.succeed("model" if waiter is flight.founder else "coalesced")
        self.end(flight)
        if flight.key >= 0:
            self.caches[route.index].fill(flight.key, self.env.now_ns)
        return True

    def flight_expired(self, flight: Flight) -> None:
        """End a flight that nobody waits for."""
        self.recorder.count_service(flight.service, "expired")
        self.end(flight)

    def batch_begun(
        self, station: Station, slot: Slot, batch: list[Flight], items: int, finish_ns: int
    ) -> None:
        """Count a batch that begins now."""
        self.recorder.batch_begun(station.service, slot, batch, items, finish_ns)

    def batch_done(self, station: Station, slot: Slot) -> None:
        """Count a batch that ends now."""
        self.recorder.busy(station.service, self.env.now_ns - slot.started_ns)

    def lost(self, flights: list[Flight]) -> None:
        """A replica is gone: its flights are sent once more, or fail."""
        for flight in flights:
            self.note(flight, ok=False)
            if flight.redispatched or not self.spec.routes[flight.cls.route].redispatch:
                self.fail(flight, "lost")
            else:
                flight.redispatched = 1
                self.recorder.count(flight.cls, "redispatched")
                self.dispatch(flight)
