"""The replicas' side of the kernel: queues become batches, batches take time, results land.

The rule is Triton's dynamic batcher (triton-inference-server/core, `DynamicBatchScheduler::GetDynamicBatch`): a
preferred size is sent as soon as the queue reaches it, a batch that can't grow is sent at once, and any batch is sent
when its oldest request has waited for the delay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane.compiled import inlined, outlined
from simulator.dataplane.events import COMPLETE, TIMER, fleet_key, push
from simulator.dataplane.gateway import draw_index, end_flight, land
from simulator.dataplane.memory import (
    ALL,
    array_at,
    batch_log,
    count_batch,
    count_served,
    count_service,
    flights,
    ints,
    queues,
    servers,
    services,
    station_servers,
    stations,
    words,
)
from simulator.dataplane.records import NONE, PRIORITIES
from simulator.results.recorded import SERVICE_COUNTERS

BATCHES, BATCH_REQUESTS, BATCH_ITEMS, BUSY_NS, QUEUE_WAIT_NS, EXPIRED = (
    SERVICE_COUNTERS.index(name)
    for name in ("batches", "batch_requests", "batch_items", "busy_ns", "queue_wait_ns", "expired")
)
WAIT = -1


@inlined
def _oldest_ns(p: Any, station_index: Any) -> Any:
    """When the oldest waiting flight joined the queue."""
    oldest = int64(1) << 62
    for level in range(PRIORITIES):
        f = queues(p, station_index, level).head
        if f >= 0:
            oldest = min(oldest, flights(p, f).enqueue_ns)
    return oldest


@inlined
def _drop(p: Any, station_index: Any, level: Any, before: Any, f: Any, t: Any) -> None:
    """Take an expired flight out of the queue; `before` is the one ahead of it in its level, or NONE."""
    station = stations(p, station_index)
    flight = flights(p, f)
    after = flight.next
    if before >= 0:
        flights(p, before).next = after
    else:
        queues(p, station_index, level).head = after
    if after < 0:
        queues(p, station_index, level).tail = before
    station.queued -= 1
    station.queued_items -= flight.items
    station.outstanding -= 1
    count_service(p, station.service, EXPIRED, 1)
    end_flight(p, f, t, False)


@inlined
def _is_preferred(p: Any, service: Any, items: Any) -> Any:
    for i in range(service.preferred_n):
        if ints(p, service.preferred_at + i) == items:
            return True
    return False


@outlined
def _examine(p: Any, station_index: Any, t: Any) -> Any:
    """Walk the queue from its front: how many flights make the next batch now, or WAIT. Drops expired ones."""
    station = stations(p, station_index)
    service = services(p, station.service)
    n, items, best, full = int64(0), int64(0), int64(0), False
    for upside_down in range(PRIORITIES):
        level = PRIORITIES - 1 - upside_down
        before = int64(NONE)
        f = int64(queues(p, station_index, level).head)
        while f >= 0 and not full:
            flight = flights(p, f)
            after = int64(flight.next)
            if service.drop_expired and flight.waiters < 0:
                _drop(p, station_index, level, before, f, t)
                f = after
                continue
            if n > 0:
                if best == 0 and items + flight.items > service.max_preferred:
                    best = n
                full = items + flight.items > service.max_items or n == service.max_requests
            if not full:
                n += 1
                items += flight.items
                if _is_preferred(p, service, items):
                    best = n
                before = f
                f = after
    if n == 0:
        return int64(WAIT)
    exceeded = service.delay_ns > 0 and t - _oldest_ns(p, station_index) >= service.delay_ns
    if best > 0 and not exceeded:
        return best
    if (
        full
        or items >= service.max_preferred
        or n == service.max_requests
        or exceeded
        or service.delay_ns == 0
    ):
        return n
    return int64(WAIT)


@inlined
def _batch_size(p: Any, station_index: Any, t: Any) -> Any:
    """How many flights make the next batch now, or WAIT: by counting where that is enough."""
    station = stations(p, station_index)
    service = services(p, station.service)
    if service.preferred_n > 0 or service.drop_expired:
        return _examine(p, station_index, t)
    if station.queued >= service.max_requests or station.queued_items >= service.max_items:
        if station.queued_items == station.queued:
            return min(int64(station.queued), int64(service.max_requests))
        return _examine(p, station_index, t)
    if service.delay_ns == 0 or t - _oldest_ns(p, station_index) >= service.delay_ns:
        return int64(station.queued)
    return int64(WAIT)


@inlined
def _idle_server(p: Any, station: Any) -> Any:
    """The first free batch slot of a station, in listed order."""
    i = int64(station.servers_at)
    while True:
        v = int64(station_servers(p, i))
        server = servers(p, v)
        if server.busy == 0 and server.accepting:
            return v
        i += 1


@inlined
def _begin(p: Any, station_index: Any, n: Any, t: Any) -> None:
    """Put the first n flights of a queue into service."""
    station = stations(p, station_index)
    s = station.service
    service = services(p, s)
    v = _idle_server(p, station)
    server = servers(p, v)
    head, last = int64(NONE), int64(NONE)
    items, left, members, waited_ns = int64(0), int64(n), uint64(0), int64(0)
    for upside_down in range(PRIORITIES):
        level = PRIORITIES - 1 - upside_down
        if left == 0:
            break
        f = int64(queues(p, station_index, level).head)
        while f >= 0 and left > 0:
            flight = flights(p, f)
            if last >= 0:
                flights(p, last).next = f
            else:
                head = f
            last = f
            items += flight.items
            waited_ns += t - flight.enqueue_ns
            count_served(p, flight.cls, s, flight.items)
            if p.log:
                members = draws.fold(members, flight.stream, flight.id, flight.attempt)
            left -= 1
            f = int64(flight.next)
        queues(p, station_index, level).head = f
        if f < 0:
            queues(p, station_index, level).tail = NONE
    flights(p, last).next = NONE
    first = flights(p, head)
    time_ns = draws.service_time_ns(
        array_at(p.ints, ALL, np.int64),
        server.times_at,
        array_at(p.ints, ALL, np.int64),
        server.samples_at,
        items,
        service.noise,
        service.noise_parameter,
        words(p, service.seeds_at + first.stream),
        first.id,
        draw_index(first),
    )
    server.busy = 1
    server.start_ns = t
    server.finish_ns = t + time_ns
    server.batch_head = head
    server.batch_n = n
    server.batch_items = items
    station.idle -= 1
    station.queued -= n
    station.queued_items -= items
    count_service(p, s, BATCHES, 1)
    count_service(p, s, BATCH_REQUESTS, n)
    count_service(p, s, BATCH_ITEMS, items)
    count_service(p, s, QUEUE_WAIT_NS, waited_ns)
    count_batch(p, s, items)
    push(p, server.finish_ns, fleet_key(COMPLETE, server.uid, server.number), v)
    if p.log:
        row = batch_log(p, p.batch_log_n)
        row.service = s
        row.uid = server.uid
        row.number = server.number
        row.start_ns = t
        row.finish_ns = server.finish_ns
        row.requests = n
        row.items = items
        row.members = members
        p.batch_log_n += 1


@inlined
def offer(p: Any, station_index: Any, t: Any) -> None:
    """Start every batch that a station can start at t; set its timer for the next."""
    station = stations(p, station_index)
    while station.idle > 0 and station.queued > 0:
        n = _batch_size(p, station_index, t)
        if n == WAIT:
            if station.queued > 0:
                due_ns = _oldest_ns(p, station_index) + services(p, station.service).delay_ns
                if station.timer_ns != due_ns:
                    station.timer_ns = due_ns
                    push(p, due_ns, fleet_key(TIMER, station.uid, 0), station_index)
            break
        _begin(p, station_index, n, t)


@inlined
def complete(p: Any, v: Any, t: Any) -> None:
    """A batch is done: its flights land; those that go on in a cascade are left in the pending list."""
    server = servers(p, v)
    station = stations(p, server.station)
    count_service(p, station.service, BUSY_NS, server.finish_ns - server.start_ns)
    station.outstanding -= server.batch_n
    if server.accepting:
        station.idle += 1
    server.busy = 0
    f = int64(server.batch_head)
    while f >= 0:
        after = int64(flights(p, f).next)
        if land(p, f, t):
            defer(p, f)
        f = after


@inlined
def defer(p: Any, f: Any) -> None:
    """Leave a flight in the list of those to be dispatched next."""
    flights(p, f).next = NONE
    if p.pending_tail >= 0:
        flights(p, p.pending_tail).next = f
    else:
        p.pending = f
    p.pending_tail = f


@inlined
def next_deferred(p: Any) -> Any:
    """Take the first flight of that list."""
    f = p.pending
    p.pending = int64(flights(p, f).next)
    if p.pending < 0:
        p.pending_tail = NONE
    return f
