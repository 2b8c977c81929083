"""Read a trace file and check that it is what the simulator may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.errors import InvalidInput, Unsupported
from scenarios.traces.model import VERSION, CountTrace, Int32s, Int64s, Repair, RequestTrace, Trace
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.traces.columns import Columns

REQUEST_COLUMNS = ("time_ns", "time_s", "items", "key", "class")
COUNT_COLUMNS = ("time_ns", "time_s", "count")
DOCUMENT_KEYS = ("kind", "version", "start", "step_s", "source", "repairs")


def read_trace(path: Path) -> Trace:
    """Read a traffic trace: a file of `baseload import`, or a CSV or Parquet file with the same columns.

    Columns of request rows: `time_ns` (or `time_s`), optional `items`, `key`, `class`; of counts: `count`,
    and `time_ns` or `time_s` where no metadata gives the step. Raises InvalidInput naming file, row, column,
    value and what was expected; Unsupported for a file of a later version.
    """
    from scenarios.traces.columns import open_columns  # pyarrow: a third of a second

    columns = open_columns(path)
    document = columns.document
    unknown_keys = sorted(set(document) - set(DOCUMENT_KEYS))
    version = document.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise Unsupported(f"{path}: trace format version {version!r}; this Baseload reads up to {VERSION}")
    if unknown_keys:
        raise InvalidInput(f"{path}: metadata key {unknown_keys[0]!r}; expected {', '.join(DOCUMENT_KEYS)}")
    kind = document.get("kind", "counts" if "count" in columns else "requests")
    if kind not in ("requests", "counts"):
        raise InvalidInput(f"{path}: metadata kind {kind!r}; expected 'requests' or 'counts'")
    expected = COUNT_COLUMNS if kind == "counts" else REQUEST_COLUMNS
    for name in columns.names:
        if name not in expected:
            raise InvalidInput(
                f"{path}: unknown column {name!r} in a trace of {kind}; expected {', '.join(expected)} "
                "(`baseload import` turns other files into traces)"
            )
    if len(columns) == 0:
        raise InvalidInput(f"{path}: no rows; expected at least one")
    return _counts(columns) if kind == "counts" else _requests(columns)


def _requests(columns: Columns) -> RequestTrace:
    items, class_index, key = None, None, None
    class_names: tuple[str, ...] = ()
    if "items" in columns:
        items = _items(columns)
    if "class" in columns:
        class_index, class_names = columns.texts("class")
        _refuse_missing(columns, "class", np.flatnonzero(class_index < 0), "a class name")
    if "key" in columns:
        key, without = columns.keys("key")
        _refuse_missing(columns, "key", without, "a key")
    return RequestTrace(
        time_ns=_ascending(columns, strictly=False),
        items=items,
        key=key,
        class_index=class_index,
        class_names=class_names,
        start_unix_ns=_start(columns),
        source=_source(columns),
        repairs=_repairs(columns),
    )


def _counts(columns: Columns) -> CountTrace:
    count = columns.integers("count")
    if (count < 0).any():
        row = int(np.argmax(count < 0))
        raise columns.bad_value(row, "count", int(count[row]), "0 or more")
    return CountTrace(
        count=count,
        step_ns=_step_ns(columns),
        start_unix_ns=_start(columns),
        source=_source(columns),
        repairs=_repairs(columns),
    )


def _items(columns: Columns) -> Int32s:
    items = columns.integers("items")
    wrong = (items < 1) | (items >= 2**31)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise columns.bad_value(row, "items", int(items[row]), "from 1 to 2**31 - 1")
    return items.astype(np.int32)


def _refuse_missing(columns: Columns, name: str, rows: Int64s, expected: str) -> None:
    if len(rows):
        raise columns.bad_value(int(rows[0]), name, None, expected)


def _time_column(columns: Columns) -> str:
    given = [name for name in ("time_ns", "time_s") if name in columns]
    if len(given) != 1:
        raise InvalidInput(
            f"{columns.path}: expected exactly one of the columns time_ns and time_s; the columns are "
            f"{', '.join(columns.names)}"
        )
    return given[0]


def _ascending(columns: Columns, *, strictly: bool) -> Int64s:
    """Nanoseconds from the trace's start, checked to be in order and not before it."""
    name = _time_column(columns)
    if name == "time_ns":
        time_ns = columns.integers(name)
    else:
        seconds = columns.numbers(name)
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(seconds) < 2.0**63 / NANOSECONDS_PER_SECOND)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise columns.bad_value(row, name, float(seconds[row]), "seconds from the start")
        time_ns = np.rint(seconds * NANOSECONDS_PER_SECOND).astype(np.int64)
    wrong = np.empty(len(time_ns), np.bool_)
    wrong[0] = time_ns[0] < 0
    # Compared, not subtracted: the difference of two wild values could wrap around.
    wrong[1:] = time_ns[1:] <= time_ns[:-1] if strictly else time_ns[1:] < time_ns[:-1]
    if wrong.any():
        row = int(np.argmax(wrong))
        value = columns.raw(name)[row].as_py()
        if row == 0:
            raise columns.bad_value(row, name, value, "a time at or after the trace's start (0)")
        raise columns.bad_value(
            row, name, value, f"a time {'after' if strictly else 'not before'} that of row {row}"
        )
    return time_ns


