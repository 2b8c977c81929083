"""Counts or rates at regular (or nearly regular) times become a trace of counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.importers.grid import checked_step, fill_gaps, find_step, place, resample
from scenarios.importers.report import ImportReport, summarise, time_label, value_repairs
from scenarios.importers.times import parse_moment, read_times
from scenarios.traces.columns import open_columns
from scenarios.traces.model import CountTrace, Repair
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.traces.model import Float64s, Int64s

VALUE_KINDS = ("count", "rate")
STAMPS = ("start", "end")
DUPLICATE_POLICIES = ("last", "sum", "error")


@dataclass(frozen=True)
class CountOptions:
    """How to read counts. Times of the window are as people write them; steps in seconds."""

    time_column: str | None = None
    """None: the first column."""
    value_column: str | None = None
    """None: the second column of two."""
    time_unit: str = "auto"
    """One of `times.TIME_UNITS`."""
    value: str = "count"
    """"count": requests in the interval; "rate": requests per second."""
    stamp: str = "start"
    """Whether a row's time is the "start" or the "end" of its interval."""
    step_s: float | None = None
    """Step of the trace; None: the median spacing of the rows."""
    gap: str = "error"
    """One of `grid.GAP_POLICIES`."""
    duplicates: str = "last"
    """For rows with the same time: keep the "last", "sum" them, or "error"."""
    window_from: str | None = None
    """Keep intervals that start at or after this; None: all."""
    window_to: str | None = None
    """Keep intervals that start before this; None: all."""
    scale: float = 1.0
    """Multiply all counts."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Values at times, wherever they come from."""

    time_ns: Int64s
    """Since 1970 if `absolute`, else from the input's start; any order."""
    values: Float64s
    """NaN: no value."""
    absolute: bool
    source: str
    repairs: tuple[Repair, ...] = ()
    step_ns: int | None = None
    """The spacing where it is known, not guessed."""
    extent_ns: tuple[int, int] | None = None
    """The range to cover, where one was asked for."""


def import_counts(path: Path, options: CountOptions) -> tuple[CountTrace, ImportReport]:
    """Read a CSV or Parquet file with a time and a value column. Raises InvalidInput."""
    columns = open_columns(path)
    time_column, value_column = options.time_column or columns.names[0], options.value_column
    if value_column is None:
        others = [name for name in columns.names if name != time_column]
        if len(others) != 1:
            raise InvalidInput(
                f"{path}: say with --value-column which column holds the values; "
                f"the columns are {', '.join(columns.names)}"
            )
        value_column = others[0]
    times = read_times(columns, time_column, options.time_unit)
    values = columns.numbers(value_column)
    repairs = times.repairs
    if options.time_column is None or options.value_column is None:
        detail = f"columns: {time_column!r} is the time, {value_column!r} the {options.value}"
        repairs = (Repair("columns_assumed", 0, detail), *repairs)
    samples = Samples(times.time_ns[times.known], values[times.known], times.absolute, path.name, repairs)
    try:
        trace = to_counts(samples, options)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    return trace, summarise(trace, len(columns))


