"""The event-ordered kernel: every rule of the data plane, one event after the other, without Python.

`advance` is the loop. It handles the earliest of: the next first send of each stream, the earliest deadline of each
time-out, the top of the heap. Its state is the `Plane`; nothing is kept of a request that is over.
"""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from simulator.dataplane import events as ev
from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import (
    BLOCK,
    class_of,
    difficulty_of,
    fill_times,
    items_of,
    key_of,
    think_ns,
)
from simulator.dataplane.batching import BUSY_NS, complete, defer, next_deferred, offer
from simulator.dataplane.breaker import note
from simulator.dataplane.compiled import entry, inlined, outlined
from simulator.dataplane.events import fleet_key, pop, push, request_key
from simulator.dataplane.gateway import dispatch, enter, fetch_delay_ns, leave
from simulator.dataplane.requests import TIMEOUT, begin_attempt, fail_attempt, new_request
from simulator.dataplane.state import NONE, PRIORITIES, VALIDATING

DONE, NEED_ROOM = range(2)
"""What `advance` returns: the window is done; or memory must grow first (nothing has changed by then)."""
ID_MASK = (1 << 40) - 1


@outlined
def _refill(p: Any, s: Any) -> None:
    """Draw the next block of a stream: times, classes and keys."""
    stream = p.streams[s]
    times = p.arrival_ns[s]
    fill_times(stream, p.ints, p.floats, p.words, p.gaps, p.doubtful, times)
    for i in range(BLOCK):
        if times[i] >= spec.NEVER:
            break
        c = class_of(stream, p.ints, p.words, stream.first_id + i)
        p.arrival_class[s, i] = c
        cls = p.classes[c]
        p.arrival_key[s, i] = (
            key_of(stream, cls, p.ints, p.words, stream.first_id + i, times[i]) if cls.keyed else int64(NONE)
        )


@inlined
def _first_send(p: Any, s: Any, ident: Any, t: Any, c: Any, key: Any) -> Any:
    """A logical request is born: the record of its first attempt."""
    r = new_request(p)
    stream = p.streams[s]
    cls = p.classes[c]
    request = p.requests[r]
    request.id = ident
    request.stream = s
    request.cls = c
    request.attempt = 0
    request.first_ns = t
    request.key = key
    request.items = items_of(stream, cls, p.ints, p.words, ident)
    request.difficulty = difficulty_of(cls, p.floats, ident)
    return r


@inlined
def _user_sends(p: Any, s: Any, ident: Any, t: Any) -> Any:
    """A closed-loop user's next request."""
    stream = p.streams[s]
    c = class_of(stream, p.ints, p.words, ident)
    cls = p.classes[c]
    key = key_of(stream, cls, p.ints, p.words, ident, t) if cls.keyed else int64(NONE)
    return _first_send(p, s, ident, t, c, key)


@inlined
def _next_stream(p: Any) -> Any:
    """The stream with the earliest next send (the first of them in the document, if several), and its time."""
    next_s, next_ns = 0, int64(spec.NEVER)
    for s in range(p.streams.shape[0]):
        if p.streams[s].position == BLOCK:
            _refill(p, s)
        when = p.arrival_ns[s, p.streams[s].position]
        if when < next_ns:
            next_s, next_ns = s, when
    return next_s, next_ns


@inlined
def _give_up(p: Any, r: Any, t: Any) -> None:
    """A client's time-out: the attempt fails; its flight goes on without it."""
    request = p.requests[r]
    if request.flight >= 0:
        flight = p.flights[request.flight]
        if flight.station >= 0:
            note(p, flight.service, request.flight, t, False)
        leave(p, r)
    fail_attempt(p, r, t, TIMEOUT)


