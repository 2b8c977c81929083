"""The Parquet tables of a run directory, one replication at a time. docs/run-directory.md has every
column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from scenarios.units import NANOSECONDS_PER_SECOND
from simulator.money.focus import COLUMNS, FOCUS_VERSION, ColumnType, rows
from simulator.results.columns import categories, decimals, numbers, texts, times
from simulator.results.histogram import SCHEME, percentiles_ns
from simulator.results.recorded import (
    CLASS_COUNTERS,
    LATENCY_KINDS,
    POOL_GAUGES,
    SERVICE_COUNTERS,
    SERVICE_GAUGES,
)
from simulator.results.totals import LOGICAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from scenarios.schema import Scenario
    from simulator.money.bill import LineItem
    from simulator.results.recorded import SeedRecord

PERCENTILE_COLUMNS: dict[str, float] = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
_ROWS_AT_ONCE = 65_536
LATENCY_METADATA = {"baseload.histogram_scheme": SCHEME}
COSTS_METADATA = {"baseload.focus_version": FOCUS_VERSION}


def timeline_tables(scenario: Scenario, record: SeedRecord) -> Iterator[pa.Table]:
    """One row a class, service or pool and interval: counters over the interval, gauges at its beginning.

    In tables of some entities each, ordered by entity and time, so that a long run is never whole in memory.
    """
    entities = [
        *(("class", index, each.name) for index, each in enumerate(scenario.classes)),
        *(
            ("service", index, each.name)
            for index, each in enumerate(scenario.services)
            if index not in record.unseen_services
        ),
        *(("pool", index, each.name) for index, each in enumerate(scenario.pools)),
    ]
    at_once = max(1, _ROWS_AT_ONCE // (len(record.edges_ns) - 1))
    for first in range(0, len(entities), at_once):
        yield _timeline_part(record, entities[first : first + at_once])


def _timeline_part(record: SeedRecord, entities: Sequence[tuple[str, int, str]]) -> pa.Table:
    edges = record.edges_ns
    intervals = len(edges) - 1
    length = intervals * len(entities)

    def column(wanted: str, source: NDArray[np.int64], field: int, *, differences: bool) -> pa.Array:
        """One counter or gauge of one kind of entity, null for the others."""
        values, valid = np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.bool_)
        for place, (kind, index, _) in enumerate(entities):
            if kind == wanted:
                rows = slice(place * intervals, (place + 1) * intervals)
                figures = source[:, index, field]
                values[rows] = np.diff(figures) if differences else figures[:-1]
                valid[rows] = True
        return numbers(values, valid)

    every = np.repeat(np.arange(len(entities)), intervals)
    columns: dict[str, pa.Array] = {
        "seed": numbers(np.full(length, record.seed, dtype=np.int64)),
        "time_s": numbers(np.tile(edges[:-1] / NANOSECONDS_PER_SECOND, len(entities))),
        "duration_s": numbers(np.tile(np.diff(edges) / NANOSECONDS_PER_SECOND, len(entities))),
        "kind": categories(every, [kind for kind, _, _ in entities]),
        "name": categories(every, [name for _, _, name in entities]),
    }
    for kind, fields, source, differences in (
        ("class", CLASS_COUNTERS, record.class_counters, True),
        ("service", SERVICE_COUNTERS, record.service_counters, True),
        ("service", ("slot_ns",), record.slot_ns[:, :, None], True),
        ("service", SERVICE_GAUGES, record.service_gauges, False),
        ("pool", POOL_GAUGES, record.pool_gauges, False),
    ):
        for index, field in enumerate(fields):
            columns[field] = column(kind, source, index, differences=differences)
    return pa.table(columns | _percentile_columns(record, entities))


def _percentile_columns(record: SeedRecord, entities: Sequence[tuple[str, int, str]]) -> dict[str, pa.Array]:
    """Percentiles of the classes' intervals; all null where histogram windows are not the intervals."""
    intervals = len(record.edges_ns) - 1
    values = np.full((len(PERCENTILE_COLUMNS), intervals * len(entities)), np.nan)
    if np.array_equal(record.histogram_edges_ns, record.edges_ns):
        for place, (kind, index, _) in enumerate(entities):
            if kind == "class":
                block = window_percentiles(record, index, list(PERCENTILE_COLUMNS.values()))
                values[:, place * intervals : (place + 1) * intervals] = block
    return {name: numbers(values[row], ~np.isnan(values[row])) for row, name in enumerate(PERCENTILE_COLUMNS)}


def window_percentiles(record: SeedRecord, class_index: int, levels: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles in seconds of answered logical requests, shape (levels, histogram windows); nan where
    none."""
    sparse = record.histogram
    chosen = np.isin(sparse.kind, LOGICAL) & (sparse.class_index == class_index)
    window, bucket, count = sparse.window[chosen], sparse.bucket[chosen], sparse.count[chosen]
    values = np.full((len(levels), len(record.histogram_edges_ns) - 1), np.nan)
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(window)], strict=True):
        counts = np.bincount(bucket[start:end], weights=count[start:end]).astype(np.int64)
        answers = percentiles_ns(counts, levels)
        values[:, window[start]] = [np.nan if each is None else each / 1e9 for each in answers]
    return values


def latency_tables(scenario: Scenario, record: SeedRecord) -> Iterator[pa.Table]:
    """One row a filled bucket of a histogram window, class and kind; some rows at a time."""
    sparse, edges_s = record.histogram, record.histogram_edges_ns / NANOSECONDS_PER_SECOND
    classes = [each.name for each in scenario.classes]
    for first in range(0, max(len(sparse.count), 1), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        window, count = sparse.window[rows], sparse.count[rows]
        yield pa.table({
            "seed": numbers(np.full(len(count), record.seed, dtype=np.int64)),
            "window_start_s": numbers(edges_s[window]),
            "window_end_s": numbers(edges_s[window + 1]),
            "class": categories(sparse.class_index[rows], classes),
            "kind": categories(sparse.kind[rows], LATENCY_KINDS),
            "bucket": numbers(np.asarray(sparse.bucket[rows], dtype=np.int16)),
            "count": numbers(np.asarray(count, dtype=np.int64)),
        }, metadata=LATENCY_METADATA)  # fmt: skip


def events_table(record: SeedRecord) -> pa.Table:
    """One row an event of the control plane, in order of time."""
    return pa.table({
        "seed": numbers(np.full(len(record.events), record.seed, dtype=np.int64)),
        "time_s": numbers(
            np.array([event.time_ns for event in record.events], dtype=np.int64) / NANOSECONDS_PER_SECOND
        ),
        "kind": texts([event.kind for event in record.events]),
        "subject": texts([event.subject for event in record.events]),
        "detail": texts([event.detail for event in record.events]),
    })  # fmt: skip


_FOCUS_BUILDERS: dict[ColumnType, Callable[[Sequence[object]], pa.Array]] = {
    ColumnType.TEXT: texts,  # type: ignore[dict-item]  # each takes the values of its own type
    ColumnType.TIME: times,  # type: ignore[dict-item]  # each takes the values of its own type
    ColumnType.DECIMAL: decimals,  # type: ignore[dict-item]  # each takes the values of its own type
    ColumnType.INTEGER: lambda values: numbers(np.asarray(values, dtype=np.int64)),
}


def costs_table(scenario: Scenario, lines: Sequence[LineItem]) -> pa.Table:
    """One FOCUS row a line item."""
    filled = list(rows(scenario, lines))
    columns = {name: _FOCUS_BUILDERS[kind]([row[name] for row in filled]) for name, kind in COLUMNS.items()}
    return pa.table(columns, metadata=COSTS_METADATA)
