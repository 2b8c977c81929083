"""The block-wise kernel: the same rules, several times faster, for the scenarios that allow it (`eligible.py`).

Two things make it fast. Hits are told apart a block at a time (`blocks.py`). And a replica has no events: a batch's
beginning and end are worked out when somebody looks at the replica, up to the time of looking; a batch that ends
within the window is *landed* as soon as it begins, answers, time-outs and cache rows with their own times, because
nothing from outside can come in between. A row may therefore hold a time in the future: what asks for the key before
then has joined that flight, and gets its answer at that time. Batches that end after the window wait in the list of
straddlers. What is left to do in order of time: misses, retries and time-outs.
"""

from __future__ import annotations

import math
from typing import Any

from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.batching import (
    next_deferred,
)
from simulator.dataplane.blocks import ask_ahead, count_sends, in_half, open_block, row_answers
from simulator.dataplane.cache import EMPTY, flight_row
from simulator.dataplane.compiled import entry, inlined, outlined
from simulator.dataplane.events import pop
from simulator.dataplane.foresee import WHO_MASK, WHO_SHIFT
from simulator.dataplane.gateway import draw_index, join, leave, new_flight, target_of
from simulator.dataplane.kernel import DONE, NEED_ROOM, slack_of
from simulator.dataplane.lazy_batches import land_straddlers, look
from simulator.dataplane.memory import (
    classes,
    count_class,
    deadlines,
    flight_factor,
    flights,
    groups,
    heap,
    queues,
    ready,
    record_at,
    requests,
    routes,
    rows,
    servers,
    services,
    stations,
)
from simulator.dataplane.records import FLOAT, INT, NONE, WAITING, WORD
from simulator.dataplane.requests import (
    ATTEMPTS,
    LOST,
    NO_REPLICA,
    OK_CACHE,
    OK_COALESCED,
    REDISPATCHED,
    TIMEOUT,
    answer,
    count_answers,
    drop_stale,
    fail_attempt,
    log_row,
    new_request,
    watch_deadline,
)

NEVER = spec.NEVER


@inlined
def _outstanding(p: Any, i: Any, t: Any) -> Any:
    """Flights waiting or in service at a station that has been brought up to t."""
    station = stations(p, i)
    server = servers(p, station.server)
    # Without a division of cases: whether a batch is in service is as good as random.
    return int64(station.queued) + int64(server.finish_ns > t) * int64(server.batch_n)


@inlined
def _choose(p: Any, s: Any, f: Any, y: Any, t: Any, to_ns: Any) -> Any:
    """The station of service s that flight f joins, brought up to t. `y`: the miss that it was founded by, or NONE."""
    service = services(p, s)
    n = int64(service.ready_n)
    at = int64(service.ready_at)
    if n == 1:
        chosen = ready(p, at)
    elif service.balance == spec.BALANCE_ROUND_ROBIN:
        chosen = ready(p, at + service.round_robin % n)
        service.round_robin += 1
    else:
        if y >= 0:
            h = record_at(p.miss_hash, y, WORD).value
        else:
            flight = flights(p, f)
            h = draws.hashed(classes(p, flight.cls).seed_balance, flight.id, draw_index(flight))
        chosen = ready(p, at + draws.below(h, n))
        if service.balance == spec.BALANCE_POWER_OF_TWO:
            other = ready(p, at + draws.below(h << uint64(32), n))
            if other != chosen:
                look(p, other, t, to_ns)
                look(p, chosen, t, to_ns)
                if _outstanding(p, other, t) < _outstanding(p, chosen, t):
                    chosen = other
                return chosen
    look(p, chosen, t, to_ns)
    return chosen


