"""The response cache and the table of flights under way, one row a key.

A row is EMPTY, or -2 - f while flight f is under way for the key (coalescing), or else what is cached: the time at
which the entry was filled (TTL), or the entry's place in the least-recently-used list (LRU).
"""

from __future__ import annotations

from typing import Any

from numba import int64

from simulator.dataplane import specification as spec
from simulator.dataplane.compiled import inlined
from simulator.dataplane.memory import lru, rows
from simulator.dataplane.records import NONE

EMPTY = -1


@inlined
def flight_row(f: Any) -> Any:
    """Row of a key whose flight f is under way (and the other way round)."""
    return -2 - f


@inlined
def _unlink(p: Any, route: Any, e: Any) -> None:
    entry = lru(p, e)
    if entry.prev >= 0:
        lru(p, entry.prev).next = entry.next
    else:
        route.lru_head = entry.next
    if entry.next >= 0:
        lru(p, entry.next).prev = entry.prev
    else:
        route.lru_tail = entry.prev


@inlined
def _link_first(p: Any, route: Any, e: Any) -> None:
    entry = lru(p, e)
    entry.prev = NONE
    entry.next = route.lru_head
    if route.lru_head >= 0:
        lru(p, route.lru_head).prev = e
    else:
        route.lru_tail = e
    route.lru_head = e


@inlined
def hit(p: Any, route: Any, key: Any, t: Any) -> Any:
    """Whether the row's entry may be answered from at t; an expired LRU entry leaves the list."""
    row = rows(p, key).value
    if row < 0:
        return False
    if route.cache == spec.CACHE_TTL:
        return t < row + route.ttl_ns
    if route.cache != spec.CACHE_LRU:
        return False
    _unlink(p, route, row)
    if t < lru(p, row).filled_ns + route.ttl_ns:
        _link_first(p, route, row)
        return True
    lru(p, row).next = route.lru_free
    route.lru_free = row
    rows(p, key).value = EMPTY
    return False


@inlined
def fill(p: Any, route: Any, key: Any, t: Any) -> None:
    """Keep the answer for a key, filled at t."""
    if route.cache == spec.CACHE_TTL:
        rows(p, key).value = t
    elif route.cache == spec.CACHE_LRU:
        e = rows(p, key).value
        if e >= 0:
            _unlink(p, route, e)
        elif route.lru_free >= 0:
            e = route.lru_free
            route.lru_free = int64(lru(p, e).next)
        elif route.lru_used < route.lru_capacity:
            e = route.lru_at + route.lru_used
            route.lru_used += 1
        else:
            e = route.lru_tail
            _unlink(p, route, e)
            rows(p, lru(p, e).key).value = EMPTY
        entry = lru(p, e)
        entry.key = key
        entry.filled_ns = t
        _link_first(p, route, e)
        rows(p, key).value = e
    else:
        rows(p, key).value = EMPTY
