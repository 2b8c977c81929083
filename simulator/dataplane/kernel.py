"""The event-ordered kernel: every rule of the data plane, one event after the other, without Python.

`advance` is the loop. It handles the earliest of: the next first send of each stream, the earliest deadline of each
time-out, the top of the heap. Its state is `p` (memory.py); nothing is kept of a request that is over.
"""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from simulator.dataplane import events as ev
from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import (
    ask_for_popularity,
    ask_for_rows,
    block_of,
    drawn_class,
    drawn_items,
    drawn_key,
    refill_own,
    think_ns,
)
from simulator.dataplane.batching import BUSY_NS, complete, defer, next_deferred, offer
from simulator.dataplane.breaker import note
from simulator.dataplane.compiled import entry, inlined, outlined
from simulator.dataplane.events import fleet_key, pop, push, request_key
from simulator.dataplane.gateway import dispatch, end_flight, enter, fetch_delay_ns, leave, refusal
from simulator.dataplane.memory import (
    classes,
    count_service,
    deadlines,
    flights,
    groups,
    heap,
    prefetch,
    queues,
    record_at,
    requests,
    rows,
    servers,
    stations,
    streams,
)
from simulator.dataplane.records import BLOCK, INT, LRU_ENTRY, NONE, PRIORITIES, VALIDATING
from simulator.dataplane.requests import (
    RATE_LIMITED,
    REFUSED,
    SHED,
    TIMEOUT,
    begin_attempt,
    compact_deadlines,
    drop_stale,
    fail_attempt,
    new_request,
)

DONE, NEED_ROOM = range(2)
"""What `advance` returns: the window is done; or memory must grow first (nothing has changed by then)."""
ID_MASK = (1 << 40) - 1
LRU_ENTRY_BYTES = LRU_ENTRY.itemsize
ROWS_AHEAD, ENTRIES_AHEAD = 16, 8
"""How many sends ahead memory is asked for the row of a key, and for the entry of a list that the row names."""


@inlined
def _arrival(address: Any, s: Any, i: Any) -> Any:
    """Entry i of a stream's block."""
    return record_at(address, s * BLOCK + i, INT).value


@inlined
def _first_send(p: Any, s: Any, ident: Any, t: Any, c: Any, key: Any) -> Any:
    """A logical request is born: the record of its first attempt."""
    r = new_request(p)
    stream = streams(p, s)
    cls = classes(p, c)
    request = requests(p, r)
    request.id = ident
    request.stream = s
    request.cls = c
    request.attempt = 0
    request.first_ns = t
    request.key = key
    request.items = drawn_items(p, stream, cls, ident)
    return r


@inlined
def _user_sends(p: Any, s: Any, ident: Any, t: Any) -> Any:
    """A closed-loop user's next request."""
    stream = streams(p, s)
    c = drawn_class(p, stream, ident)
    cls = classes(p, c)
    key = drawn_key(p, stream, cls, ident, t)
    return _first_send(p, s, ident, t, c, key)


@inlined
def _ask_ahead(p: Any, s: Any, i: Any) -> None:
    """Ask memory for what later sends of a stream than the i-th of its block will look at."""
    ask_for_popularity(p, s, i, i + 1)
    if i + ROWS_AHEAD < BLOCK:
        ask_for_rows(p, block_of(p.arrival_key, s), i + ROWS_AHEAD, i + ROWS_AHEAD + 1)
    if p.lru_n > 0 and i + ENTRIES_AHEAD < BLOCK:
        key = _arrival(p.arrival_key, s, i + ENTRIES_AHEAD)
        if key >= 0:
            entry_index = rows(p, key).value
            if entry_index >= 0:
                prefetch(p.lru + LRU_ENTRY_BYTES * entry_index)


@inlined
def _next_stream(p: Any) -> Any:
    """The stream with the earliest next send (the first of them in the document, if several), and its time."""
    next_s, next_ns = 0, int64(spec.NEVER)
    for s in range(p.streams_n):
        if streams(p, s).position == BLOCK:
            refill_own(p, s)
            ask_for_rows(p, block_of(p.arrival_key, s), 0, ROWS_AHEAD)
        when = _arrival(p.arrival_ns, s, streams(p, s).position)
        if when < next_ns:
            next_s, next_ns = s, when
    return next_s, next_ns


