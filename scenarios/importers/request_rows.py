"""A log with one row a request becomes a trace of requests, or of counts where a step is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.importers.grid import MAX_INTERVALS, checked_step
from scenarios.importers.report import ImportReport, summarise, time_label
from scenarios.importers.times import Times, parse_moment, read_times
from scenarios.traces.columns import Columns, hash_key, open_columns
from scenarios.traces.model import CountTrace, Repair, RequestTrace, Trace
from scenarios.units import format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.traces.model import Int32s, Int64s

NO_CLASS = "unclassified"
"""Class of the rows that name none."""
MOST_ROWS = 1e9
"""Rows that scaling may make: 8 GB of times."""
SCALE_SEED = 0
"""Scaling rows draws which of them stay or are doubled: the same rows each time."""


@dataclass(frozen=True)
class RequestOptions:
    """How to read request rows. Times of the window are as people write them; steps in seconds."""

    time_column: str | None = None
    """None: the first column."""
    items_column: str | None = None
    """Size of the request in model items; None: the trace has no sizes."""
    key_column: str | None = None
    """What is asked for; None: the trace has no keys."""
    class_column: str | None = None
    """Class of the request; None: the trace has no classes."""
    time_unit: str = "auto"
    """One of `times.TIME_UNITS`."""
    step_s: float | None = None
    """Count the rows in intervals of this step: a trace of counts, without sizes, keys and classes."""
    window_from: str | None = None
    """Keep requests at or after this, which becomes the trace's start; None: all."""
    window_to: str | None = None
    """Keep requests before this; None: all."""
    scale: float = 1.0
    """Keep each row this many times on average."""


def import_requests(path: Path, options: RequestOptions) -> tuple[Trace, ImportReport]:
    """Read a CSV or Parquet file with one row a request. Raises InvalidInput."""
    _check(options)
    given = (options.time_column, options.items_column, options.key_column, options.class_column)
    columns = open_columns(path, None if options.time_column is None else filter(None, given))
    time_column = options.time_column or columns.names[0]
    times = read_times(columns, time_column, options.time_unit)
    repairs = [*times.repairs]
    if options.time_column is None:
        repairs.insert(0, Repair("columns_assumed", 0, f"columns: {time_column!r} is the time"))
    rows, start_ns = _choose_rows(columns, times, options, repairs)
    time_ns, rows = _scale(times.time_ns[rows] - start_ns, rows, options.scale, repairs)
    start_unix_ns = start_ns if times.absolute else None
    trace: Trace
    if options.step_s is not None:
        count, step_ns = _count(time_ns, options.step_s, repairs)
        trace = CountTrace(count, step_ns, start_unix_ns, path.name, tuple(repairs))
    else:
        items = None if options.items_column is None else _items(columns, options.items_column, rows, repairs)
        key = None if options.key_column is None else _keys(columns, options.key_column, rows, repairs)
        class_index: Int32s | None = None
        class_names: tuple[str, ...] = ()
        if options.class_column is not None:
            class_index, class_names = _classes(columns, options.class_column, rows, repairs)
        trace = RequestTrace(
            time_ns, items, key, class_index, class_names, start_unix_ns, path.name, tuple(repairs)
        )
    return trace, summarise(trace, len(columns))


def _check(options: RequestOptions) -> None:
    if not (options.scale > 0 and np.isfinite(options.scale)):
        raise InvalidInput(f"--scale: got {options.scale:g}, expected more than 0")
    if options.step_s is None:
        return
    checked_step(options.step_s)
    for option in ("items", "key", "class"):
        if getattr(options, f"{option}_column") is not None:
            raise InvalidInput(
                f"--{option}-column: a trace of counts (--step) holds none; leave one of the two out"
            )


def _choose_rows(
    columns: Columns, times: Times, options: RequestOptions, repairs: list[Repair]
) -> tuple[Int64s, int]:
    """The rows to keep, in the order of their times, and the time that becomes 0."""
    rows = np.flatnonzero(times.known)
    time_ns = times.time_ns[rows]
    backwards = int((np.diff(time_ns) < 0).sum())
    if backwards:
        rows = rows[np.argsort(time_ns, kind="stable")]
        detail = f"rows sorted by time ({backwards:,} came before their predecessor)"
        repairs.append(Repair("sorted", backwards, detail))
    time_ns = times.time_ns[rows]
    start_ns = int(time_ns[0]) if times.absolute else 0
    keep = np.ones(len(rows), np.bool_)
    if options.window_from is not None:
        start_ns = parse_moment(options.window_from, absolute=times.absolute, option="--from")
        keep &= time_ns >= start_ns
    if options.window_to is not None:
        keep &= time_ns < parse_moment(options.window_to, absolute=times.absolute, option="--to")
    if not keep.any():
        first, last = (time_label(int(time_ns[at]), absolute=times.absolute) for at in (0, -1))
        raise InvalidInput(
            f"{columns.path}: --from/--to: no rows in the window; the data run from {first} to {last}"
        )
    if not keep.all():
        outside = int((~keep).sum())
        repairs.append(Repair("window", outside, f"{outside:,} rows outside --from/--to left out"))
    rows = rows[keep]
    if times.time_ns[rows[0]] < start_ns:
        name = options.time_column or columns.names[0]
        raise columns.bad_value(
            int(rows[0]), name, int(times.time_ns[rows[0]]), "nanoseconds from the start, not before it"
        )
    return rows, start_ns


