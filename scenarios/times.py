"""Checks of durations against each other, and against what a run can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.units import format_duration, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.problems import Location
    from scenarios.schema import Scenario, Slo

MAX_RUN_S = 10 * 365.25 * 86_400
MAX_STEPS = 1_000_000
"""Most rows of a timeline, steps of a shape or changes of a pool in one run."""


def check_times(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """The run is of a length that can be simulated, and everything inside it fits."""
    duration = scenario.run.duration
    length = format_duration(duration)
    if duration > MAX_RUN_S:
        yield ("run", "duration"), f"{length}: expected at most 10 years"
    if scenario.run.warmup >= duration:
        yield ("run", "warmup"), f"{format_duration(scenario.run.warmup)} leaves nothing of a run of {length}"
    if (interval := scenario.run.interval) is not None:
        if interval > duration:
            yield ("run", "interval"), f"{format_duration(interval)} is longer than the run, {length}"
        yield from _few(("run", "interval"), duration, interval)
    for i, stream in enumerate(scenario.arrivals):
        if stream.shape:
            yield from _few(("arrivals", i, "shape_step"), duration, stream.shape_step)
        if (states := stream.process.mmpp) is not None:
            mean_stay = sum(state.mean_duration for state in states) / len(states)
            yield from _few(("arrivals", i, "process", "mmpp"), duration, mean_stay)
    for i, pool in enumerate(scenario.pools):
        if pool.schedule is not None and pool.schedule.every is not None:
            mean_step = pool.schedule.every / len(pool.schedule.steps)
            yield from _few(("pools", i, "schedule", "every"), duration, mean_step)
    for i, slo in enumerate(scenario.slos):
        yield from _window(("slos", i), slo, scenario)


def _few(location: Location, duration: float, step: float) -> Iterator[tuple[Location, str]]:
    if duration / step > MAX_STEPS:
        steps = f"{duration / step:.3g} steps of {format_duration(step)}"
        run = f"a run of {format_duration(duration)}"
        yield location, f"{steps} in {run}: expected at most {MAX_STEPS:,}"


def _window(location: Location, slo: Slo, scenario: Scenario) -> Iterator[tuple[Location, str]]:
    if slo.window is None:
        if slo.window_fraction != 1:
            yield (*location, "window_fraction"), "has no meaning without a window"
        return
    if slo.window > scenario.run.duration:
        length, window = format_duration(scenario.run.duration), format_duration(slo.window)
        yield (*location, "window"), f"{window} is longer than the run, {length}"
    interval = scenario.run.interval
    if interval is not None and nanoseconds(slo.window) % nanoseconds(interval):
        steps = format_duration(interval)
        yield (
            (*location, "window"),
            f"{format_duration(slo.window)} is not a whole number of run.interval, {steps}",
        )
