"""A circuit breaker: closed, open for a time, half-open with a few probes (M. Nygard, Release It!)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scenarios.units import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios.schema import Breaker

NEVER_SLOW = 1 << 62
"""`slow_ns` where no answer is too slow."""


@dataclass(frozen=True)
class BreakerRule:
    """When a breaker opens, and how it closes."""

    max_errors: int
    """Opens when more than this many of the last `window` calls failed; -1: no such rule."""
    window: int
    slow_ns: int
    slow_consecutive: int
    open_ns: int
    probes: int


def breaker_rule(breaker: Breaker | None) -> BreakerRule | None:
    """Return the rule that a scenario's `breaker` section means."""
    if breaker is None:
        return None
    return BreakerRule(
        max_errors=-1
        if breaker.error_rate is None
        else math.floor(breaker.error_rate * breaker.window + 1e-9),
        window=breaker.window,
        slow_ns=NEVER_SLOW if breaker.slow_latency is None else nanoseconds(breaker.slow_latency),
        slow_consecutive=breaker.slow_consecutive,
        open_ns=nanoseconds(breaker.open_for),
        probes=breaker.half_open_probes,
    )


class CircuitBreaker:
    """Closed: watches. Open: refuses. Half-open: lets a few probes decide."""

    def __init__(self, rule: BreakerRule | None, on_open: Callable[[], None]) -> None:
        self.rule = rule
        self.on_open = on_open
        self.state: Literal["closed", "open", "half-open"] = "closed"
        self.open_until = 0
        self.epoch = 0
        self.probes_left = 0
        self.probes_ok = 0
        self._forget()

    def _forget(self) -> None:
        self.failures: deque[bool] = deque(maxlen=self.rule.window if self.rule else 1)
        self.failed = 0
        self.slow_run = 0

    def admit(self, now: int) -> int | None:
        """None: refused. 0: let through. Else: let through as a probe of this half-open epoch."""
        if self.rule is None or self.state == "closed":
            return 0
        if self.state == "open":
            if now < self.open_until:
                return None
            self.state = "half-open"
            self.epoch += 1
            self.probes_left = self.rule.probes
            self.probes_ok = 0
        if self.probes_left == 0:
            return None
        self.probes_left -= 1
        return self.epoch

    def note(self, now: int, *, ok: bool, latency_ns: int, epoch: int) -> None:
        """Learn how a call went; `epoch` is what `admit` said about it."""
        if self.rule is None:
            return
        if self.state == "half-open" and epoch == self.epoch:
            if not ok:
                self._open(now)
                return
            self.probes_ok += 1
            if self.probes_ok == self.rule.probes:
                self.state = "closed"
        elif self.state == "closed":
            if ok:
                self.slow_run = self.slow_run + 1 if latency_ns > self.rule.slow_ns else 0
            full = len(self.failures) == self.rule.window
            self.failed += (not ok) - (self.failures[0] if full else False)
            self.failures.append(not ok)
            full = len(self.failures) == self.rule.window
            too_many = self.rule.max_errors >= 0 and full and self.failed > self.rule.max_errors
            if too_many or self.slow_run >= self.rule.slow_consecutive:
                self._open(now)

    def _open(self, now: int) -> None:
        assert self.rule is not None
        self.state = "open"
        self.open_until = now + self.rule.open_ns
        self._forget()
        self.on_open()
