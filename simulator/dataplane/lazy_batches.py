"""Batches without events: worked out when somebody looks at a replica, landed as soon as they begin (blockwise.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.batching import (
    BATCH_ITEMS,
    BATCH_REQUESTS,
    BATCHES,
    BUSY_NS,
    QUEUE_WAIT_NS,
)
from simulator.dataplane.compiled import inlined, outlined
from simulator.dataplane.gateway import draw_index
from simulator.dataplane.memory import (
    ALL,
    array_at,
    batch_log,
    count_batch,
    count_served,
    count_service,
    flight_factor,
    flights,
    queues,
    requests,
    rows,
    servers,
    services,
    stations,
    words,
)
from simulator.dataplane.records import NONE
from simulator.dataplane.requests import (
    OK_COALESCED,
    OK_MODEL,
    TIMEOUT,
    answer,
    fail_attempt,
)

NEVER = spec.NEVER


@inlined
def _land(p: Any, f: Any, end_ns: Any) -> None:
    """A flight's answer is there at `end_ns`: for those still waiting then, and for the cache."""
    flight = flights(p, f)
    founder = int64(flight.founder)
    r = int64(flight.waiters)
    while r >= 0:
        request = requests(p, r)
        after = int64(request.waiter_next)
        if end_ns <= request.deadline_ns:
            answer(p, r, end_ns, OK_MODEL if r == founder else OK_COALESCED)
        else:
            fail_attempt(p, r, int64(request.deadline_ns), TIMEOUT)
        r = after
    if flight.key >= 0:
        rows(p, flight.key).value = end_ns
    flight.next = p.free_flight
    p.free_flight = f
    p.open_flights -= 1


@inlined
def _land_batch(p: Any, v: Any) -> None:
    """All flights of a slot's batch land at its end."""
    server = servers(p, v)
    count_service(p, stations(p, server.station).service, BUSY_NS, server.finish_ns - server.start_ns)
    f = int64(server.batch_head)
    while f >= 0:
        after = int64(flights(p, f).next)
        _land(p, f, int64(server.finish_ns))
        f = after


@inlined
def _next_begin_ns(p: Any, i: Any, free_ns: Any) -> Any:
    """When a station begins its next batch, as its queue stands: at once if it is full, else after the delay."""
    station = stations(p, i)
    service = services(p, station.service)
    if station.queued == 0:
        return int64(NEVER)
    if station.queued >= service.max_requests:
        return int64(free_ns)
    return max(int64(free_ns), flights(p, queues(p, i, 0).head).enqueue_ns + service.delay_ns)


@outlined
def _begin(p: Any, i: Any, to_ns: Any) -> None:
    """The batch that a station begins at its `next_ns`; it lands now if it ends before `to_ns`."""
    station = stations(p, i)
    s = int64(station.service)
    service = services(p, s)
    v = int64(station.server)
    server = servers(p, v)
    begin_ns = int64(station.next_ns)
    n = min(int64(station.queued), int64(service.max_requests))
    queue = queues(p, i, 0)
    head = int64(queue.head)
    first = flights(p, head)
    seed, index = words(p, service.seeds_at + first.stream), draw_index(first)
    tables = array_at(p.ints, ALL, np.int64)
    time_ns = draws.sample_ns(tables, server.times_at, tables, server.samples_at, n, seed, first.id, index)
    if service.noise != draws.NOISE_NONE:
        factor = flight_factor(p, head).value
        if math.isnan(factor):
            factor = draws.noise(service.noise, service.noise_parameter, draws.hashed(seed, first.id, index))
        time_ns = draws.stretched_ns(time_ns, factor)
    f, last, waited_ns, members = head, head, int64(0), uint64(0)
    for _ in range(n):
        flight = flights(p, f)
        waited_ns += begin_ns - flight.enqueue_ns
        count_served(p, flight.cls, s, 1)
        if p.log:
            members = draws.fold(members, flight.stream, flight.id, flight.attempt)
        last = f
        f = int64(flight.next)
    flights(p, last).next = NONE
    queue.head = f
    station.queued -= n
    server.start_ns = begin_ns
    server.finish_ns = begin_ns + time_ns
    server.batch_head = head
    server.batch_n = n
    station.next_ns = _next_begin_ns(p, i, server.finish_ns)
    count_service(p, s, BATCHES, 1)
    count_service(p, s, BATCH_REQUESTS, n)
    count_service(p, s, BATCH_ITEMS, n)
    count_service(p, s, QUEUE_WAIT_NS, waited_ns)
    count_batch(p, s, n)
    if p.log:
        row = batch_log(p, p.batch_log_n)
        row.service = s
        row.uid = server.uid
        row.number = server.number
        row.start_ns = begin_ns
        row.finish_ns = server.finish_ns
        row.requests = n
        row.items = n
        row.members = members
        p.batch_log_n += 1
    if server.finish_ns < to_ns:
        _land_batch(p, v)
    else:
        server.busy = 1
        station.next_straddler = p.straddlers
        p.straddlers = i


@inlined
def look(p: Any, i: Any, t: Any, to_ns: Any) -> None:
    """Bring a station up to t: begin every batch that begins by then."""
    while stations(p, i).next_ns <= t:
        _begin(p, i, to_ns)


@outlined
def land_straddlers(p: Any, to_ns: Any) -> None:
    """Batches of earlier windows that end in this one."""
    i = int64(p.straddlers)
    p.straddlers = NONE
    while i >= 0:
        station = stations(p, i)
        after = int64(station.next_straddler)
        server = servers(p, station.server)
        if server.busy:
            if server.finish_ns < to_ns:
                server.busy = 0
                _land_batch(p, int64(station.server))
            else:
                station.next_straddler = p.straddlers
                p.straddlers = i
        i = after
