"""The client's side of the kernel: logical requests, their deadlines, retries and final outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import think_ns
from simulator.dataplane.compiled import inlined
from simulator.dataplane.events import RETRY, SEND, push, request_key
from simulator.dataplane.state import BACKING_OFF, FREE, NONE, VALIDATING, WAITING
from simulator.results.histogram import BUCKET_BITS, BUCKETS, SMALLEST_EXPONENT
from simulator.results.recorded import CLASS_COUNTERS

NEVER = spec.NEVER
SENT = CLASS_COUNTERS.index("sent")
ATTEMPTS = CLASS_COUNTERS.index("attempts")
OK_MODEL, OK_CACHE, OK_COALESCED = (CLASS_COUNTERS.index(f"ok_{how}") for how in ("model", "cache", "coalesced"))
FAILED = CLASS_COUNTERS.index("failed_timeout")
ATTEMPT_FAILED = CLASS_COUNTERS.index("attempt_timeout")
RETRIES_DENIED = CLASS_COUNTERS.index("retries_denied")
REDISPATCHED = CLASS_COUNTERS.index("redispatched")
LATENCY_NS = CLASS_COUNTERS.index("latency_ns")
TIMEOUT, RATE_LIMITED, QUEUE_FULL, SHED, BREAKER_OPEN, NO_REPLICA, LOST = range(7)
"""Causes of failure, in the order of the counters `failed_…` and `attempt_…`."""
MICRO = spec.MICRO


@inlined
def bucket(latency_ns: Any) -> Any:
    """Histogram bucket of a latency: its leading bits, read off its floating-point form."""
    bits = int64(draws._bits_of(np.float64(latency_ns)) >> uint64(52 - BUCKET_BITS))
    return min(max(bits - int64((1023 + SMALLEST_EXPONENT) << BUCKET_BITS) + 1, 0), BUCKETS - 1)


@inlined
def new_request(p: Any) -> Any:
    """Take a free request record."""
    clock = p.clock[0]
    r = clock.free_request
    clock.free_request = int64(p.requests[r].flight)
    clock.open_requests += 1
    return r


@inlined
def free_request(p: Any, r: Any) -> None:
    """Give a request record back."""
    clock = p.clock[0]
    request = p.requests[r]
    request.phase = FREE
    request.flight = clock.free_request
    clock.free_request = r
    clock.open_requests -= 1


@inlined
def watch_deadline(p: Any, r: Any) -> None:
    """Put a request at the end of its time-out's list: the lists are in order of deadline by themselves."""
    request = p.requests[r]
    group = p.classes[request.cls].timeout_group
    if group < 0:
        request.deadline_ns = NEVER
        return
    request.deadline_ns = request.sent_ns + p.classes[request.cls].timeout_ns
    tail = p.deadline_tail[group]
    request.deadline_prev = tail
    request.deadline_next = NONE
    if tail >= 0:
        p.requests[tail].deadline_next = r
    else:
        p.deadline_head[group] = r
        p.next_deadline_ns[group] = request.deadline_ns
    p.deadline_tail[group] = r


@inlined
def forget_deadline(p: Any, r: Any) -> None:
    """Take a request out of its time-out's list."""
    request = p.requests[r]
    if request.deadline_ns == NEVER:
        return
    group = p.classes[request.cls].timeout_group
    before = request.deadline_prev
    after = request.deadline_next
    if before >= 0:
        p.requests[before].deadline_next = after
    else:
        p.deadline_head[group] = after
        p.next_deadline_ns[group] = p.requests[after].deadline_ns if after >= 0 else NEVER
    if after >= 0:
        p.requests[after].deadline_prev = before
    else:
        p.deadline_tail[group] = before


@inlined
def _log_outcome(p: Any, r: Any, outcome: Any, end_ns: Any) -> None:
    clock = p.clock[0]
    if clock.log:
        request = p.requests[r]
        row = p.request_log[clock.log_n]
        row.stream = request.stream
        row.id = request.id
        row.cls = request.cls
        row.attempts = request.attempt + 1
        row.outcome = outcome
        row.first_ns = request.first_ns
        row.end_ns = end_ns
        clock.log_n += 1


