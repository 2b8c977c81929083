"""The gateway's stateful parts in the reference, each written the obvious way.

Token bucket and circuit breaker are the serving stack's too: `scenarios/rules/`."""

from __future__ import annotations

from collections import OrderedDict

from simulator.dataplane import specification as spec


class ResponseCache:
    """Entries by key with the time they were filled; with a capacity, the least recently used one goes first."""

    def __init__(self, route: spec.RouteSpec) -> None:
        self.stores = route.cache in (spec.CACHE_TTL, spec.CACHE_LRU)
        self.ttl_ns = route.ttl_ns
        self.capacity = route.capacity if route.cache == spec.CACHE_LRU else None
        self.filled: OrderedDict[int, int] = OrderedDict()

    def hit(self, key: int, now: int) -> bool:
        """Whether the key's entry answers at `now`."""
        if key not in self.filled:
            return False
        if now < self.filled[key] + self.ttl_ns:
            self.filled.move_to_end(key)
            return True
        del self.filled[key]
        return False

    def fill(self, key: int, now: int) -> None:
        """Keep the answer for a key."""
        if not self.stores:
            return
        if self.capacity is not None and key not in self.filled and len(self.filled) >= self.capacity:
            self.filled.popitem(last=False)
        self.filled[key] = now
        self.filled.move_to_end(key)


class RetryBudget:
    """A bucket of tokens: first attempts put a part of a token in, a retry takes a whole one out."""

    def __init__(self, ratio: int, cap: int) -> None:
        self.ratio = ratio
        self.cap = cap
        self.tokens = cap

    def earn(self) -> None:
        """Count a first attempt."""
        self.tokens = min(self.tokens + self.ratio, self.cap)

    def spend(self) -> bool:
        """Pay for a retry if there is a budget and a token."""
        if self.ratio < 0:
            return True
        if self.tokens < spec.MICRO:
            return False
        self.tokens -= spec.MICRO
        return True