def _step_ns(columns: Columns) -> int:
    """The step, from the metadata or from the time column; a time column must agree and have no gaps."""
    path, stated = columns.path, columns.document.get("step_s")
    if stated is not None and not (isinstance(stated, (int, float)) and 0 < stated < 1e9):
        raise InvalidInput(f"{path}: metadata step_s {stated!r}; expected seconds, more than 0")
    step_ns = None if stated is None else max(1, round(stated * NANOSECONDS_PER_SECOND))
    if "time_ns" not in columns and "time_s" not in columns:
        if step_ns is None:
            raise InvalidInput(
                f"{path}: the step of the counts is unknown; expected a column time_s or time_ns, "
                "or step_s in the metadata"
            )
        return step_ns
    time_ns = _ascending(columns, strictly=True)
    if step_ns is None:
        if len(time_ns) == 1:
            raise InvalidInput(f"{path}: one row does not tell the step; expected step_s in the metadata")
        step_ns = int(time_ns[1] - time_ns[0])
    wrong = np.abs(time_ns - np.arange(len(time_ns)) * step_ns) > 1  # decimal seconds may round by 1 ns
    if wrong.any():
        row, name = int(np.argmax(wrong)), _time_column(columns)
        raise columns.bad_value(
            row,
            name,
            columns.raw(name)[row].as_py(),
            f"{row * step_ns / NANOSECONDS_PER_SECOND:.15g} s (counts have a constant step and no gaps)",
        )
    return step_ns


def _start(columns: Columns) -> int | None:
    start = columns.document.get("start")
    if start is None:
        return None
    try:
        # numpy keeps nanoseconds, where datetime stops at microseconds; it knows no "Z".
        moment = np.datetime64(start.removesuffix("Z"), "ns") if start.endswith("Z") else None
    except (ValueError, AttributeError):
        moment = None
    if moment is None or np.isnat(moment):
        raise InvalidInput(
            f"{columns.path}: metadata start {start!r}; expected a UTC time such as 2024-05-01T00:00:00Z"
        )
    return int(moment.astype(np.int64))


def _source(columns: Columns) -> str:
    return str(columns.document.get("source", columns.path.name))


def _repairs(columns: Columns) -> tuple[Repair, ...]:
    repairs: Any = columns.document.get("repairs", [])
    try:
        return tuple(
            Repair(str(entry["what"]), int(entry["count"]), str(entry["detail"])) for entry in repairs
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidInput(
            f"{columns.path}: metadata repairs {repairs!r}; expected a list of {{what, count, detail}}"
        ) from error