@inlined
def _dispatch(p: Any, f: Any, y: Any, t: Any, seen_ns: Any, to_ns: Any) -> Any:
    """Send a flight to a queue of its service. Returns NONE, or the cause of its failure.

    Replicas are looked at as of `seen_ns`: that is t, but for what a change of the fleet sends on.
    """
    flight = flights(p, f)
    if flight.lost:
        flight.lost = 0
        if flight.redispatched or routes(p, classes(p, flight.cls).route).redispatch == 0:
            return int64(LOST)
        flight.redispatched = 1
        flight_factor(p, f).value = math.nan
        count_class(p, flight.cls, REDISPATCHED, 1)
    s = target_of(p, f)
    service = services(p, s)
    if service.ready_n == 0:
        return int64(NO_REPLICA)
    i = _choose(p, s, f, y, seen_ns, to_ns)
    station = stations(p, i)
    flight.service = s
    flight.station = i
    flight.enqueue_ns = t
    flight.next = NONE
    queue = queues(p, i, 0)
    free_ns = max(servers(p, station.server).finish_ns, t)
    if station.queued == 0:
        queue.head = f
        station.next_ns = max(free_ns, t + service.delay_ns)
    else:
        flights(p, queue.tail).next = f
    queue.tail = f
    station.queued += 1
    if station.queued == service.max_requests:
        station.next_ns = free_ns
    return int64(NONE)


@outlined
def _fail_flight(p: Any, f: Any, t: Any, cause: Any) -> None:
    """A flight has failed, and with it the attempt of everybody who waits for it."""
    flight = flights(p, f)
    if flight.key >= 0:
        rows(p, flight.key).value = EMPTY
    r = int64(flight.waiters)
    flight.next = p.free_flight
    p.free_flight = f
    p.open_flights -= 1
    while r >= 0:
        after = int64(requests(p, r).waiter_next)
        fail_attempt(p, r, t, cause)
        r = after


@inlined
def _born(p: Any, who: Any, c: Any, key: Any, t: Any) -> Any:
    """Record of a first send that must wait for something."""
    r = new_request(p)
    request = requests(p, r)
    request.id = who & WHO_MASK
    request.stream = who >> WHO_SHIFT
    request.cls = c
    request.attempt = 0
    request.first_ns = t
    request.sent_ns = t
    request.key = key
    request.items = 1
    request.phase = WAITING
    watch_deadline(p, r, c, t)
    return r


@inlined
def _send(p: Any, r: Any, y: Any, who: Any, c: Any, key: Any, t: Any, to_ns: Any) -> None:
    """An attempt at the gateway: a retry (r >= 0), or the first send that is miss y of the block."""
    r_new = r < 0
    if not r_new:
        count_class(p, c, ATTEMPTS, 1)
        request = requests(p, r)
        request.sent_ns = t
        request.phase = WAITING
        request.flight = NONE
        watch_deadline(p, r, c, t)
    row = int64(EMPTY)
    if key >= 0:
        row = rows(p, key).value
        if row < EMPTY:
            # The flight may have landed by now, if somebody looks.
            look(p, int64(flights(p, flight_row(row)).station), t, to_ns)
            row = rows(p, key).value
        route = routes(p, classes(p, c).route)
        if row_answers(row, t, route.ttl_ns):
            if row <= t:
                end_ns = t + route.hit_ns
                how = OK_CACHE
            else:
                end_ns = row
                how = OK_COALESCED
            timeout_ns = classes(p, c).timeout_ns
            if how == OK_COALESCED and end_ns - t > timeout_ns:
                if r < 0:
                    r = _born(p, who, c, key, t)
                fail_attempt(p, r, t + timeout_ns, TIMEOUT)
            elif r < 0:
                count_answers(p, c, how, end_ns - t, 1)
                if p.log:
                    log_row(p, who >> WHO_SHIFT, who & WHO_MASK, c, 1, how, t, end_ns)
            else:
                answer(p, r, end_ns, how)
            return
    if r < 0:
        r = _born(p, who, c, key, t)
    if row < EMPTY:
        join(p, flight_row(row), r)
        return
    if r_new:
        f = new_flight(p, r, who >> WHO_SHIFT, who & WHO_MASK, c, 0, 1, key)
        flight_factor(p, f).value = record_at(p.miss_factor, y, FLOAT).value
    else:
        request = requests(p, r)
        f = new_flight(p, r, request.stream, request.id, c, request.attempt, 1, key)
        flight_factor(p, f).value = math.nan
    join(p, f, r)
    if key >= 0:
        rows(p, key).value = flight_row(f)
    cause = _dispatch(p, f, y, t, t, to_ns)
    if cause >= 0:
        _fail_flight(p, f, t, cause)


