"""The gateway's side of the kernel: cache, coalescing, shedding, the choice of a service and of a queue."""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.breaker import admit, note
from simulator.dataplane.cache import EMPTY, fill, flight_row, hit
from simulator.dataplane.compiled import inlined
from simulator.dataplane.requests import (
    BREAKER_OPEN,
    LOST,
    NO_REPLICA,
    OK_CACHE,
    OK_COALESCED,
    OK_MODEL,
    QUEUE_FULL,
    REDISPATCHED,
    SHED,
    answer,
    fail_attempt,
)
from simulator.dataplane.state import NONE, WAITING


@inlined
def _new_flight(p: Any, r: Any, key: Any) -> Any:
    """Start a flight for request r's attempt."""
    clock = p.clock[0]
    request = p.requests[r]
    f = clock.free_flight
    flight = p.flights[f]
    clock.free_flight = int64(flight.next)
    clock.open_flights += 1
    flight.id = request.id
    flight.stream = request.stream
    flight.cls = request.cls
    flight.attempt = request.attempt
    flight.items = request.items
    flight.difficulty = request.difficulty
    flight.key = key
    flight.hop = 0
    flight.station = NONE
    flight.redispatched = 0
    flight.lost = 0
    flight.next = NONE
    flight.waiters = NONE
    flight.waiters_tail = NONE
    flight.founder = r
    return f


@inlined
def end_flight(p: Any, f: Any, t: Any, landed: Any) -> None:
    """A flight is over: its key's row is cleared or filled, its record given back."""
    clock = p.clock[0]
    flight = p.flights[f]
    route = p.routes[p.classes[flight.cls].route]
    route.outstanding -= 1
    if flight.key >= 0:
        if p.rows[flight.key] == flight_row(f):
            p.rows[flight.key] = EMPTY
        if landed:
            fill(p, route, flight.key, t)
    flight.next = clock.free_flight
    clock.free_flight = f
    clock.open_flights -= 1


@inlined
def join(p: Any, f: Any, r: Any) -> None:
    """Request r waits for flight f."""
    request = p.requests[r]
    flight = p.flights[f]
    request.flight = f
    request.phase = WAITING
    request.waiter_prev = flight.waiters_tail
    request.waiter_next = NONE
    if flight.waiters_tail >= 0:
        p.requests[flight.waiters_tail].waiter_next = r
    else:
        flight.waiters = r
    flight.waiters_tail = r


@inlined
def leave(p: Any, r: Any) -> None:
    """Request r waits no longer for its flight."""
    request = p.requests[r]
    flight = p.flights[request.flight]
    if request.waiter_prev >= 0:
        p.requests[request.waiter_prev].waiter_next = request.waiter_next
    else:
        flight.waiters = request.waiter_next
    if request.waiter_next >= 0:
        p.requests[request.waiter_next].waiter_prev = request.waiter_prev
    else:
        flight.waiters_tail = request.waiter_prev
    if flight.founder == r:
        flight.founder = NONE


@inlined
def fail_flight(p: Any, f: Any, t: Any, cause: Any) -> None:
    """A flight has failed: so has the attempt of everybody who waits for it."""
    r = int64(p.flights[f].waiters)
    while r >= 0:
        after = int64(p.requests[r].waiter_next)
        fail_attempt(p, r, t, cause)
        r = after
    end_flight(p, f, t, False)


@inlined
def land(p: Any, f: Any, t: Any) -> Any:
    """A flight's batch is done. Returns whether it goes on to the cascade's next target."""
    flight = p.flights[f]
    note(p, flight.service, f, t, True)
    route = p.routes[p.classes[flight.cls].route]
    if route.split == spec.SPLIT_CASCADE and flight.hop < route.targets_n - 1:
        if flight.difficulty >= p.floats[route.below_at + flight.hop]:
            flight.hop += 1
            return True
    r = int64(flight.waiters)
    founder = int64(flight.founder)
    while r >= 0:
        after = int64(p.requests[r].waiter_next)
        answer(p, r, t, OK_MODEL if r == founder else OK_COALESCED)
        r = after
    end_flight(p, f, t, True)
    return False


@inlined
def enter(p: Any, r: Any, t: Any) -> Any:
    """A validated attempt meets cache, coalescing and shedding. Returns its new flight; NONE: it needs none."""
    request = p.requests[r]
    cls = p.classes[request.cls]
    route = p.routes[cls.route]
    key = request.key
    if route.cache == spec.CACHE_GIVEN:
        cached = draws.unit(draws.hashed(cls.seed_cache_hit, request.id, 0)) < route.hit_ratio
    else:
        cached = key >= 0 and hit(p, route, key, t)
    if cached:
        answer(p, r, t + route.hit_ns, OK_CACHE)
        return int64(NONE)
    if key >= 0 and p.rows[key] < EMPTY:
        join(p, flight_row(p.rows[key]), r)
        return int64(NONE)
    for rule in range(route.shed_n):
        if route.outstanding >= p.ints[route.shed_at + 2 * rule]:
            if cls.priority < p.ints[route.shed_at + 2 * rule + 1]:
                fail_attempt(p, r, t, SHED)
                return int64(NONE)
    f = _new_flight(p, r, key)
    join(p, f, r)
    route.outstanding += 1
    if key >= 0 and route.coalesce:
        p.rows[key] = flight_row(f)
    return f


