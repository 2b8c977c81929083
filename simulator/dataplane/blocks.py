"""First sends for the block-wise kernel: blocks in order of time over all streams, drawn one ahead, hits told apart.

Whether a request is a hit can be seen long before its turn where its key's row holds a time `e` at which the answer
will have been filled: it is one if e <= t < e + ttl, whatever happens in between, for nothing is under way for the
key until the entry has expired. What is not yet known to be a hit is a *miss*, and is looked at again in its turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import ask_for_popularity, ask_for_rows, block_of, refill, refill_own
from simulator.dataplane.compiled import inlined, outlined
from simulator.dataplane.foresee import WHO_MASK, WHO_SHIFT, foresee
from simulator.dataplane.memory import ALL, array_at, classes, count_class, record_at, routes, streams
from simulator.dataplane.records import BLOCK, INT
from simulator.dataplane.requests import ATTEMPTS, OK_CACHE, SENT, count_answers, log_row


@inlined
def in_half(address: Any, half: Any, i: Any) -> Any:
    """Entry i of a half of the common block."""
    return record_at(address, half * BLOCK + i, INT).value


@outlined
def _draw_half(p: Any, half: Any) -> Any:
    """Draw the next block into a half. Returns how many first sends it has; fewer than BLOCK: there are no more."""
    who = array_at(block_of(p.block_who, half), BLOCK, np.int64)
    if p.streams_n == 1:
        n = refill(
            p, 0, block_of(p.block_ns, half), block_of(p.block_class, half), block_of(p.block_key, half)
        )
        first = streams(p, 0).first_id
        for i in range(BLOCK):
            who[i] = first + i
        return n
    times = array_at(block_of(p.block_ns, half), BLOCK, np.int64)
    class_numbers = array_at(block_of(p.block_class, half), BLOCK, np.int64)
    keys = array_at(block_of(p.block_key, half), BLOCK, np.int64)
    for i in range(BLOCK):
        next_s, next_ns = 0, int64(spec.NEVER)
        for s in range(p.streams_n):
            if streams(p, s).position == BLOCK:
                refill_own(p, s)
            when = in_half(p.arrival_ns, s, streams(p, s).position)
            if when < next_ns:
                next_s, next_ns = s, when
        if next_ns >= spec.NEVER:
            return i
        stream = streams(p, next_s)
        times[i] = next_ns
        class_numbers[i] = in_half(p.arrival_class, next_s, stream.position)
        keys[i] = in_half(p.arrival_key, next_s, stream.position)
        who[i] = (int64(next_s) << WHO_SHIFT) + stream.first_id + stream.position
        stream.position += 1
    return int64(BLOCK)


@inlined
def row_answers(row: Any, t: Any, ttl_ns: Any) -> Any:
    """Whether a row's entry, filled or about to be, answers a request of time t (at t, or when it is filled)."""
    return (row >= 0) & (t < row + ttl_ns)


@inlined
def ask_ahead(p: Any) -> None:
    """Ask memory for a share of what the block ahead, and the one after it, will look at."""
    first = p.asked
    before = min(first + p.ask_step, p.ahead_n)
    p.asked = first + p.ask_step
    ask_for_rows(p, block_of(p.block_key, 1 - p.half), first, before)
    if p.streams_n == 1:
        ask_for_popularity(p, 0, first, before)


@outlined
def open_block(p: Any) -> None:
    """Make the block that was drawn ahead the present one, draw the next, and tell the present one's hits apart."""
    if p.ahead_n < 0:
        p.ahead_n = _draw_half(p, 1 - p.half)
    p.half = 1 - p.half
    p.block_n = p.ahead_n
    p.block_at = 0
    p.ahead_n = _draw_half(p, 1 - p.half)
    p.asked = 0
    times = array_at(block_of(p.block_ns, p.half), BLOCK, np.int64)
    class_numbers = array_at(block_of(p.block_class, p.half), BLOCK, np.int64)
    keys = array_at(block_of(p.block_key, p.half), BLOCK, np.int64)
    misses = array_at(p.misses, BLOCK + 1, np.int64)
    ttls_ns = array_at(p.class_ttl_ns, p.classes_n, np.uint64)
    # Without a division of cases, so that the look-ups go side by side. As unsigned numbers, what is still to be filled
    # is older than any entry may become; one of a class without keys may become none old.
    all_rows = array_at(p.rows, ALL, np.int64)
    n = uint64(0)
    for i in range(p.block_n):
        row = all_rows[uint64(max(keys[i], 0))]
        hit = (row >= 0) & (uint64(times[i] - row) < ttls_ns[uint64(class_numbers[i])])
        misses[n] = i
        n += uint64(not hit)
    p.misses_n = int64(n)
    p.miss_at = 0
    p.miss_counted = 0
    misses[n] = p.block_n
    p.ask_step = BLOCK // max(p.misses_n, 1) + 1
    if n == 0:
        ask_ahead(p)
    foresee(p)


@outlined
def _log_hits(p: Any, m: Any, before: Any) -> None:
    """Log the hits from `block_at` up to `before`; `m` is the first miss from there on."""
    misses = array_at(p.misses, BLOCK + 1, np.int64)
    for i in range(p.block_at, before):
        if misses[m] == i:
            m += 1
        else:
            c = in_half(p.block_class, p.half, i)
            who = in_half(p.block_who, p.half, i)
            t = in_half(p.block_ns, p.half, i)
            log_row(
                p,
                who >> WHO_SHIFT,
                who & WHO_MASK,
                c,
                1,
                OK_CACHE,
                t,
                t + routes(p, classes(p, c).route).hit_ns,
            )


@outlined
def count_sends(p: Any, before: Any) -> None:
    """Count the present block's entries from `block_at` up to `before` as sent, and the hits among them as answered."""
    class_numbers = array_at(block_of(p.block_class, p.half), BLOCK, np.int64)
    misses = array_at(p.misses, BLOCK + 1, np.int64)
    hits = array_at(p.class_hits, p.classes_n, np.int64)
    first_miss = p.miss_counted
    while p.miss_counted < p.misses_n and misses[p.miss_counted] < before:
        p.miss_counted += 1
    if p.log:
        _log_hits(p, first_miss, before)
    if p.classes_n == 1:
        hits[0] = before - p.block_at
    else:
        for i in range(p.block_at, before):
            hits[class_numbers[i]] += 1
    for c in range(p.classes_n):
        count_class(p, c, SENT, hits[c])
        count_class(p, c, ATTEMPTS, hits[c])
    if p.classes_n == 1:
        hits[0] -= p.miss_counted - first_miss
    else:
        for m in range(first_miss, p.miss_counted):
            hits[class_numbers[misses[m]]] -= 1
    p.block_at = before
    for c in range(p.classes_n):
        if hits[c] > 0:
            count_answers(p, c, OK_CACHE, routes(p, classes(p, c).route).hit_ns, hits[c])
            hits[c] = 0
