"""Time columns: calendar times, epoch numbers, or times from the start, all to integer nanoseconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scenarios.errors import InvalidInput
from scenarios.traces.columns import as_numpy, is_text, null_rows
from scenarios.traces.model import Repair
from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds, parse_duration

if TYPE_CHECKING:
    import numpy.typing as npt

    from scenarios.traces.columns import Columns
    from scenarios.traces.model import Int64s

NANOSECONDS_PER = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
TIME_UNITS = ("auto", "iso", *NANOSECONDS_PER, *(f"epoch-{unit}" for unit in ("s", "ms", "us", "ns")))
"""Calendar times, times from the start, and times since 1970."""
FURTHEST_NS = 2**62
"""146 years: the difference of two times still fits into 64 bits."""
EPOCH_FROM_S = 1e8
"""A number that means at least this many seconds (3 years) is an epoch time: March 1973 or later."""
UNIT_IN_NAME = {
    "ns": "ns", "us": "us", "ms": "ms", "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "min": "min", "minute": "min", "minutes": "min", "h": "h", "hour": "h", "hours": "h",
}  # fmt: skip
"""The last word of a column's name (t_s, time_ms, minute) → its unit."""


@dataclass(frozen=True, eq=False)
class Times:
    """The time of every row."""

    time_ns: Int64s
    """Since 1970 if `absolute`, else from the start; 0 where unknown."""
    known: npt.NDArray[np.bool_]
    """False where the row has no time."""
    absolute: bool
    repairs: tuple[Repair, ...]


def read_times(columns: Columns, name: str, unit: str = "auto") -> Times:
    """Read a time column; `unit` is one of TIME_UNITS. Raises InvalidInput at the first that is no time."""
    column = columns.raw(name)
    if pa.types.is_temporal(column.type):
        times = _calendar_type(columns, column, name)
    elif unit == "iso" or (unit == "auto" and is_text(column) and not _looks_numeric(column)):
        times = _iso(columns, column, name)
    else:
        times = _numeric(columns, name, unit)
    too_far = np.flatnonzero(times.known & (np.abs(times.time_ns) >= FURTHEST_NS))
    if len(too_far):
        row = int(too_far[0])
        raise columns.bad_value(row, name, column[row].as_py(), "a time within 146 years of zero (1970)")
    if not times.known.any():
        raise InvalidInput(f"{columns.path}: column {name!r} holds no times")
    missing = int((~times.known).sum())
    if missing:
        first = int(np.argmin(times.known)) + 1
        dropped = Repair(
            "times_missing", missing, f"{missing:,} rows without a time left out (first: row {first})"
        )
        return Times(times.time_ns, times.known, times.absolute, (*times.repairs, dropped))
    return times


def parse_moment(text: str, *, absolute: bool, option: str) -> int:
    """Nanoseconds from an option: an ISO time (no zone: UTC) or, where times are relative, seconds or "2h".

    Raises InvalidInput naming the option.
    """
    if absolute:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput(f"{option}: got {text!r}, expected a time such as 2024-05-01T12:00Z") from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        time_ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    else:
        try:
            is_bare = re.fullmatch(r"\d+(\.\d+)?", text.strip())
            time_ns = nanoseconds(float(text) if is_bare else parse_duration(text))
        except (ValueError, OverflowError):
            expected = "seconds from the start, or 90s, 2h, …"
            raise InvalidInput(f"{option}: got {text!r}, expected {expected}") from None
    if abs(time_ns) >= FURTHEST_NS:
        raise InvalidInput(f"{option}: got {text!r}, expected a time within 146 years of zero (1970)")
    return time_ns


def _calendar_type(columns: Columns, column: pa.ChunkedArray, name: str) -> Times:
    zone = getattr(column.type, "tz", None)
    nanosecond_type = pa.timestamp("ns", zone)
    return _times(columns.cast(column, nanosecond_type, name, "a time from 1678 to 2262"), zoned=bool(zone))


