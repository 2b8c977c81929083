"""From paid instance lives to billed time: the clipping, rounding and minimum of AWS' per-second billing.

AWS bills Linux instances, on-demand and spot, in one-second increments with a minimum of 60 seconds
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-usage-billing.html). A measured window (the run
without its warm-up) is a cut through a fleet that lived before it and goes on after it. So lives are clipped
to the window, and the minimum applies to those that lie whole inside it: a life that the cut shortens has
paid, or will pay, its minimum elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.results.recorded import Usage

MINIMUM_NS = 60 * NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class ChargePeriod:
    """A stretch of the run that one line item is about: a calendar day in UTC, or the part of one that was
    run.

    Nanoseconds from the start of the run.
    """

    begin_ns: int
    end_ns: int


def charge_periods(start: datetime, begin_ns: int, end_ns: int) -> list[ChargePeriod]:
    """Cut a window at midnight UTC. `start` is the absolute time of the beginning of the run."""
    periods = []
    while begin_ns < end_ns:
        moment = start.astimezone(UTC) + timedelta(microseconds=begin_ns // 1000)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        # whole microseconds are exact in timedelta; midnight lies on one if the start does
        cut_ns = min(((midnight - start) // timedelta(microseconds=1)) * 1000, end_ns)
        periods.append(ChargePeriod(begin_ns, cut_ns))
        begin_ns = cut_ns
    return periods


def billed_life(usage: Usage, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
    """When one life's billed time begins and ends, within a window; None if it lies outside.

    The end may lie beyond the window by the round-up to a whole second, or by the minimum.
    """
    begin, end = max(usage.begin_ns, begin_ns), min(usage.end_ns, end_ns)
    if begin >= end:
        return None
    billed = -(-(end - begin) // NANOSECONDS_PER_SECOND) * NANOSECONDS_PER_SECOND
    whole_inside = usage.begin_ns > begin_ns and usage.end_ns < end_ns
    return begin, begin + (max(billed, MINIMUM_NS) if whole_inside else billed)


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """What one pool used in one charge period, summed over its instances: lived and billed nanoseconds."""

    pool: str
    period: ChargePeriod
    lived_ns: int
    billed_ns: int


def pool_usage(lives: Iterable[Usage], periods: list[ChargePeriod]) -> list[PoolUsage]:
    """Sum lives by pool and charge period, ordered by pool name and time; unused pools have no row.

    Billed time beyond the end of the last period belongs to that period.
    """
    sums: dict[tuple[str, int], list[int]] = {}
    for life in lives:
        billed = billed_life(life, periods[0].begin_ns, periods[-1].end_ns)
        if billed is None:
            continue
        for index, period in enumerate(periods):
            last = index == len(periods) - 1
            billed_ns = (billed[1] if last else min(billed[1], period.end_ns)) - max(
                billed[0], period.begin_ns
            )
            if billed_ns <= 0:
                continue
            lived_ns = min(life.end_ns, period.end_ns) - max(billed[0], period.begin_ns)
            entry = sums.setdefault((life.pool, index), [0, 0])
            entry[0] += max(lived_ns, 0)
            entry[1] += billed_ns
    return [
        PoolUsage(pool, periods[index], lived, billed)
        for (pool, index), (lived, billed) in sorted(sums.items())
    ]
