"""The timeline ticker: reads counters and gauges at the edges, and makes the record of the run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import nanoseconds
from simulator.results.recorded import (
    CLASS_COUNTERS,
    POOL_GAUGES,
    SERVICE_COUNTERS,
    SERVICE_GAUGES,
    SeedRecord,
    SparseHistogram,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    import simpy
    from numpy.typing import NDArray

    from scenarios.fleet import Snapshot
    from scenarios.schema import Scenario
    from simulator.control.books import Books
    from simulator.control.fleet import Fleet
    from simulator.control.timeline import Timeline
    from simulator.dataplane.engine import Counters, DataPlane

_BUSY_NS = SERVICE_COUNTERS.index("busy_ns")


class Recorder:
    """Reads counters just before an edge's instant and gauges just after its changes."""

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        plane: DataPlane,
        books: Books,
        scenario: Scenario,
        timeline: Timeline,
    ) -> None:
        self._env, self._fleet, self._plane, self._books, self._timeline = env, fleet, plane, books, timeline
        self._pools = [pool.name for pool in scenario.pools]
        edges = len(timeline.edges_ns)
        classes, services, slos = len(scenario.classes), len(scenario.services), len(scenario.slos)
        self._class_counters = np.zeros((edges, classes, len(CLASS_COUNTERS)), np.int64)
        self._slo_good = np.zeros((edges, slos), np.int64)
        self._slo_total = np.zeros((edges, slos), np.int64)
        self._service_counters = np.zeros((edges, services, len(SERVICE_COUNTERS)), np.int64)
        self._slot_ns = np.zeros((edges, services), np.int64)
        self._service_gauges = np.zeros((edges, services, len(SERVICE_GAUGES)), np.int64)
        self._pool_gauges = np.zeros((edges, len(self._pools), len(POOL_GAUGES)), np.int64)
        self._histograms = HistogramWindows()
        self._warmup_ns = nanoseconds(scenario.run.warmup)

    def tick(self) -> Generator[simpy.Event, Any, None]:
        """The control process: reads at every edge but the last."""
        for row, edge_ns in enumerate(self._timeline.edges_ns[:-1].tolist()):
            yield self._env.timeout(edge_ns - self._env.now)
            self._read_counters(row)
            self._fleet.look(partial(self._read_gauges, row))

    def finish(self, seed: int) -> SeedRecord:
        """Read the last edge, which is now, and return the record."""
        counters = self._read_counters(-1)
        self._read_gauges(-1, self._fleet.observe())
        unfinished, unfinished_late = self._plane.unfinished()
        return SeedRecord(
            seed=seed,
            path=self._plane.path,
            path_reason=self._plane.path_reason,
            edges_ns=self._timeline.edges_ns,
            class_counters=self._class_counters,
            slo_good=self._slo_good,
            slo_total=self._slo_total,
            service_counters=self._service_counters,
            slot_ns=self._slot_ns,
            service_gauges=self._service_gauges,
            pool_gauges=self._pool_gauges,
            batch_sizes=counters.batch_sizes - self._warm_batch_sizes,
            served_items=counters.served_items - self._warm_served_items,
            histogram_edges_ns=self._timeline.histogram_edges_ns,
            histogram=self._histograms.sparse(),
            unfinished=unfinished,
            unfinished_late=unfinished_late,
            usage=self._books.usage(int(self._env.now)),
            events=self._books.events(),
        )

    def _read_counters(self, row: int) -> Counters:
        counters = self._fleet.sync()
        self._class_counters[row] = counters.class_counters
        self._slo_good[row] = counters.slo_good
        self._slo_total[row] = counters.slo_total
        self._service_counters[row] = counters.service_counters
        self._service_counters[row, :, _BUSY_NS] = self._plane.busy_ns()  # batches under way included
        self._slot_ns[row] = self._fleet.slot_ns()
        if self._env.now == self._warmup_ns:
            self._warm_batch_sizes = counters.batch_sizes.copy()
            self._warm_served_items = counters.served_items.copy()
        if self._env.now == self._timeline.histogram_edges_ns[self._histograms.windows + 1]:
            self._histograms.close_window(counters.histogram)
        return counters

    def _read_gauges(self, row: int, snapshot: Snapshot) -> None:
        for index, service in enumerate(snapshot.services):
            self._service_gauges[row, index] = [getattr(service, gauge) for gauge in SERVICE_GAUGES]
        for index, pool in enumerate(self._pools):
            self._pool_gauges[row, index] = self._books.paid[pool], self._books.ready[pool]


class HistogramWindows:
    """Cumulative histograms cut into windows, of which only filled buckets are kept."""

    def __init__(self) -> None:
        self.windows = 0
        """Closed so far."""
        self._before: NDArray[np.int64] | None = None
        self._parts: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        self._shape: tuple[int, ...] = (1, 1, 1)

    def close_window(self, histogram: NDArray[np.int64]) -> None:
        """End the current window: `histogram` is cumulative, shape (classes, kinds, buckets)."""
        self._shape = histogram.shape
        now = histogram.ravel().copy()
        counts = now if self._before is None else now - self._before
        filled = np.flatnonzero(counts)
        self._parts.append((self.windows, filled, counts[filled]))
        self._before = now
        self.windows += 1

    def sparse(self) -> SparseHistogram:
        """All windows, ordered by (window, class, kind, bucket)."""
        place = np.concatenate([filled for _, filled, _ in self._parts])
        class_index, kind, bucket = np.unravel_index(place, self._shape)
        return SparseHistogram(
            window=np.concatenate(
                [np.full(len(filled), window, np.int32) for window, filled, _ in self._parts]
            ),
            class_index=class_index.astype(np.int16),
            kind=kind.astype(np.int8),
            bucket=bucket.astype(np.int16),
            count=np.concatenate([counts for _, _, counts in self._parts]),
        )
