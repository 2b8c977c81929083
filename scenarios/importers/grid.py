"""Samples onto a regular grid: find its step, place the samples, fill the gaps, change the step.

Pure functions of arrays. Each hands back what it repaired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.importers.report import time_label
from scenarios.traces.model import Repair
from scenarios.units import NANOSECONDS_PER_SECOND, format_duration, nanoseconds

if TYPE_CHECKING:
    from scenarios.traces.model import Float64s, Int64s

GAP_POLICIES = ("error", "zero", "hold", "interpolate")
MAX_INTERVALS = 50_000_000
"""95 years of minutes. More means that the step or the times are wrong; better said than out of memory."""

LONGEST_STEP_S = 366 * 86_400.0
USUAL_STEPS_S = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800),
    *(3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400),
)
"""The steps that people set, in seconds."""
NEAR = 0.05
"""A usual step is considered where the median spacing is this close to it, relative to the spacing."""

CLOSE = 0.02
"""Samples this close to a grid on average, relative to its step, are taken to belong on it."""


def find_step(time_ns: Int64s) -> tuple[int, tuple[Repair, ...]]:
    """Nanoseconds between samples (ascending, all different).

    It is their median spacing; where that does not fit exactly, the usual step near it that the samples lie
    close to: scrapers and cron jobs are late by a little, and a step of 59.9 s would drift away from them.
    """
    median = int(np.quantile(np.diff(time_ns), 0.5, method="lower"))
    whole = round(median / NANOSECONDS_PER_SECOND) * NANOSECONDS_PER_SECOND
    near = [
        step_ns
        for step_ns in (whole, *(step_s * NANOSECONDS_PER_SECOND for step_s in USUAL_STEPS_S))
        if 0 < abs(step_ns - median) <= median * NEAR
    ]
    off_median = _mean_distance(time_ns, median)
    if off_median == 0 or not near:
        return median, ()
    best = min(near, key=lambda step_ns: _mean_distance(time_ns, step_ns))
    if _mean_distance(time_ns, best) > max(off_median, CLOSE):
        return median, ()
    detail = (
        f"times jitter: their median spacing is {median / NANOSECONDS_PER_SECOND:.6g} s, "
        f"the step is taken as {format_duration(best / NANOSECONDS_PER_SECOND)}"
    )
    return best, (Repair("step_rounded", 0, detail),)


def checked_step(step_s: float) -> int:
    """Nanoseconds of a step that was asked for. Raises InvalidInput outside of 1 ns to 366 days."""
    if not 1e-9 <= step_s <= LONGEST_STEP_S:
        raise InvalidInput(f"--step: got {step_s:g} s, expected from 1ns to 366d")
    return nanoseconds(step_s)


def place(
    time_ns: Int64s,
    values: Float64s,
    step_ns: int,
    *,
    average: bool,
    absolute: bool,
    extent_ns: tuple[int, int] | None = None,
) -> tuple[int, Float64s, tuple[Repair, ...]]:
    """Put samples (ascending times; NaN: no value) into intervals; NaN where an interval has no sample.

    Returns the first interval's start, one value an interval, and the repairs. Samples that share an interval
    are averaged (rates) or added up (counts). `extent_ns` is the range to cover; else it is the samples' own.
    """
    if extent_ns is None:
        # The grid runs through most of the samples, even where the first one is off it.
        phase = (time_ns - time_ns[0] + step_ns // 2) % step_ns - step_ns // 2
        start = int(time_ns[0]) + int(np.quantile(phase, 0.5, method="lower"))
        start += int((time_ns[0] - start + step_ns // 2) // step_ns) * step_ns
        size = int((time_ns[-1] - start + step_ns // 2) // step_ns) + 1
    else:
        start, size = extent_ns[0], (extent_ns[1] - extent_ns[0]) // step_ns
    if size > MAX_INTERVALS:
        raise InvalidInput(
            f"a step of {format_duration(step_ns / 1e9)} gives {size:,} intervals, expected at most "
            f"{MAX_INTERVALS:,}: are the times and their unit (--time-unit) right?"
        )
    slot = (time_ns - start + step_ns // 2) // step_ns
    repairs = []
    moved_ns = np.abs(time_ns - start - slot * step_ns)
    moved = np.flatnonzero(moved_ns)
    if len(moved):
        first = time_label(int(time_ns[moved[0]]), absolute=absolute)
        furthest = format_duration(float(moved_ns.max()) / 1e9)
        detail = f"{len(moved):,} times off the grid moved onto it (first {first}, furthest by {furthest})"
        repairs.append(Repair("off_grid", len(moved), detail))
    has_value = np.isfinite(values)
    samples = np.bincount(slot[has_value], minlength=size)
    total = np.bincount(slot[has_value], weights=values[has_value], minlength=size)
    merged = int(np.maximum(samples - 1, 0).sum())
    if merged:
        words = "averaged" if average else "added up"
        detail = f"{merged:,} samples fell into an interval that had one already: {words}"
        repairs.append(Repair("merged", merged, detail))
    with np.errstate(invalid="ignore"):
        placed = np.where(samples > 0, total / samples if average else total, np.nan)
    return start, placed, tuple(repairs)


def fill_gaps(
    values: Float64s, policy: str, start_ns: int, step_ns: int, *, absolute: bool
) -> tuple[Float64s, tuple[Repair, ...]]:
    """Give every interval a value: `zero`, `hold` (the one before), `interpolate`, or `error` (InvalidInput).

    Before the first value, `hold` and `interpolate` take the first; after the last, the last.
    """
    missing = np.flatnonzero(np.isnan(values))
    if not len(missing):
        return values, ()
    present = np.flatnonzero(~np.isnan(values))
    if not len(present):
        raise InvalidInput("no interval has a value: nothing to import")
    gaps = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    first, last = (
        time_label(start_ns + int(at) * step_ns, absolute=absolute) for at in (missing[0], missing[-1])
    )
    longest_s = max(len(gap) for gap in gaps) * step_ns / NANOSECONDS_PER_SECOND
    what = (
        f"{len(missing):,} of {len(values):,} intervals of {format_duration(step_ns / 1e9)} have no value, "
        f"in {len(gaps):,} gaps (first {first}, last {last}, longest {format_duration(longest_s)})"
    )
    if policy == "error":
        raise InvalidInput(
            f"{what}; say what they mean: --gap zero (no requests), hold (as before the gap) or interpolate"
        )
    filled = values.copy()
    if policy == "zero":
        filled[missing] = 0.0
    elif policy == "hold":
        before = np.maximum(np.searchsorted(present, missing) - 1, 0)
        filled[missing] = values[present[before]]
    else:
        filled[missing] = np.interp(missing, present, values[present])
    meaning = {"zero": "filled with 0", "hold": "held at the value before", "interpolate": "interpolated"}
    return filled, (Repair("gaps_filled", len(missing), f"{what}: {meaning[policy]}"),)


def resample(values: Float64s, step_ns: int, new_step_ns: int) -> tuple[Int64s, tuple[Repair, ...]]:
    """Whole requests an interval of the new step, from requests an interval of the old one.

    Requests are spread evenly within an old interval. Both the split and the rounding work on the running
    total, so that no request is lost or made: every prefix sum is right to half a request.
    """
    running = np.concatenate([[0.0], np.cumsum(values)])
    if running[-1] >= 2.0**53:
        raise InvalidInput(f"{running[-1]:.6g} requests in all; expected fewer than 2**53")
    repairs = []
    span_ns = len(values) * step_ns
    if new_step_ns != step_ns:
        size = -(-span_ns // new_step_ns)
        if size > MAX_INTERVALS:
            raise InvalidInput(f"--step: gives {size:,} intervals, expected at most {MAX_INTERVALS:,}")
        edges = np.arange(size + 1, dtype=np.float64) * new_step_ns
        running = np.interp(edges, np.arange(len(values) + 1, dtype=np.float64) * step_ns, running)
        old, new = format_duration(step_ns / 1e9), format_duration(new_step_ns / 1e9)
        repairs.append(
            Repair("resampled", size, f"intervals of {old} turned into {size:,} intervals of {new}")
        )
        if covered := span_ns % new_step_ns:
            detail = (
                f"the last interval is covered by data for {covered / new_step_ns:.0%} of its length only"
            )
            repairs.append(Repair("last_interval_partial", 1, detail))
    rounded = np.floor(running + 0.5)  # rint would round a lasting half up and down in turn
    if np.abs(rounded - running).max() > 1e-6:
        detail = "fractions of a request carried forward to the next interval; the total is kept"
        repairs.append(Repair("rounded", 0, detail))
    return np.diff(rounded).astype(np.int64), tuple(repairs)


def _mean_distance(time_ns: Int64s, step_ns: int) -> float:
    """How far samples lie from a grid of this step, as a share of it, on average."""
    phase = (time_ns - time_ns[0] + step_ns // 2) % step_ns - step_ns // 2
    return float(np.abs(phase - np.median(phase)).mean()) / step_ns