@outlined
def _close_window(p: Any, to_ns: Any) -> None:
    """Bring everything up to the end of the window: replicas, and hits not yet counted.

    No batch that begins here can be too late for anybody: every deadline before the end has had its turn.
    """
    for i in range(p.stations_n):
        if stations(p, i).live:
            look(p, i, to_ns - 1, to_ns)
    before = p.block_at
    while before < p.block_n and in_half(p.block_ns, p.half, before) < to_ns:
        before += 1
    if before > p.block_at:
        count_sends(p, before)
    p.now_ns = to_ns


@outlined
def _overdue(p: Any, g: Any, t: Any, to_ns: Any) -> None:
    """The first deadline of a group is t: the request may have its answer already, if somebody looks."""
    r = int64(deadlines(p, g, groups(p, g).head).request)
    request = requests(p, r)
    f = int64(request.flight)
    look(p, int64(flights(p, f).station), t, to_ns)
    if request.deadline_ns == t:
        leave(p, r)
        fail_attempt(p, r, t, TIMEOUT)


@outlined
def _dispatch_deferred(p: Any, to_ns: Any) -> None:
    """The next flight of those that a lost replica has left.

    Changes of the fleet come before the events of their nanosecond: a batch that ends in it is still in service. What
    can begin does so at once, so that whoever observes the fleet now sees it.
    """
    t = int64(p.now_ns)
    f = next_deferred(p)
    cause = _dispatch(p, f, int64(NONE), t, t - 1, to_ns)
    if cause >= 0:
        _fail_flight(p, f, t, cause)
    else:
        i = int64(flights(p, f).station)
        if servers(p, stations(p, i).server).busy == 0:
            look(p, i, t, to_ns)


@outlined
def _retry(p: Any, t: Any, to_ns: Any) -> None:
    """The next attempt of a request whose last one has failed."""
    r = int64(heap(p, 0).subject)
    pop(p)
    request = requests(p, r)
    _send(p, r, int64(NONE), int64(0), int64(request.cls), request.key, t, to_ns)


@entry
def advance(memory: Any, to_ns: int) -> int:
    """As `kernel.advance`: handle every event before `to_ns`. Returns DONE, or NEED_ROOM."""
    p = memory[0]
    p.offered = NONE  # a new replica has a queue of its own, and nothing waits in it
    land_straddlers(p, to_ns)
    slack = int64(0)
    while True:
        if slack == 0:
            slack = slack_of(p)
            if slack == 0:
                return NEED_ROOM
        slack -= 1
        if p.pending >= 0:
            _dispatch_deferred(p, to_ns)
            continue
        # The next miss; past the last one of a block that reaches beyond the window there is none before its end.
        t = int64(NEVER)
        i = int64(0)
        if p.miss_at < p.misses_n:
            i = record_at(p.misses, p.miss_at, INT).value
            t = in_half(p.block_ns, p.half, i)
        elif p.block_n > 0 and in_half(p.block_ns, p.half, p.block_n - 1) >= to_ns:
            t = int64(to_ns)
        elif p.ahead_n != 0:
            if p.block_at < p.block_n:
                count_sends(p, p.block_n)
            open_block(p)
            continue
        retry = p.events > 0 and heap(p, 0).time_ns < t
        if retry:
            t = int64(heap(p, 0).time_ns)
        due = int64(NONE)
        for g in range(p.groups_n):
            drop_stale(p, g, t)
            if groups(p, g).due_ns <= t:
                # A deadline comes before sends of its time; the first of the document's time-outs before others.
                if groups(p, g).due_ns < t or due < 0:
                    t = int64(groups(p, g).due_ns)
                    due = int64(g)
        if t >= to_ns:
            _close_window(p, to_ns)
            return DONE
        if due >= 0:
            _overdue(p, due, t, to_ns)
        elif retry:
            _retry(p, t, to_ns)
        else:
            y = int64(p.miss_at)
            p.miss_at = y + 1
            ask_ahead(p)
            c = in_half(p.block_class, p.half, i)
            _send(
                p,
                int64(NONE),
                y,
                in_half(p.block_who, p.half, i),
                c,
                in_half(p.block_key, p.half, i),
                t,
                to_ns,
            )
