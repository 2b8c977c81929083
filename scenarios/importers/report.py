"""What an import tells the person who asked for it: what was read, what came out, what was repaired."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.traces.model import CountTrace, Repair, Trace, iso_time
from scenarios.units import NANOSECONDS_PER_SECOND, format_duration

if TYPE_CHECKING:
    from scenarios.traces.model import Float64s, Int64s

LONG_SPAN_S = 600.0
"""From this span on, the peak of request rows is that of a minute; below it, that of a second."""


@dataclass(frozen=True)
class ImportReport:
    """The outcome of one import; `str()` is for people, `as_json()` for programs."""

    source: str
    kind: str
    """"requests" or "counts"."""
    rows_read: int
    start: str | None
    """ISO-8601 UTC; None: the trace has no calendar."""
    step_s: float | None
    """Length of an interval; None for request rows."""
    span_s: float
    total_requests: int
    mean_rate_per_s: float
    peak_rate_per_s: float
    """Highest mean rate within one of the trace's intervals, or within `peak_window_s` for request rows."""
    peak_window_s: float
    repairs: tuple[Repair, ...]

    def as_json(self) -> dict[str, Any]:
        """Make plain types for json.dumps."""
        return asdict(self)

    def __str__(self) -> str:
        window = format_duration(self.peak_window_s)
        step = "" if self.step_s is None else f", step {format_duration(self.step_s)}"
        lines = [
            f"read      {self.rows_read:,} rows of {self.source}",
            f"trace     {self.kind}{step}, span {format_duration(self.span_s)}, "
            + ("no calendar" if self.start is None else f"from {self.start}"),
            f"requests  {self.total_requests:,} in all, mean {self.mean_rate_per_s:.4g}/s, "
            f"peak {self.peak_rate_per_s:.4g}/s (over {window})",
            "repaired or assumed:" if self.repairs else "repaired or assumed: nothing",
        ]
        return "\n".join([*lines, *(f"  - {repair.detail}" for repair in self.repairs)])


def summarise(trace: Trace, rows_read: int) -> ImportReport:
    """Count up a finished trace."""
    if isinstance(trace, CountTrace):
        window_s, peak = trace.step_s, int(trace.count.max())
    else:
        window_s = 60.0 if trace.span_s >= LONG_SPAN_S else 1.0
        peak = _busiest(trace.time_ns, round(window_s * NANOSECONDS_PER_SECOND))
    return ImportReport(
        source=trace.source,
        kind="counts" if isinstance(trace, CountTrace) else "requests",
        rows_read=rows_read,
        start=None if trace.start_unix_ns is None else iso_time(trace.start_unix_ns),
        step_s=trace.step_s if isinstance(trace, CountTrace) else None,
        span_s=trace.span_s,
        total_requests=trace.total,
        mean_rate_per_s=trace.total / max(trace.span_s, window_s),
        peak_rate_per_s=peak / window_s,
        peak_window_s=window_s,
        repairs=trace.repairs,
    )


def _busiest(time_ns: Int64s, window_ns: int) -> int:
    """Most requests in one of the windows [k·window, (k+1)·window)."""
    window = time_ns // window_ns  # ascending: equal windows stand together, however far apart they lie
    first = np.flatnonzero(np.diff(window, prepend=-1))
    return int(np.diff(np.append(first, len(window))).max())


def time_label(time_ns: int, *, absolute: bool) -> str:
    """Write a moment of the input as it is meant: a calendar time, or seconds from the start."""
    return iso_time(time_ns) if absolute else f"{time_ns / NANOSECONDS_PER_SECOND:.15g} s"


def value_repairs(values: Float64s, times: Int64s, *, absolute: bool) -> tuple[Repair, ...]:
    """Say which values cannot be traffic: missing or not finite, and negative."""

    def repair(what: str, wrong: Int64s, words: str) -> Repair:
        first, last = (time_label(int(times[at]), absolute=absolute) for at in (wrong[0], wrong[-1]))
        return Repair(
            what, len(wrong), f"{len(wrong):,} {words} taken as missing (first {first}, last {last})"
        )

    found = []
    not_finite = np.flatnonzero(~np.isfinite(values))
    negative = np.flatnonzero(values < 0)  # minus infinity is in both, and is missing either way
    if len(not_finite):
        found.append(repair("not_a_number", not_finite, "empty, NaN or infinite values"))
    if len(negative):
        found.append(repair("negative", negative, "negative values"))
    return tuple(found)
