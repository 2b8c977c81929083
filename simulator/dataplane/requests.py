"""The client's side of the kernel: logical requests, their deadlines, retries and final outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import think_ns
from simulator.dataplane.compiled import inlined, outlined
from simulator.dataplane.events import RETRY, SEND, push, request_key
from simulator.dataplane.memory import (
    ALL,
    array_at,
    classes,
    count_class,
    count_latency,
    count_slo,
    deadlines,
    groups,
    ints,
    request_log,
    requests,
    routes,
    streams,
)
from simulator.dataplane.records import BACKING_OFF, FREE, NONE, VALIDATING, WAITING
from simulator.results.histogram import BUCKET_BITS, BUCKETS, SMALLEST_EXPONENT
from simulator.results.recorded import CLASS_COUNTERS

NEVER = spec.NEVER
SENT = CLASS_COUNTERS.index("sent")
ATTEMPTS = CLASS_COUNTERS.index("attempts")
OK_MODEL, OK_CACHE, OK_COALESCED = (
    CLASS_COUNTERS.index(f"ok_{how}") for how in ("model", "cache", "coalesced")
)
FAILED = CLASS_COUNTERS.index("failed_timeout")
ATTEMPT_FAILED = CLASS_COUNTERS.index("attempt_timeout")
RETRIES_DENIED = CLASS_COUNTERS.index("retries_denied")
REDISPATCHED = CLASS_COUNTERS.index("redispatched")
LATENCY_NS = CLASS_COUNTERS.index("latency_ns")
TIMEOUT, RATE_LIMITED, QUEUE_FULL, SHED, BREAKER_OPEN, NO_REPLICA, LOST = range(7)
"""Causes of failure, in the order of the counters `failed_…` and `attempt_…`."""
REFUSED = -2
MICRO = spec.MICRO


@inlined
def bucket(latency_ns: Any) -> Any:
    """Histogram bucket of a latency: its leading bits, read off its floating-point form."""
    bits = int64(draws._bits_of(np.float64(latency_ns)) >> uint64(52 - BUCKET_BITS))
    return min(max(bits - int64((1023 + SMALLEST_EXPONENT) << BUCKET_BITS) + 1, 0), BUCKETS - 1)


@inlined
def new_request(p: Any) -> Any:
    """Take a free request record."""
    r = p.free_request
    p.free_request = int64(requests(p, r).flight)
    p.open_requests += 1
    return r


@inlined
def free_request(p: Any, r: Any) -> None:
    """Give a request record back."""
    request = requests(p, r)
    request.phase = FREE
    request.flight = p.free_request
    p.free_request = r
    p.open_requests -= 1


@inlined
def watch_deadline(p: Any, r: Any, c: Any, sent_ns: Any) -> None:
    """Put a request at the end of its time-out's ring: a ring is in order of deadline by itself."""
    request = requests(p, r)
    cls = classes(p, c)
    g = int64(cls.timeout_group)
    if g < 0:
        request.deadline_ns = NEVER
        return
    due_ns = sent_ns + cls.timeout_ns
    request.deadline_ns = due_ns
    group = groups(p, g)
    entry = deadlines(p, g, group.tail)
    entry.due_ns = due_ns
    entry.request = r
    if group.head == group.tail:
        group.due_ns = due_ns
    group.tail += 1


@inlined
def forget_deadline(p: Any, r: Any) -> None:
    """A request waits no longer: its entry in the ring is stale from now on, and dropped in passing."""
    requests(p, r).deadline_ns = NEVER


@inlined
def drop_stale(p: Any, g: Any, t: Any) -> None:
    """Where a ring's front is due by t, drop what is stale there. If it is due then, it is a true deadline.

    All that is stale goes, due or not: the next time comes after most of a time-out.
    """
    group = groups(p, g)
    if group.due_ns > t:
        return
    head = group.head
    due_ns = int64(NEVER)
    while head < group.tail:
        entry = deadlines(p, g, head)
        if requests(p, entry.request).deadline_ns == entry.due_ns:
            due_ns = int64(entry.due_ns)
            break
        head += 1
    group.head = head
    group.due_ns = due_ns


@outlined
def compact_deadlines(p: Any, g: Any) -> None:
    """Drop all stale entries of a ring."""
    group = groups(p, g)
    kept = int64(group.head)
    for place in range(group.head, group.tail):
        entry = deadlines(p, g, place)
        if requests(p, entry.request).deadline_ns == entry.due_ns:
            to = deadlines(p, g, kept)
            to.due_ns = entry.due_ns
            to.request = entry.request
            kept += 1
    group.tail = kept
    group.due_ns = deadlines(p, g, group.head).due_ns if group.head < group.tail else NEVER


@inlined
def _log_outcome(p: Any, r: Any, outcome: Any, end_ns: Any) -> None:
    if p.log:
        request = requests(p, r)
        log_row(
            p, request.stream, request.id, request.cls, request.attempt + 1, outcome, request.first_ns, end_ns
        )