def _scale(time_ns: Int64s, rows: Int64s, scale: float, repairs: list[Repair]) -> tuple[Int64s, Int64s]:
    """Thin or repeat rows at random. A copy arrives somewhere before the next row: bursts stay bursts."""
    if scale == 1:
        return time_ns, rows
    if len(rows) * scale > MOST_ROWS:
        raise InvalidInput(f"--scale {scale:g}: gives {len(rows) * scale:.3g} rows, expected at most 1e9")
    random = np.random.default_rng(SCALE_SEED)
    copies = int(scale) + (random.random(len(rows)) < scale % 1)
    original = np.repeat(np.arange(len(rows)), copies)
    if not len(original):
        raise InvalidInput(f"--scale {scale:g}: none of {len(rows):,} rows is left")
    is_copy = np.diff(original, prepend=-1) == 0
    room_ns = np.append(np.diff(time_ns), 0)[original]
    moved = time_ns[original] + np.where(is_copy, random.random(len(original)) * room_ns, 0).astype(np.int64)
    order = np.argsort(moved, kind="stable")
    what = "left out" if scale < 1 else "repeated (a copy has the size, key and class of its row)"
    detail = f"{len(rows):,} rows became {len(original):,}: rows {what} at random, with a fixed seed"
    repairs.append(Repair("scaled", abs(len(original) - len(rows)), detail))
    return moved[order], rows[original[order]]


def _count(time_ns: Int64s, step_s: float, repairs: list[Repair]) -> tuple[Int64s, int]:
    step_ns = checked_step(step_s)
    size = int(time_ns[-1] // step_ns) + 1
    if size > MAX_INTERVALS:
        raise InvalidInput(f"--step: gives {size:,} intervals, expected at most {MAX_INTERVALS:,}")
    detail = f"rows counted in {size:,} intervals of {format_duration(step_s)}; those without a row hold 0"
    repairs.append(Repair("resampled", size, detail))
    return np.bincount(time_ns // step_ns, minlength=size), step_ns


def _items(columns: Columns, name: str, rows: Int64s, repairs: list[Repair]) -> Int32s:
    sizes = columns.numbers(name)[rows]
    too_large = np.flatnonzero(sizes >= 2**31 - 0.5)
    if len(too_large):
        row = int(rows[too_large[0]])
        raise columns.bad_value(row, name, float(sizes[too_large[0]]), "a size below 2**31")
    missing = np.isnan(sizes)
    whole = np.maximum(np.rint(np.where(missing, 1.0, sizes)), 1.0)
    small = sizes < 1
    fraction = ~missing & ~small & (whole != sizes)
    for what, found, words in (
        ("items_missing", missing, "have no size: taken as 1"),
        ("items_small", small, "have a size below 1: taken as 1"),
        ("items_rounded", fraction, "have a size that is not whole: rounded"),
    ):
        if found.any():
            first = int(rows[found].min()) + 1
            detail = f"{int(found.sum()):,} requests {words} (first: row {first})"
            repairs.append(Repair(what, int(found.sum()), detail))
    return whole.astype(np.int32)


def _keys(columns: Columns, name: str, rows: Int64s, repairs: list[Repair]) -> Int64s:
    keys, without = columns.keys(name)
    if len(without):
        # One shared key would make a cache look better than it is; a key of their own cannot hit.
        keys = keys.copy()
        keys[without] = [hash_key(f"row {row} without a key") for row in without.tolist()]
        detail = f"{len(without):,} rows have no key: each gets one of its own (first: row {without[0] + 1})"
        repairs.append(Repair("keys_missing", len(without), detail))
    return keys[rows]


def _classes(
    columns: Columns, name: str, rows: Int64s, repairs: list[Repair]
) -> tuple[Int32s, tuple[str, ...]]:
    index, names = columns.texts(name)
    missing = np.flatnonzero(index < 0)
    if len(missing):
        names = names if NO_CLASS in names else (*names, NO_CLASS)
        index = np.where(index < 0, names.index(NO_CLASS), index).astype(np.int32)
        detail = f"{len(missing):,} rows name no class: they are {NO_CLASS!r} (first: row {missing[0] + 1})"
        repairs.append(Repair("class_missing", len(missing), detail))
    return index[rows], names