def to_counts(samples: Samples, options: CountOptions) -> CountTrace:
    """Sort, window, place, fill, scale and round samples into a trace. Raises InvalidInput."""
    if not (options.scale > 0 and np.isfinite(options.scale)):
        raise InvalidInput(f"--scale: got {options.scale:g}, expected more than 0")
    asked_step_ns = None if options.step_s is None else checked_step(options.step_s)
    samples = _without_duplicates(_sorted(samples), options)
    step_ns, repairs = _spacing(samples, asked_step_ns)
    if options.stamp == "end":
        samples = replace(samples, time_ns=samples.time_ns - step_ns)
    samples = _within_window(samples, options)
    absolute = samples.absolute
    found = value_repairs(samples.values, samples.time_ns, absolute=absolute)
    usable = np.where(np.isfinite(samples.values) & (samples.values >= 0), samples.values, np.nan)
    is_rate = options.value == "rate"
    start_ns, placed, moved = place(
        samples.time_ns, usable, step_ns, average=is_rate, absolute=absolute, extent_ns=samples.extent_ns
    )
    filled, gaps = fill_gaps(placed, options.gap, start_ns, step_ns, absolute=absolute)
    requests = filled * options.scale * (step_ns / NANOSECONDS_PER_SECOND if is_rate else 1.0)
    new_step_ns = asked_step_ns or step_ns
    count, resampled = resample(requests, step_ns, new_step_ns)
    notes = [*samples.repairs, *repairs, *found, *moved, *gaps, *resampled]
    if options.scale != 1:
        notes.append(Repair("scaled", 0, f"every count multiplied by {options.scale:g}"))
    if not absolute and start_ns:
        detail = (
            f"the trace starts with the first interval, {time_label(start_ns, absolute=False)} into the input"
        )
        notes.append(Repair("shifted", 0, detail))
    return CountTrace(
        count=count,
        step_ns=new_step_ns,
        start_unix_ns=start_ns if absolute else None,
        source=samples.source,
        repairs=tuple(notes),
    )


def _sorted(samples: Samples) -> Samples:
    backwards = int((np.diff(samples.time_ns) < 0).sum())
    if not backwards:
        return samples
    order = np.argsort(samples.time_ns, kind="stable")  # of equal times, the last row stays the last
    note = Repair("sorted", backwards, f"rows sorted by time ({backwards:,} came before their predecessor)")
    return replace(
        samples,
        time_ns=samples.time_ns[order],
        values=samples.values[order],
        repairs=(*samples.repairs, note),
    )


def _without_duplicates(samples: Samples, options: CountOptions) -> Samples:
    times, first, size = np.unique(samples.time_ns, return_index=True, return_counts=True)
    doubled = np.flatnonzero(size > 1)
    if not len(doubled):
        return samples
    last = first + size - 1
    extra = int((size - 1).sum())
    where = time_label(int(times[doubled[0]]), absolute=samples.absolute)
    what = f"{extra:,} rows repeat the time of another (first {where})"
    if options.duplicates == "error":
        raise InvalidInput(f"{what}; --duplicates last or sum says what they mean")
    if options.duplicates == "sum":
        values, done = np.add.reduceat(samples.values, first), "added up"
    else:
        values, done = samples.values[last], "the last one kept (--duplicates sum would add them up)"
    note = Repair("duplicates", extra, f"{what}: {done}")
    return replace(samples, time_ns=times, values=values, repairs=(*samples.repairs, note))


def _spacing(samples: Samples, asked_step_ns: int | None) -> tuple[int, tuple[Repair, ...]]:
    if samples.step_ns is not None:
        return samples.step_ns, ()
    if len(samples.time_ns) > 1:
        return find_step(samples.time_ns)
    if asked_step_ns is None:
        raise InvalidInput("one row does not tell the step: give it with --step")
    return asked_step_ns, ()


def _within_window(samples: Samples, options: CountOptions) -> Samples:
    absolute = samples.absolute
    keep = np.ones(len(samples.time_ns), np.bool_)
    if options.window_from is not None:
        keep &= samples.time_ns >= parse_moment(options.window_from, absolute=absolute, option="--from")
    if options.window_to is not None:
        keep &= samples.time_ns < parse_moment(options.window_to, absolute=absolute, option="--to")
    if keep.all():
        return samples
    if not keep.any():
        first, last = (time_label(int(samples.time_ns[at]), absolute=absolute) for at in (0, -1))
        raise InvalidInput(f"--from/--to: no rows in the window; the data run from {first} to {last}")
    note = Repair("window", int((~keep).sum()), f"{int((~keep).sum()):,} rows outside --from/--to left out")
    return replace(
        samples, time_ns=samples.time_ns[keep], values=samples.values[keep], repairs=(*samples.repairs, note)
    )
