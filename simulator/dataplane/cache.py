"""The response cache and the table of flights under way, one row a key.

A row is EMPTY, or -2 - f while flight f is under way for the key (coalescing), or else what is cached: the time at
which the entry was filled (TTL), or the entry's place in the least-recently-used list (LRU).
"""

from __future__ import annotations

from typing import Any

from numba import int64

from simulator.dataplane import specification as spec
from simulator.dataplane.compiled import inlined
from simulator.dataplane.state import NONE

EMPTY = -1


@inlined
def flight_row(f: Any) -> Any:
    """Row of a key whose flight f is under way (and the other way round)."""
    return -2 - f


@inlined
def _unlink(p: Any, route: Any, e: Any) -> None:
    entry = p.lru[e]
    if entry.prev >= 0:
        p.lru[entry.prev].next = entry.next
    else:
        route.lru_head = entry.next
    if entry.next >= 0:
        p.lru[entry.next].prev = entry.prev
    else:
        route.lru_tail = entry.prev


@inlined
def _link_first(p: Any, route: Any, e: Any) -> None:
    entry = p.lru[e]
    entry.prev = NONE
    entry.next = route.lru_head
    if route.lru_head >= 0:
        p.lru[route.lru_head].prev = e
    else:
        route.lru_tail = e
    route.lru_head = e


@inlined
def hit(p: Any, route: Any, key: Any, t: Any) -> Any:
    """Whether the row's entry may be answered from at t; an expired LRU entry leaves the list."""
    row = p.rows[key]
    if row < 0:
        return False
    if route.cache == spec.CACHE_TTL:
        return t < row + route.ttl_ns
    if route.cache != spec.CACHE_LRU:
        return False
    _unlink(p, route, row)
    if t < p.lru[row].filled_ns + route.ttl_ns:
        _link_first(p, route, row)
        return True
    p.lru[row].next = route.lru_free
    route.lru_free = row
    p.rows[key] = EMPTY
    return False


@inlined
def fill(p: Any, route: Any, key: Any, t: Any) -> None:
    """Keep the answer for a key, filled at t."""
    if route.cache == spec.CACHE_TTL:
        p.rows[key] = t
    elif route.cache == spec.CACHE_LRU:
        e = p.rows[key]
        if e >= 0:
            _unlink(p, route, e)
        elif route.lru_free >= 0:
            e = route.lru_free
            route.lru_free = int64(p.lru[e].next)
        elif route.lru_used < route.lru_capacity:
            e = route.lru_at + route.lru_used
            route.lru_used += 1
        else:
            e = route.lru_tail
            _unlink(p, route, e)
            p.rows[p.lru[e].key] = EMPTY
        entry = p.lru[e]
        entry.key = key
        entry.filled_ns = t
        _link_first(p, route, e)
        p.rows[key] = e
    else:
        p.rows[key] = EMPTY