@entry
def advance(p: Any, to_ns: int) -> int:
    """Handle every event before `to_ns`. Returns DONE, or NEED_ROOM with the plane as it was before an event."""
    clock = p.clock[0]
    groups_n = p.next_deadline_ns.shape[0]
    room_requests = p.requests.shape[0]
    room_flights = p.flights.shape[0]
    room_events = p.heap.shape[0]
    next_s = 0
    next_send_ns = int64(-1)
    while True:
        if (
            clock.open_requests == room_requests
            or clock.open_flights == room_flights
            or clock.events + clock.open_requests + clock.open_flights + clock.servers + 4 > room_events
            or (
                clock.log
                and (
                    clock.log_n + clock.open_requests + 1 > p.request_log.shape[0]
                    or clock.batch_log_n + clock.servers + 1 > p.batch_log.shape[0]
                )
            )
        ):
            return NEED_ROOM
        station_index = int64(NONE)
        f = int64(NONE)
        r = int64(NONE)
        if clock.pending >= 0:
            f = next_deferred(p, clock)
            t = clock.now_ns
        else:
            # The next event, by time and then by key: heap before stream before deadline, unless they are earlier.
            if next_send_ns < 0:
                next_s, next_send_ns = _next_stream(p)
            t = next_send_ns
            kind = int64(ev.SEND)
            from_heap = False
            if clock.events > 0:
                top = p.heap[0]
                if top.time_ns < t or (top.time_ns == t and top.key < request_key(ev.SEND, next_s, 0, 0)):
                    t = int64(top.time_ns)
                    kind = int64(top.key >> uint64(ev.KIND_SHIFT))
                    from_heap = True
            for g in range(groups_n):
                due_ns = p.next_deadline_ns[g]
                if due_ns < t or (due_ns == t and kind > ev.DEADLINE):
                    t = due_ns
                    kind = int64(ev.DEADLINE)
                    r = int64(p.deadline_head[g])
            if t >= to_ns:
                clock.now_ns = to_ns
                return DONE
            clock.now_ns = t
            if kind == ev.DEADLINE:
                _give_up(p, r, t)
                continue
            entering = False
            if from_heap:
                top = p.heap[0]
                subject = int64(top.subject)
                key = top.key
                pop(p)
                if kind == ev.COMPLETE:
                    server = p.servers[subject]
                    # A lost replica's batches are still in the heap; its slot may be another's by now.
                    if server.busy and server.finish_ns == t and fleet_key(ev.COMPLETE, server.uid, server.number) == key:
                        complete(p, subject, t)
                        station_index = int64(server.station)
                elif kind == ev.TIMER:
                    station = p.stations[subject]
                    if station.timer_ns == t and fleet_key(ev.TIMER, station.uid, 0) == key:
                        station.timer_ns = -1
                        station_index = subject
                elif kind == ev.SEND:
                    r = _user_sends(p, subject, int64((key >> uint64(ev.ID_SHIFT)) & uint64(ID_MASK)), t)
                elif kind == ev.RETRY:
                    r = subject
                elif kind == ev.ENTER:
                    # The client may have given up while the gateway validated.
                    request = p.requests[subject]
                    if (
                        request.phase == VALIDATING
                        and request_key(ev.ENTER, request.stream, request.id, request.attempt) == key
                    ):
                        r = subject
                        entering = True
                else:
                    f = subject
            else:
                stream = p.streams[next_s]
                i = stream.position
                stream.position += 1
                next_send_ns = int64(-1)
                r = _first_send(p, next_s, stream.first_id + i, t, p.arrival_class[next_s, i], p.arrival_key[next_s, i])
            if r >= 0:
                delay_ns = int64(0) if entering else begin_attempt(p, r, t)
                if delay_ns > 0:
                    request = p.requests[r]
                    push(p, t + delay_ns, request_key(ev.ENTER, request.stream, request.id, request.attempt), r)
                elif delay_ns == 0:
                    f = enter(p, r, t)
                    if f >= 0:
                        fetch_ns = fetch_delay_ns(p, f)
                        if fetch_ns > 0:
                            flight = p.flights[f]
                            push(p, t + fetch_ns, request_key(ev.FETCHED, flight.stream, flight.id, flight.attempt), f)
                            f = int64(NONE)
        if f >= 0:
            station_index = dispatch(p, f, t)
        if station_index >= 0:
            offer(p, station_index, t)


@entry
def withdraw(p: Any, v: int, now_ns: int) -> None:
    """The slot v of a lost replica: its batch is left in the pending list, marked as lost."""
    clock = p.clock[0]
    server = p.servers[v]
    station = p.stations[server.station]
    if server.busy:
        p.service_counters[station.service, BUSY_NS] += now_ns - server.start_ns
        station.outstanding -= server.batch_n
        f = int64(server.batch_head)
        while f >= 0:
            after = int64(p.flights[f].next)
            p.flights[f].lost = 1
            defer(p, clock, f)
            f = after
    elif server.accepting:
        station.idle -= 1
    server.busy = 0
    server.accepting = 0


@entry
def withdraw_queue(p: Any, station_index: int) -> None:
    """The queue of a lost replica: left in the pending list, marked as lost, highest priority first."""
    clock = p.clock[0]
    station = p.stations[station_index]
    for upside_down in range(PRIORITIES):
        level = PRIORITIES - 1 - upside_down
        f = int64(p.queue_head[station_index, level])
        while f >= 0:
            after = int64(p.flights[f].next)
            p.flights[f].lost = 1
            defer(p, clock, f)
            f = after
        p.queue_head[station_index, level] = NONE
        p.queue_tail[station_index, level] = NONE
    station.queued = 0
    station.queued_items = 0
    station.outstanding = 0
    station.timer_ns = -1


@entry
def offer_now(p: Any, station_index: int, now_ns: int) -> None:
    """A station has new slots: start what can start."""
    offer(p, station_index, now_ns)


@entry
def start_users(p: Any) -> None:
    """Give every closed-loop user its first think time."""
    for s in range(p.streams.shape[0]):
        stream = p.streams[s]
        for ident in range(stream.users):
            push(p, think_ns(stream, p.floats, ident), request_key(ev.SEND, s, ident, 0), s)
