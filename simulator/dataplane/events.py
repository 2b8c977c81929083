"""The kernel's event heap and the written order of simultaneous events (docs/decisions/0002-event-order.md)."""

from __future__ import annotations

from typing import Any

from numba import uint64

from simulator.dataplane.compiled import inlined
from simulator.dataplane.memory import heap

COMPLETE, TIMER, DEADLINE, SEND, RETRY, ENTER, FETCHED = range(1, 8)
"""Kinds of events, in the order in which those of one nanosecond happen."""
KIND_SHIFT, STREAM_SHIFT, ID_SHIFT = 56, 48, 8


@inlined
def request_key(kind: Any, stream: Any, ident: Any, attempt: Any) -> Any:
    """Key of an event about a request: kind, stream, request number, attempt."""
    return (
        (uint64(kind) << uint64(KIND_SHIFT))
        | (uint64(stream) << uint64(STREAM_SHIFT))
        | (uint64(ident) << uint64(ID_SHIFT))
        | uint64(attempt)
    )


@inlined
def fleet_key(kind: Any, uid: Any, number: Any) -> Any:
    """Key of an event about a replica or one of its batch slots."""
    return (uint64(kind) << uint64(KIND_SHIFT)) | (uint64(uid) << uint64(ID_SHIFT)) | uint64(number)


@inlined
def push(p: Any, time_ns: Any, key: Any, subject: Any) -> None:
    """Add an event to the heap, which has room."""
    at = p.events
    p.events += 1
    while at > 0:
        above = (at - 1) >> 1
        e = heap(p, above)
        if e.time_ns < time_ns or (e.time_ns == time_ns and e.key <= key):
            break
        moved = heap(p, at)
        moved.time_ns = e.time_ns
        moved.key = e.key
        moved.subject = e.subject
        at = above
    new = heap(p, at)
    new.time_ns = time_ns
    new.key = key
    new.subject = subject


@inlined
def pop(p: Any) -> None:
    """Remove the first event of the heap."""
    p.events -= 1
    n = p.events
    last = heap(p, n)
    time_ns = last.time_ns
    key = last.key
    subject = last.subject
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        c = heap(p, child)
        if child + 1 < n:
            right = heap(p, child + 1)
            if right.time_ns < c.time_ns or (right.time_ns == c.time_ns and right.key < c.key):
                child += 1
                c = right
        if c.time_ns > time_ns or (c.time_ns == time_ns and c.key >= key):
            break
        moved = heap(p, at)
        moved.time_ns = c.time_ns
        moved.key = c.key
        moved.subject = c.subject
        at = child
    new = heap(p, at)
    new.time_ns = time_ns
    new.key = key
    new.subject = subject
