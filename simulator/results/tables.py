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
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scenarios.schema import Scenario
    from simulator.money.bill import LineItem
    from simulator.results.recorded import SeedRecord

PERCENTILE_COLUMNS: dict[str, float] = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
KINDS = ("class", "service", "pool")
LATENCY_METADATA = {"baseload.histogram_scheme": SCHEME}
COSTS_METADATA = {"baseload.focus_version": FOCUS_VERSION}


def timeline_table(scenario: Scenario, record: SeedRecord) -> pa.Table:
    """One row a class, service or pool and interval: counters over the interval, gauges at its beginning."""
    edges = record.edges_ns
    intervals = len(edges) - 1
    names = [[each.name for each in named] for named in (scenario.classes, scenario.services, scenario.pools)]
    entities = sum(len(each) for each in names)
    kinds = np.repeat(np.arange(len(KINDS)), [len(each) * intervals for each in names])

    def spread(values: NDArray[np.int64], kind: int) -> pa.Array:
        """(intervals, entities of one kind) as a column of the whole table, null for the other kinds."""
        of_kind = kinds == kind
        column = np.zeros(len(kinds), dtype=np.int64)
        column[of_kind] = values.T.ravel()
        return numbers(column, of_kind)

    columns: dict[str, pa.Array] = {
        "seed": numbers(np.full(len(kinds), record.seed, dtype=np.int64)),
        "time_s": numbers(np.tile(edges[:-1] / NANOSECONDS_PER_SECOND, entities)),
        "duration_s": numbers(np.tile(np.diff(edges) / NANOSECONDS_PER_SECOND, entities)),
        "kind": categories(kinds, KINDS),
        "name": categories(
            np.repeat(np.arange(entities), intervals), [name for each in names for name in each]
        ),
    }
    for index, counter in enumerate(CLASS_COUNTERS):
        columns[counter] = spread(np.diff(record.class_counters[:, :, index], axis=0), 0)
    for index, counter in enumerate(SERVICE_COUNTERS):
        columns[counter] = spread(np.diff(record.service_counters[:, :, index], axis=0), 1)
    for index, gauge in enumerate(SERVICE_GAUGES):
        columns[gauge] = spread(record.service_gauges[:-1, :, index], 1)
    for index, gauge in enumerate(POOL_GAUGES):
        columns[gauge] = spread(record.pool_gauges[:-1, :, index], 2)
    columns |= _percentile_columns(record, len(names[0]), len(kinds))
    return pa.table(columns)


def _percentile_columns(record: SeedRecord, classes: int, length: int) -> dict[str, pa.Array]:
    """Percentiles of the classes' intervals; all null where histogram windows are not the timeline's
    intervals."""
    values = np.full((len(PERCENTILE_COLUMNS), length), np.nan)
    if np.array_equal(record.histogram_edges_ns, record.edges_ns):
        intervals = len(record.edges_ns) - 1
        for index in range(classes):
            block = window_percentiles(record, index, list(PERCENTILE_COLUMNS.values()))
            values[:, index * intervals : (index + 1) * intervals] = block
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


def latency_table(scenario: Scenario, record: SeedRecord) -> pa.Table:
    """One row a filled bucket of a histogram window, class and kind."""
    sparse, edges_s = record.histogram, record.histogram_edges_ns / NANOSECONDS_PER_SECOND
    return pa.table({
        "seed": numbers(np.full(len(sparse.count), record.seed, dtype=np.int64)),
        "window_start_s": numbers(edges_s[sparse.window]),
        "window_end_s": numbers(edges_s[sparse.window + 1]),
        "class": categories(sparse.class_index, [each.name for each in scenario.classes]),
        "kind": categories(sparse.kind, LATENCY_KINDS),
        "bucket": numbers(np.asarray(sparse.bucket, dtype=np.int16)),
        "count": numbers(np.asarray(sparse.count, dtype=np.int64)),
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
    ColumnType.TEXT: texts,  # type: ignore[dict-item]
    ColumnType.TIME: times,  # type: ignore[dict-item]
    ColumnType.DECIMAL: decimals,  # type: ignore[dict-item]
    ColumnType.INTEGER: lambda values: numbers(np.asarray(values, dtype=np.int64)),
}


def costs_table(scenario: Scenario, lines: Sequence[LineItem]) -> pa.Table:
    """One FOCUS row a line item."""
    filled = list(rows(scenario, lines))
    columns = {name: _FOCUS_BUILDERS[kind]([row[name] for row in filled]) for name, kind in COLUMNS.items()}
    return pa.table(columns, metadata=COSTS_METADATA)