@inlined
def _next_of_user(p: Any, r: Any, end_ns: Any) -> None:
    """A closed-loop user thinks, and sends again."""
    request = p.requests[r]
    stream = p.streams[request.stream]
    if stream.source == spec.FROM_USERS:
        ident = request.id + stream.users
        then = end_ns + think_ns(stream, p.floats, ident)
        push(p, then, request_key(SEND, request.stream, ident, 0), request.stream)


@inlined
def answer(p: Any, r: Any, end_ns: Any, how: Any) -> None:
    """Final outcome of a logical request: answered well at `end_ns`."""
    request = p.requests[r]
    forget_deadline(p, r)
    latency_ns = end_ns - request.first_ns
    c = request.cls
    counters = p.class_counters
    counters[c, how] += 1
    counters[c, LATENCY_NS] += latency_ns
    if request.attempt == 0:
        p.histogram[c, 0, bucket(latency_ns)] += 1
    else:
        p.histogram[c, 1, bucket(latency_ns)] += 1
        p.histogram[c, 2, bucket(end_ns - request.sent_ns)] += 1
    cls = p.classes[c]
    for each in range(cls.slo_n):
        slo = p.ints[cls.slo_at + 2 * each]
        p.slo_total[slo] += 1
        if latency_ns <= p.ints[cls.slo_at + 2 * each + 1]:
            p.slo_good[slo] += 1
    _log_outcome(p, r, how, end_ns)
    _next_of_user(p, r, end_ns)
    free_request(p, r)


@inlined
def fail_attempt(p: Any, r: Any, t: Any, cause: Any) -> None:
    """An attempt has failed at t: try again later, or give the logical request up."""
    request = p.requests[r]
    c = request.cls
    cls = p.classes[c]
    p.class_counters[c, ATTEMPT_FAILED + cause] += 1
    forget_deadline(p, r)
    request.flight = NONE
    again = request.attempt < cls.max_retries
    if again and cls.budget_ratio >= 0:
        if cls.tokens >= MICRO:
            cls.tokens -= MICRO
        else:
            again = False
            p.class_counters[c, RETRIES_DENIED] += 1
    if again:
        longest = p.ints[cls.waits_at + request.attempt]
        h = draws.hashed(cls.seed_jitter, request.id, request.attempt)
        then = t + draws.jittered(cls.jitter, longest, h)
        request.attempt += 1
        request.phase = BACKING_OFF
        push(p, then, request_key(RETRY, request.stream, request.id, request.attempt), r)
    else:
        p.class_counters[c, FAILED + cause] += 1
        for each in range(cls.slo_n):
            p.slo_total[p.ints[cls.slo_at + 2 * each]] += 1
        _log_outcome(p, r, FAILED + cause, t)
        _next_of_user(p, r, t)
        free_request(p, r)


@inlined
def begin_attempt(p: Any, r: Any, t: Any) -> Any:
    """Send an attempt to the gateway's door. Returns the nanoseconds that validation takes; -1: refused there."""
    request = p.requests[r]
    request.sent_ns = t
    request.phase = WAITING
    request.flight = NONE
    c = request.cls
    cls = p.classes[c]
    p.class_counters[c, ATTEMPTS] += 1
    if request.attempt == 0:
        p.class_counters[c, SENT] += 1
        if cls.budget_ratio >= 0:
            cls.tokens = min(cls.tokens + cls.budget_ratio, cls.budget_cap)
    watch_deadline(p, r)
    route = p.routes[cls.route]
    if route.limit_interval_ns > 0:
        # A token bucket as a schedule (GCRA): an attempt conforms while the schedule is not too far ahead.
        scheduled = max(route.limit_tat_ns, t)
        if scheduled - t > route.limit_burst_ns:
            fail_attempt(p, r, t, RATE_LIMITED)
            return int64(-1)
        route.limit_tat_ns = scheduled + route.limit_interval_ns
    delay_ns = draws.delay_ns(
        p.floats, route.validation_at, route.validation_n, cls.seed_validation, request.id, request.attempt
    )
    if delay_ns > 0:
        request.phase = VALIDATING
    return delay_ns
