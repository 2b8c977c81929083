"""A token bucket, kept as a schedule: the generic cell rate algorithm (ITU-T I.371) in whole nanoseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from scenarios.schema import RateLimit


def limit_schedule_ns(limit: RateLimit | None) -> tuple[int, int]:
    """Return nanoseconds a token, and how far ahead of its schedule the bucket may run; no limit: zeros."""
    if limit is None:
        return 0, 0
    interval_ns = round(NANOSECONDS_PER_SECOND / limit.rate)
    return interval_ns, (limit.burst - 1) * interval_ns


class TokenBucket:
    """Tokens flow in at a steady pace up to the burst; an attempt takes one. It starts full."""

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

    def wait_ns(self, now: int) -> int:
        """How long until there is a token."""
        return max(self.scheduled_ns - self.burst_ns - now, 0)
