"""The gateway's stateful parts in the reference, each written the obvious way."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from simulator.dataplane import specification as spec

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Tokens flow in at a steady pace up to the burst; an attempt takes one. Kept as a schedule, in whole ns."""

    def __init__(self, interval_ns: int, burst_ns: int) -> None:
        self.interval_ns = interval_ns
        self.burst_ns = burst_ns
        self.scheduled_ns = 0

    def take(self, now: int) -> bool:
        """Take a token at `now` if there is one."""
        if self.interval_ns == 0:
            return True
        scheduled = max(self.scheduled_ns, now)
        if scheduled - now > self.burst_ns:
            return False
        self.scheduled_ns = scheduled + self.interval_ns
        return True


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


class CircuitBreaker:
    """Closed: watches. Open: refuses. Half-open: lets a few probes decide."""

    def __init__(self, rules: spec.BreakerSpec | None, on_open: Callable[[], None]) -> None:
        self.rules = rules
        self.on_open = on_open
        self.state = "closed"
        self.open_until = 0
        self.epoch = 0
        self.probes_left = 0
        self.probes_ok = 0
        self._forget()

    def _forget(self) -> None:
        self.failures: deque[bool] = deque(maxlen=self.rules.window if self.rules else 1)
        self.slow_run = 0

    def admit(self, now: int) -> int | None:
        """None: refused. 0: let through. Else: let through as a probe of this half-open epoch."""
        if self.rules is None or self.state == "closed":
            return 0
        if self.state == "open":
            if now < self.open_until:
                return None
            self.state = "half-open"
            self.epoch += 1
            self.probes_left = self.rules.probes
            self.probes_ok = 0
        if self.probes_left == 0:
            return None
        self.probes_left -= 1
        return self.epoch

    def note(self, now: int, *, ok: bool, latency_ns: int, epoch: int) -> None:
        """Learn how a call went."""
        if self.rules is None:
            return
        if self.state == "half-open" and epoch == self.epoch:
            if not ok:
                self._open(now)
                return
            self.probes_ok += 1
            if self.probes_ok == self.rules.probes:
                self.state = "closed"
        elif self.state == "closed":
            if ok:
                self.slow_run = self.slow_run + 1 if latency_ns > self.rules.slow_ns else 0
            self.failures.append(not ok)
            full = len(self.failures) == self.rules.window
            too_many = self.rules.max_errors >= 0 and full and sum(self.failures) > self.rules.max_errors
            if too_many or self.slow_run >= self.rules.slow_consecutive:
                self._open(now)

    def _open(self, now: int) -> None:
        assert self.rules is not None
        self.state = "open"
        self.open_until = now + self.rules.open_ns
        self._forget()
        self.on_open()