def _iso(columns: Columns, column: pa.ChunkedArray, name: str) -> Times:
    if not is_text(column):
        raise InvalidInput(f"{columns.path}: column {name!r}: got {column.type} values, expected ISO times")
    for zone in (None, "UTC"):
        try:
            return _times(column.cast(pa.timestamp("ns", zone)), zoned=zone is not None)
        except pa.ArrowInvalid:
            continue
    # Arrow knows "+02:00" and "Z", but no "UTC", and no space before them.
    column = pc.replace_substring_regex(column, r"\s*(UTC|GMT|Z)$", "Z")
    column = pc.replace_substring_regex(column, r"\s+([+-]\d\d:?\d\d)$", r"\1")
    zoned = bool(re.search(r"(Z|[+-]\d\d:?\d\d)$", str(column.drop_null()[0])))
    expected = f"an ISO time {'with' if zoned else 'without'} a zone, as in the rows before"
    return _times(
        columns.cast(column, pa.timestamp("ns", "UTC" if zoned else None), name, expected), zoned=zoned
    )


def _times(column: pa.ChunkedArray, *, zoned: bool) -> Times:
    known = np.ones(len(column), np.bool_)
    known[null_rows(column)] = False
    assumed = () if zoned else (Repair("time_zone_assumed", 0, "times name no zone: taken as UTC"),)
    return Times(as_numpy(column.cast(pa.int64())), known, absolute=True, repairs=assumed)


def _looks_numeric(column: pa.ChunkedArray) -> bool:
    values = column.drop_null()
    try:
        float(values[0].as_py() if len(values) else "")
    except ValueError:
        return False
    return True


def _numeric(columns: Columns, name: str, unit: str) -> Times:
    try:
        values: npt.NDArray[Any] = columns.integers(name)  # exact to the nanosecond, where floats are not
        known = np.ones(len(values), np.bool_)
    except InvalidInput:
        values = columns.numbers(name)
        known = np.isfinite(values)
    if not known.any():
        return Times(np.zeros(len(values), np.int64), known, absolute=False, repairs=())
    repairs: tuple[Repair, ...] = ()
    if unit == "auto":
        unit, why = _guess_unit(name, float(values[known].max()))
        means = (
            f"{unit.removeprefix('epoch-')} {'since 1970' if unit.startswith('epoch') else 'from the start'}"
        )
        detail = f"column {name!r} is taken as {means} ({why}); --time-unit says otherwise"
        repairs = (Repair("time_unit_guessed", 0, detail),)
    factor = NANOSECONDS_PER[unit.removeprefix("epoch-")]
    base = int(np.floor(values[known].min()))
    highest = max(abs(base), abs(float(values[known].max())))
    if highest * factor >= 2.0**63:
        raise InvalidInput(
            f"{columns.path}: column {name!r}: got {highest:.6g}, too large for a time in {unit}"
        )
    # Integers stay exact; floats lose no more: what is multiplied is their distance from the first.
    distance = np.where(known, values - base, 0) * factor
    whole = distance if distance.dtype == np.int64 else np.rint(distance).astype(np.int64)
    time_ns = whole + base * factor
    return Times(np.where(known, time_ns, 0), known, unit.startswith("epoch"), repairs)


def _guess_unit(name: str, highest: float) -> tuple[str, str]:
    """A unit of TIME_UNITS and why."""
    last_word = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())[-1]
    if (unit := UNIT_IN_NAME.get(last_word)) is not None:
        is_epoch = highest * NANOSECONDS_PER[unit] / NANOSECONDS_PER_SECOND >= EPOCH_FROM_S
        return (f"epoch-{unit}" if is_epoch and unit not in ("min", "h") else unit), "by its name and size"
    for unit in ("ns", "us", "ms", "s"):
        if highest * NANOSECONDS_PER[unit] / NANOSECONDS_PER_SECOND >= EPOCH_FROM_S:
            return f"epoch-{unit}", f"by its size, up to {highest:.12g}"
    return "s", f"by its size, up to {highest:.12g}"