@inlined
def _give_up(p: Any, r: Any, t: Any) -> None:
    """A client's time-out: its flight goes on without it."""
    request = requests(p, r)
    if request.flight >= 0:
        flight = flights(p, request.flight)
        if flight.station >= 0:
            note(p, flight.service, request.flight, t, False)
        leave(p, r)


@outlined
def slack_of(p: Any) -> Any:
    """How many more events there is memory for: each takes at most one request, one flight and one of each log row
    for every slot; and every open request may at any time want to be retried."""
    slack = min(p.room_requests - p.open_requests, p.room_flights - p.open_flights)
    slack = min(slack, (p.room_events - p.events - p.open_requests - p.open_flights - p.servers_n - 4) // 3)
    if p.log:
        slack = min(slack, (p.room_log - p.log_n - p.open_requests) // 2)
        slack = min(slack, (p.room_batch_log - p.batch_log_n) // (p.servers_n + 1))
    for g in range(p.groups_n):
        if groups(p, g).tail - groups(p, g).head > p.ring_room // 2:
            compact_deadlines(p, g)
        slack = min(slack, p.ring_room - (groups(p, g).tail - groups(p, g).head))
    return max(slack, int64(0))


@entry
def advance(memory: Any, to_ns: int) -> int:
    """Handle every event before `to_ns`. Returns DONE, or NEED_ROOM with the plane as it was before an event."""
    p = memory[0]
    next_s = 0
    next_send_ns = int64(-1)
    slack = int64(0)
    while True:
        if slack == 0:
            slack = slack_of(p)
            if slack == 0:
                return NEED_ROOM
        slack -= 1
        station_index = int64(NONE)
        f = int64(NONE)
        r = int64(NONE)
        cause = int64(NONE)
        t = p.now_ns
        if p.offered >= 0:
            # New slots look at their queue before anything else happens.
            station_index = int64(p.offered)
            p.offered = stations(p, station_index).next_offered
        elif p.pending >= 0:
            f = next_deferred(p)
        else:
            # The next event, by time and then by key: heap before stream before deadline, unless they are earlier.
            if next_send_ns < 0:
                next_s, next_send_ns = _next_stream(p)
            t = next_send_ns
            kind = int64(ev.SEND)
            from_heap = False
            if p.events > 0:
                top = heap(p, 0)
                if top.time_ns < t or (top.time_ns == t and top.key < request_key(ev.SEND, next_s, 0, 0)):
                    t = int64(top.time_ns)
                    kind = int64(top.key >> uint64(ev.KIND_SHIFT))
                    from_heap = True
            for g in range(p.groups_n):
                drop_stale(p, g, t)
                due_ns = int64(groups(p, g).due_ns)
                if due_ns < t or (due_ns == t and kind > ev.DEADLINE):
                    t = due_ns
                    kind = int64(ev.DEADLINE)
                    r = int64(deadlines(p, g, groups(p, g).head).request)
            if t >= to_ns:
                p.now_ns = to_ns
                return DONE
            p.now_ns = t
            entering = False
            if kind == ev.DEADLINE:
                _give_up(p, r, t)
                cause = int64(TIMEOUT)
            elif from_heap:
                top = heap(p, 0)
                subject = int64(top.subject)
                key = top.key
                pop(p)
                if kind == ev.COMPLETE:
                    server = servers(p, subject)
                    # A lost replica's batches are still in the heap; its slot may be another's by now.
                    if (
                        server.busy
                        and server.finish_ns == t
                        and fleet_key(ev.COMPLETE, server.uid, server.number) == key
                    ):
                        complete(p, subject, t)
                        station_index = int64(server.station)
                elif kind == ev.TIMER:
                    station = stations(p, subject)
                    if station.timer_ns == t and fleet_key(ev.TIMER, station.uid, 0) == key:
                        station.timer_ns = -1
                        station_index = subject
                elif kind == ev.SEND:
                    r = _user_sends(p, subject, int64((key >> uint64(ev.ID_SHIFT)) & uint64(ID_MASK)), t)
                elif kind == ev.RETRY:
                    r = subject
                elif kind == ev.ENTER:
                    # The client may have given up while the gateway validated.
                    request = requests(p, subject)
                    if (
                        request.phase == VALIDATING
                        and request_key(ev.ENTER, request.stream, request.id, request.attempt) == key
                    ):
                        r = subject
                        entering = True
                else:
                    f = subject
            else:
                stream = streams(p, next_s)
                i = stream.position
                stream.position += 1
                next_send_ns = int64(-1)
                _ask_ahead(p, next_s, i)
                r = _first_send(
                    p,
                    next_s,
                    stream.first_id + i,
                    t,
                    _arrival(p.arrival_class, next_s, i),
                    _arrival(p.arrival_key, next_s, i),
                )
            if r >= 0 and cause < 0:
                delay_ns = int64(0) if entering else begin_attempt(p, r, t)
                if delay_ns > 0:
                    request = requests(p, r)
                    push(
                        p, t + delay_ns, request_key(ev.ENTER, request.stream, request.id, request.attempt), r
                    )
                elif delay_ns == REFUSED:
                    cause = int64(RATE_LIMITED)
                else:
                    f = enter(p, r, t)
                    if f >= 0:
                        fetch_ns = fetch_delay_ns(p, f)
                        if fetch_ns > 0:
                            flight = flights(p, f)
                            push(
                                p,
                                t + fetch_ns,
                                request_key(ev.FETCHED, flight.stream, flight.id, flight.attempt),
                                f,
                            )
                            f = int64(NONE)
                    elif f == REFUSED:
                        cause = int64(SHED)
        if f >= 0:
            station_index = dispatch(p, f, t)
            if station_index < NONE:
                cause = refusal(station_index)
                r = _fail_flight(p, f, t)
        if cause >= 0:
            # One request, or everybody who waited for a flight that has failed.
            while r >= 0:
                after = int64(requests(p, r).waiter_next) if f >= 0 else int64(NONE)
                fail_attempt(p, r, t, cause)
                r = after
        elif station_index >= 0:
            offer(p, station_index, t)


@inlined
def _fail_flight(p: Any, f: Any, t: Any) -> Any:
    """A flight is over without an answer. Returns the first of those who waited for it."""
    r = int64(flights(p, f).waiters)
    end_flight(p, f, t, False)
    return r


@entry
def withdraw(memory: Any, v: int, now_ns: int) -> None:
    """The slot v of a lost replica: its batch is left in the pending list, marked as lost."""
    p = memory[0]
    server = servers(p, v)
    station = stations(p, server.station)
    if server.busy:
        count_service(p, station.service, BUSY_NS, now_ns - server.start_ns)
        station.outstanding -= server.batch_n
        f = int64(server.batch_head)
        while f >= 0:
            after = int64(flights(p, f).next)
            flights(p, f).lost = 1
            defer(p, f)
            f = after
    elif server.accepting:
        station.idle -= 1
    server.busy = 0
    server.accepting = 0


@entry
def withdraw_queue(memory: Any, station_index: int) -> None:
    """The queue of a lost replica: left in the pending list, marked as lost, highest priority first."""
    p = memory[0]
    station = stations(p, station_index)
    for upside_down in range(PRIORITIES):
        level = PRIORITIES - 1 - upside_down
        f = int64(queues(p, station_index, level).head)
        while f >= 0:
            after = int64(flights(p, f).next)
            flights(p, f).lost = 1
            defer(p, f)
            f = after
        queues(p, station_index, level).head = NONE
        queues(p, station_index, level).tail = NONE
    station.queued = 0
    station.queued_items = 0
    station.outstanding = 0
    station.timer_ns = -1
    station.next_ns = spec.NEVER


@entry
def start_users(memory: Any) -> None:
    """Give every closed-loop user its first think time."""
    p = memory[0]
    for s in range(p.streams_n):
        stream = streams(p, s)
        for ident in range(stream.users):
            push(p, think_ns(p, stream, ident), request_key(ev.SEND, s, ident, 0), s)
