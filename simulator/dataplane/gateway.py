"""The gateway's side of the kernel: cache, coalescing, shedding, the choice of a service and of a queue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import drawn_difficulty
from simulator.dataplane.breaker import admit, note
from simulator.dataplane.cache import EMPTY, fill, flight_row, hit
from simulator.dataplane.compiled import inlined
from simulator.dataplane.memory import (
    ALL,
    array_at,
    classes,
    count_class,
    flights,
    floats,
    ints,
    queues,
    ready,
    requests,
    routes,
    rows,
    services,
    stations,
)
from simulator.dataplane.records import NONE, WAITING
from simulator.dataplane.requests import (
    BREAKER_OPEN,
    LOST,
    NO_REPLICA,
    OK_CACHE,
    OK_COALESCED,
    OK_MODEL,
    QUEUE_FULL,
    REDISPATCHED,
    REFUSED,
    answer,
)


@inlined
def new_flight(p: Any, r: Any, stream: Any, ident: Any, c: Any, attempt: Any, items: Any, key: Any) -> Any:
    """Start a flight for request r's attempt.

    What it is about is passed, not read from the request's record: fields that were just written one by one and are
    read back several at once would wait for the writes to reach the cache.
    """
    f = p.free_flight
    flight = flights(p, f)
    p.free_flight = int64(flight.next)
    p.open_flights += 1
    flight.id = ident
    flight.key = key
    flight.stream = stream
    flight.cls = c
    flight.attempt = attempt
    flight.service = 0
    flight.hop = 0
    flight.redispatched = 0
    flight.lost = 0
    flight.noted = 0
    flight.items = items
    flight.probe_epoch = 0
    flight.founder = r
    flight.station = NONE
    flight.next = NONE
    flight.waiters = NONE
    flight.waiters_tail = NONE
    return f


@inlined
def end_flight(p: Any, f: Any, t: Any, landed: Any) -> None:
    """A flight is over: its key's row is cleared or filled, its record given back."""
    flight = flights(p, f)
    route = routes(p, classes(p, flight.cls).route)
    route.outstanding -= 1
    if flight.key >= 0:
        if rows(p, flight.key).value == flight_row(f):
            rows(p, flight.key).value = EMPTY
        if landed:
            fill(p, route, flight.key, t)
    flight.next = p.free_flight
    p.free_flight = f
    p.open_flights -= 1


@inlined
def join(p: Any, f: Any, r: Any) -> None:
    """Request r waits for flight f."""
    request = requests(p, r)
    flight = flights(p, f)
    request.flight = f
    request.phase = WAITING
    request.waiter_prev = flight.waiters_tail
    request.waiter_next = NONE
    if flight.waiters_tail >= 0:
        requests(p, flight.waiters_tail).waiter_next = r
    else:
        flight.waiters = r
    flight.waiters_tail = r


@inlined
def leave(p: Any, r: Any) -> None:
    """Request r waits no longer for its flight."""
    request = requests(p, r)
    flight = flights(p, request.flight)
    if request.waiter_prev >= 0:
        requests(p, request.waiter_prev).waiter_next = request.waiter_next
    else:
        flight.waiters = request.waiter_next
    if request.waiter_next >= 0:
        requests(p, request.waiter_next).waiter_prev = request.waiter_prev
    else:
        flight.waiters_tail = request.waiter_prev
    if flight.founder == r:
        flight.founder = NONE


@inlined
def land(p: Any, f: Any, t: Any) -> Any:
    """A flight's batch is done. Returns whether it goes on to the cascade's next target."""
    flight = flights(p, f)
    note(p, flight.service, f, t, True)
    route = routes(p, classes(p, flight.cls).route)
    if route.split == spec.SPLIT_CASCADE and flight.hop < route.targets_n - 1:
        if drawn_difficulty(p, classes(p, flight.cls), flight.id) >= floats(p, route.below_at + flight.hop):
            flight.hop += 1
            return True
    r = int64(flight.waiters)
    founder = int64(flight.founder)
    while r >= 0:
        after = int64(requests(p, r).waiter_next)
        answer(p, r, t, OK_MODEL if r == founder else OK_COALESCED)
        r = after
    end_flight(p, f, t, True)
    return False


@inlined
def enter(p: Any, r: Any, t: Any) -> Any:
    """A validated attempt meets cache, coalescing and shedding. Returns its new flight; NONE: needs none; REFUSED."""
    request = requests(p, r)
    cls = classes(p, request.cls)
    route = routes(p, cls.route)
    key = request.key
    if route.cache == spec.CACHE_GIVEN:
        cached = draws.unit(draws.hashed(cls.seed_cache_hit, request.id, 0)) < route.hit_ratio
    else:
        cached = key >= 0 and hit(p, route, key, t)
    if cached:
        answer(p, r, t + route.hit_ns, OK_CACHE)
        return int64(NONE)
    if key >= 0 and rows(p, key).value < EMPTY:
        join(p, flight_row(rows(p, key).value), r)
        return int64(NONE)
    for rule in range(route.shed_n):
        if route.outstanding >= ints(p, route.shed_at + 2 * rule):
            if cls.priority < ints(p, route.shed_at + 2 * rule + 1):
                return int64(REFUSED)
    f = new_flight(p, r, request.stream, request.id, request.cls, request.attempt, request.items, key)
    join(p, f, r)
    route.outstanding += 1
    if key >= 0 and route.coalesce:
        rows(p, key).value = flight_row(f)
    return f


