"""When counters are read: the edges of the timeline's intervals and of the latency histograms' windows."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.times import MAX_STEPS
from scenarios.units import format_duration, nanoseconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scenarios.schema import Scenario

ROUND_STEPS_S = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 10_800, 21_600, 43_200, 86_400,
)  # fmt: skip
"""Steps that people count in; each with a few of the larger ones as multiples."""
MOST_ROWS = 500
"""Intervals of a timeline whose step nobody gave, about."""
MOST_WINDOWS = 200
"""Windows of the latency histograms, about: a full histogram per 15 s of a month would be 2.8 GB."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Edges in nanoseconds from the start of the run, both from 0 to its end."""

    edges_ns: NDArray[np.int64]
    histogram_edges_ns: NDArray[np.int64]
    """Some of `edges_ns`."""


def timeline(scenario: Scenario) -> Timeline:
    """Return the edges of a run: multiples of its interval, the end of the warm-up, edges of SLO windows, the
    end.

    Raises InvalidInput where they would be too many, or the run is shorter than a nanosecond.
    """
    end_ns, warmup_ns = nanoseconds(scenario.run.duration), nanoseconds(scenario.run.warmup)
    if warmup_ns >= end_ns:
        raise InvalidInput("run.duration: expected at least a nanosecond after the warm-up")
    windows_ns = _windows_ns(scenario, end_ns)
    interval_ns = _interval_ns(scenario, end_ns, [*windows_ns, *([warmup_ns] if warmup_ns else [])])
    marks = [np.arange(warmup_ns, end_ns, window_ns, dtype=np.int64) for window_ns in windows_ns]
    fixed = np.array([0, warmup_ns, end_ns], np.int64)
    edges = np.unique(np.concatenate((fixed, np.arange(0, end_ns, interval_ns, dtype=np.int64), *marks)))
    window_ns = _histogram_window_ns(interval_ns, end_ns)
    windows = np.unique(np.concatenate((fixed, np.arange(0, end_ns, window_ns, dtype=np.int64))))
    return Timeline(edges, windows)


def _windows_ns(scenario: Scenario, end_ns: int) -> list[int]:
    windows = []
    for slo in scenario.slos:
        if slo.window is None:
            continue
        window_ns = nanoseconds(slo.window)
        if window_ns * MAX_STEPS < end_ns:
            length = format_duration(scenario.run.duration)
            raise InvalidInput(
                f"slos[{slo.name}].window: {format_duration(slo.window)} gives more than {MAX_STEPS:,} "
                f"windows in a run of {length}"
            )
        windows.append(window_ns)
    return windows


def _interval_ns(scenario: Scenario, end_ns: int, divided_ns: list[int]) -> int:
    """The run's own interval, else the finest round step of a few hundred rows that divides SLO windows."""
    if scenario.run.interval is not None:
        return max(nanoseconds(scenario.run.interval), 1)
    steps_ns = [nanoseconds(step) for step in ROUND_STEPS_S]
    few = [step_ns for step_ns in steps_ns if end_ns <= MOST_ROWS * step_ns] or steps_ns[-1:]
    common_ns = gcd(*divided_ns)
    return next((step_ns for step_ns in few if common_ns % step_ns == 0), few[0])


def _histogram_window_ns(interval_ns: int, end_ns: int) -> int:
    """The least whole number of intervals that gives few enough windows."""
    return -(-end_ns // (MOST_WINDOWS * interval_ns)) * interval_ns