@inlined
def fetch_delay_ns(p: Any, f: Any) -> Any:
    """Time that the feature fetch of a new flight takes."""
    flight = p.flights[f]
    cls = p.classes[flight.cls]
    route = p.routes[cls.route]
    return draws.delay_ns(p.floats, route.fetch_at, route.fetch_n, cls.seed_feature_fetch, flight.id, flight.attempt)


@inlined
def _target(p: Any, f: Any) -> Any:
    """The service that a flight goes to next."""
    flight = p.flights[f]
    cls = p.classes[flight.cls]
    route = p.routes[cls.route]
    hop = int64(flight.hop)
    if route.targets_n > 1:
        if route.split == spec.SPLIT_WEIGHTED:
            h = draws.hashed(cls.seed_split, flight.id, 0)
            hop = draws.aliased(p.words, route.weights_at, route.targets_n, h)
        elif route.split == spec.SPLIT_DIFFICULTY:
            hop = 0
            while hop < route.targets_n - 1 and flight.difficulty >= p.floats[route.below_at + hop]:
                hop += 1
    return p.ints[route.targets_at + hop]


@inlined
def draw_index(flight: Any) -> Any:
    """Attempt, redispatch and hop of a flight as one number below 256, for its draws."""
    return flight.attempt + 16 * flight.redispatched + 32 * flight.hop


@inlined
def _choose_station(p: Any, s: Any, f: Any) -> Any:
    """The ready queue of service s that flight f joins, by the service's balancing rule."""
    service = p.services[s]
    n = int64(service.ready_n)
    at = int64(service.ready_at)
    if n == 1:
        return int64(p.ready[at])
    if service.balance == spec.BALANCE_ROUND_ROBIN:
        chosen = service.round_robin % n
        service.round_robin += 1
        return int64(p.ready[at + chosen])
    if service.balance == spec.BALANCE_LEAST_OUTSTANDING:
        best = int64(p.ready[at])
        for i in range(1, n):
            other = int64(p.ready[at + i])
            if p.stations[other].outstanding < p.stations[best].outstanding:
                best = other
        return best
    flight = p.flights[f]
    h = draws.hashed(p.classes[flight.cls].seed_balance, flight.id, draw_index(flight))
    first = int64(p.ready[at + draws.below(h, n)])
    if service.balance == spec.BALANCE_RANDOM:
        return first
    second = int64(p.ready[at + draws.below(h << uint64(32), n)])
    return second if p.stations[second].outstanding < p.stations[first].outstanding else first


@inlined
def enqueue(p: Any, f: Any, station_index: Any, t: Any) -> None:
    """Flight f joins the queue of a station, behind its own priority."""
    flight = p.flights[f]
    station = p.stations[station_index]
    level = p.classes[flight.cls].priority
    flight.station = station_index
    flight.enqueue_ns = t
    flight.next = NONE
    tail = p.queue_tail[station_index, level]
    if tail >= 0:
        p.flights[tail].next = f
    else:
        p.queue_head[station_index, level] = f
    p.queue_tail[station_index, level] = f
    station.queued += 1
    station.queued_items += flight.items
    station.outstanding += 1


@inlined
def dispatch(p: Any, f: Any, t: Any) -> Any:
    """Send a flight to its service. Returns the station whose queue it has joined; NONE: it has failed."""
    flight = p.flights[f]
    if flight.lost:
        flight.lost = 0
        note(p, flight.service, f, t, False)
        route = p.routes[p.classes[flight.cls].route]
        if flight.redispatched or route.redispatch == 0:
            fail_flight(p, f, t, LOST)
            return int64(NONE)
        flight.redispatched = 1
        p.class_counters[flight.cls, REDISPATCHED] += 1
    s = _target(p, f)
    flight.service = s
    flight.enqueue_ns = t
    service = p.services[s]
    if service.ready_n == 0:
        fail_flight(p, f, t, NO_REPLICA)
        return int64(NONE)
    if not admit(p, s, f, t):
        fail_flight(p, f, t, BREAKER_OPEN)
        return int64(NONE)
    station_index = _choose_station(p, s, f)
    if p.stations[station_index].queued >= service.max_queue:
        note(p, s, f, t, False)
        fail_flight(p, f, t, QUEUE_FULL)
        return int64(NONE)
    enqueue(p, f, station_index, t)
    return station_index