@inlined
def log_row(
    p: Any, stream: Any, ident: Any, c: Any, attempts: Any, outcome: Any, first_ns: Any, end_ns: Any
) -> None:
    """Add a row to the log of requests, which has room."""
    row = request_log(p, p.log_n)
    row.stream = stream
    row.id = ident
    row.cls = c
    row.attempts = attempts
    row.outcome = outcome
    row.first_ns = first_ns
    row.end_ns = end_ns
    p.log_n += 1


@inlined
def _next_of_user(p: Any, r: Any, end_ns: Any) -> None:
    """A closed-loop user thinks, and sends again."""
    request = requests(p, r)
    stream = streams(p, request.stream)
    if stream.source == spec.FROM_USERS:
        ident = request.id + stream.users
        then = end_ns + think_ns(p, stream, ident)
        push(p, then, request_key(SEND, request.stream, ident, 0), request.stream)


@inlined
def count_answers(p: Any, c: Any, how: Any, latency_ns: Any, n: Any) -> None:
    """Count n requests that were answered well on their first attempt."""
    count_class(p, c, how, n)
    count_class(p, c, LATENCY_NS, latency_ns * n)
    count_latency(p, c, 0, bucket(latency_ns), n)
    _count_slos(p, c, latency_ns, n)


@inlined
def _count_slos(p: Any, c: Any, latency_ns: Any, n: Any) -> None:
    cls = classes(p, c)
    for each in range(cls.slo_n):
        good = latency_ns <= ints(p, cls.slo_at + 2 * each + 1)
        count_slo(p, ints(p, cls.slo_at + 2 * each), int64(good) * n, n)


@inlined
def answer(p: Any, r: Any, end_ns: Any, how: Any) -> None:
    """Final outcome of a logical request: answered well at `end_ns`."""
    request = requests(p, r)
    forget_deadline(p, r)
    latency_ns = end_ns - request.first_ns
    c = request.cls
    if request.attempt == 0:
        count_answers(p, c, how, latency_ns, 1)
    else:
        count_class(p, c, how, 1)
        count_class(p, c, LATENCY_NS, latency_ns)
        count_latency(p, c, 1, bucket(latency_ns), 1)
        count_latency(p, c, 2, bucket(end_ns - request.sent_ns), 1)
        _count_slos(p, c, latency_ns, 1)
    _log_outcome(p, r, how, end_ns)
    _next_of_user(p, r, end_ns)
    free_request(p, r)


@outlined
def fail_attempt(p: Any, r: Any, t: Any, cause: Any) -> None:
    """An attempt has failed at t: try again later, or give the logical request up."""
    request = requests(p, r)
    c = request.cls
    cls = classes(p, c)
    count_class(p, c, ATTEMPT_FAILED + cause, 1)
    forget_deadline(p, r)
    request.flight = NONE
    again = request.attempt < cls.max_retries
    if again and cls.budget_ratio >= 0:
        if cls.tokens >= MICRO:
            cls.tokens -= MICRO
        else:
            again = False
            count_class(p, c, RETRIES_DENIED, 1)
    if again:
        longest = ints(p, cls.waits_at + request.attempt)
        h = draws.hashed(cls.seed_jitter, request.id, request.attempt)
        then = t + draws.jittered(cls.jitter, longest, h)
        request.attempt += 1
        request.phase = BACKING_OFF
        push(p, then, request_key(RETRY, request.stream, request.id, request.attempt), r)
    else:
        count_class(p, c, FAILED + cause, 1)
        for each in range(cls.slo_n):
            count_slo(p, ints(p, cls.slo_at + 2 * each), 0, 1)
        _log_outcome(p, r, FAILED + cause, t)
        _next_of_user(p, r, t)
        free_request(p, r)


@inlined
def begin_attempt(p: Any, r: Any, t: Any) -> Any:
    """Send an attempt to the gateway's door. Returns the nanoseconds that validation takes; REFUSED: rate limited."""
    request = requests(p, r)
    request.sent_ns = t
    request.phase = WAITING
    request.flight = NONE
    c = request.cls
    cls = classes(p, c)
    count_class(p, c, ATTEMPTS, 1)
    if request.attempt == 0:
        count_class(p, c, SENT, 1)
        if cls.budget_ratio >= 0:
            cls.tokens = min(cls.tokens + cls.budget_ratio, cls.budget_cap)
    watch_deadline(p, r, c, t)
    route = routes(p, cls.route)
    if route.limit_interval_ns > 0:
        # A token bucket as a schedule (GCRA): an attempt conforms while the schedule is not too far ahead.
        scheduled = max(route.limit_tat_ns, t)
        if scheduled - t > route.limit_burst_ns:
            return int64(REFUSED)
        route.limit_tat_ns = scheduled + route.limit_interval_ns
    delay_ns = draws.delay_ns(
        array_at(p.floats, ALL, np.float64),
        route.validation_at,
        route.validation_n,
        cls.seed_validation,
        request.id,
        request.attempt,
    )
    if delay_ns > 0:
        request.phase = VALIDATING
    return delay_ns
