"""A logical request of the reference, and what is counted and logged of it: the kernel's columns, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.dataplane import python_draws
from simulator.dataplane.engine import Counters, Logs
from simulator.dataplane.records import BATCH_LOG, REQUEST_LOG
from simulator.results.histogram import BUCKETS, lower_edges_ns
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS, SERVICE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.dataplane.reference_batcher import Flight, Slot
    from simulator.dataplane.reference_time import OrderedEnvironment
    from simulator.dataplane.specification import RequestClassSpec, ServiceSpec, Specification, Stream

_EDGES = lower_edges_ns()
_OUTCOMES = {name: place for place, name in enumerate(CLASS_COUNTERS)}


class Request:
    """A logical request: from its first send to its final outcome."""

    def __init__(self, stream: Stream, ident: int, cls: RequestClassSpec, now: int) -> None:
        self.stream = stream
        self.id = ident
        self.cls = cls
        self.first_ns = now
        self.sent_ns = now
        self.attempt = 0
        self.key = -1
        self.items = 1
        self.difficulty = 0.0


class Recorder:
    """Counters and logs of one run of the reference."""

    def __init__(self, specification: Specification, env: OrderedEnvironment) -> None:
        self.spec = specification
        self.env = env
        classes, services, slos = (
            len(specification.classes),
            len(specification.services),
            len(specification.slos),
        )
        largest = max(service.max_items for service in specification.services)
        self.counters = Counters(
            class_counters=np.zeros((classes, len(CLASS_COUNTERS)), np.int64),
            service_counters=np.zeros((services, len(SERVICE_COUNTERS)), np.int64),
            slo_good=np.zeros(slos, np.int64),
            slo_total=np.zeros(slos, np.int64),
            histogram=np.zeros((classes, len(LATENCY_KINDS), BUCKETS), np.int64),
            batch_sizes=np.zeros((services, largest + 1), np.int64),
            served_items=np.zeros((classes, services), np.int64),
        )
        self.open: dict[tuple[int, int], tuple[RequestClassSpec, int]] = {}
        self.request_rows: list[tuple[Any, ...]] = []
        self.batch_rows: list[tuple[Any, ...]] = []

    def count(self, cls: RequestClassSpec, counter: str, n: int = 1) -> None:
        """Add to a class's counter."""
        self.counters.class_counters[cls.index, CLASS_COUNTERS.index(counter)] += n

    def count_service(self, service: int, counter: str, n: int = 1) -> None:
        """Add to a service's counter."""
        self.counters.service_counters[service, SERVICE_COUNTERS.index(counter)] += n

    def opener(self, service: ServiceSpec) -> Callable[[], None]:
        """Return what a service's breaker calls when it opens."""
        return lambda: self.count_service(service.index, "breaker_opened")

    def sent(self, request: Request) -> None:
        """Count a first send."""
        self.count(request.cls, "sent")
        self.open[request.stream.index, request.id] = (request.cls, request.first_ns)

    def answered(self, request: Request, outcome: str, end_ns: int) -> None:
        """Record the final outcome: answered well."""
        cls, latency_ns = request.cls, end_ns - request.first_ns
        self.count(cls, f"ok_{outcome}")
        self.count(cls, "latency_ns", latency_ns)
        self._observe(cls, "first" if request.attempt == 0 else "retried_logical", latency_ns)
        if request.attempt > 0:
            self._observe(cls, "retried_attempt", end_ns - request.sent_ns)
        for slo in cls.slos:
            self.counters.slo_total[slo] += 1
            self.counters.slo_good[slo] += latency_ns <= self.spec.slos[slo].latency_ns
        self._close(request, f"ok_{outcome}", end_ns)

    def failed(self, request: Request, cause: str) -> None:
        """Record the final outcome: failed."""
        self.count(request.cls, f"failed_{cause}")
        for slo in request.cls.slos:
            self.counters.slo_total[slo] += 1
        self._close(request, f"failed_{cause}", self.env.now_ns)

    def _observe(self, cls: RequestClassSpec, kind: str, latency_ns: int) -> None:
        bucket = int(np.searchsorted(_EDGES, latency_ns, side="right")) - 1
        self.counters.histogram[cls.index, LATENCY_KINDS.index(kind), bucket] += 1

    def _close(self, request: Request, outcome: str, end_ns: int) -> None:
        del self.open[request.stream.index, request.id]
        row = (request.stream.index, request.id, request.cls.index, request.attempt + 1, _OUTCOMES[outcome])
        self.request_rows.append((*row, request.first_ns, end_ns))

    def batch_begun(
        self, service: ServiceSpec, slot: Slot, batch: list[Flight], items: int, finish_ns: int
    ) -> None:
        """Record the begin of a batch."""
        now = self.env.now_ns
        self.count_service(service.index, "batches")
        self.count_service(service.index, "batch_requests", len(batch))
        self.count_service(service.index, "batch_items", items)
        self.count_service(service.index, "queue_wait_ns", sum(now - flight.enqueued_ns for flight in batch))
        self.counters.batch_sizes[service.index, items] += 1
        members = np.uint64(0)
        for flight in batch:
            self.counters.served_items[flight.cls.index, service.index] += flight.items
            members = np.uint64(python_draws.draw_members(members, flight.stream, flight.id, flight.attempt))
        row = (service.index, slot.uid, slot.number, now, finish_ns, len(batch), items, members)
        self.batch_rows.append(row)

    def busy(self, service: ServiceSpec, time_ns: int) -> None:
        """Record time that a slot was busy."""
        self.count_service(service.index, "busy_ns", time_ns)

    def logs(self) -> Logs:
        """Return the rows as arrays."""
        return Logs(
            np.sort(np.array(self.request_rows, REQUEST_LOG), order=["stream", "id"]),
            np.sort(np.array(self.batch_rows, BATCH_LOG), order=["service", "uid", "number", "start_ns"]),
        )