@inlined
def fetch_delay_ns(p: Any, f: Any) -> Any:
    """Time that the feature fetch of a new flight takes."""
    flight = flights(p, f)
    cls = classes(p, flight.cls)
    route = routes(p, cls.route)
    return draws.delay_ns(
        array_at(p.floats, ALL, np.float64),
        route.fetch_at,
        route.fetch_n,
        cls.seed_feature_fetch,
        flight.id,
        flight.attempt,
    )


@inlined
def target_of(p: Any, f: Any) -> Any:
    """The service that a flight goes to next."""
    flight = flights(p, f)
    cls = classes(p, flight.cls)
    route = routes(p, cls.route)
    hop = int64(flight.hop)
    if route.targets_n > 1:
        if route.split == spec.SPLIT_WEIGHTED:
            h = draws.hashed(cls.seed_split, flight.id, 0)
            hop = draws.aliased(array_at(p.words, ALL, np.uint64), route.weights_at, route.targets_n, h)
        elif route.split == spec.SPLIT_DIFFICULTY:
            hop = 0
            difficulty = drawn_difficulty(p, cls, flight.id)
            while hop < route.targets_n - 1 and difficulty >= floats(p, route.below_at + hop):
                hop += 1
    return ints(p, route.targets_at + hop)


@inlined
def draw_index(flight: Any) -> Any:
    """Attempt, redispatch and hop of a flight as one number below 256, for its draws."""
    return int64(flight.attempt) + 16 * int64(flight.redispatched) + 32 * int64(flight.hop)


@inlined
def _choose_station(p: Any, s: Any, f: Any) -> Any:
    """The ready queue of service s that flight f joins, by the service's balancing rule."""
    service = services(p, s)
    n = int64(service.ready_n)
    at = int64(service.ready_at)
    if n == 1:
        return int64(ready(p, at))
    if service.balance == spec.BALANCE_ROUND_ROBIN:
        chosen = service.round_robin % n
        service.round_robin += 1
        return int64(ready(p, at + chosen))
    if service.balance == spec.BALANCE_LEAST_OUTSTANDING:
        best = int64(ready(p, at))
        for i in range(1, n):
            other = int64(ready(p, at + i))
            if stations(p, other).outstanding < stations(p, best).outstanding:
                best = other
        return best
    flight = flights(p, f)
    h = draws.hashed(classes(p, flight.cls).seed_balance, flight.id, draw_index(flight))
    first = int64(ready(p, at + draws.below(h, n)))
    if service.balance == spec.BALANCE_RANDOM:
        return first
    second = int64(ready(p, at + draws.below(h << uint64(32), n)))
    return second if stations(p, second).outstanding < stations(p, first).outstanding else first


@inlined
def enqueue(p: Any, f: Any, station_index: Any, t: Any) -> None:
    """Flight f joins the queue of a station, behind its own priority."""
    flight = flights(p, f)
    station = stations(p, station_index)
    level = classes(p, flight.cls).priority
    flight.station = station_index
    flight.enqueue_ns = t
    flight.next = NONE
    tail = queues(p, station_index, level).tail
    if tail >= 0:
        flights(p, tail).next = f
    else:
        queues(p, station_index, level).head = f
    queues(p, station_index, level).tail = f
    station.queued += 1
    station.queued_items += flight.items
    station.outstanding += 1


@inlined
def refusal(cause: Any) -> Any:
    """A cause of failure as a number below NONE, and the other way round."""
    return int64(-2) - cause


@inlined
def dispatch(p: Any, f: Any, t: Any) -> Any:
    """Send a flight to its service. Returns the station whose queue it has joined, or `refusal(cause)`."""
    flight = flights(p, f)
    if flight.lost:
        flight.lost = 0
        note(p, flight.service, f, t, False)
        route = routes(p, classes(p, flight.cls).route)
        if flight.redispatched or route.redispatch == 0:
            return refusal(LOST)
        flight.redispatched = 1
        count_class(p, flight.cls, REDISPATCHED, 1)
    s = target_of(p, f)
    flight.service = s
    flight.enqueue_ns = t
    service = services(p, s)
    if service.ready_n == 0:
        return refusal(NO_REPLICA)
    if not admit(p, s, f, t):
        return refusal(BREAKER_OPEN)
    station_index = _choose_station(p, s, f)
    if stations(p, station_index).queued >= service.max_queue:
        note(p, s, f, t, False)
        return refusal(QUEUE_FULL)
    enqueue(p, f, station_index, t)
    return station_index
