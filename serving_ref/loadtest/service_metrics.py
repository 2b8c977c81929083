"""What the services say of themselves while a load test runs: batches, queues and busy time, from their metrics.

Metrics are read in Prometheus' text format, from each model server (and the gateway) or from all of them at once
through a Prometheus server's `/federate`. Their label `service` says whose they are. Counters are taken as Prometheus
takes them: a value that has fallen began again at 0.
"""

from __future__ import annotations

import http.client
import math
import time
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from scenarios.errors import EnvironmentProblem
from scenarios.units import NANOSECONDS_PER_SECOND
from serving_ref.loadtest.watch import Watch
from simulator.results.recorded import SERVICE_COUNTERS, SERVICE_GAUGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scenarios.schema import Scenario

EVERY_S = 1.0
TIMEOUT_S = 5.0
_SERVER = "baseload_model_server_"
_COUNTERS = {
    f"{_SERVER}batch_items_count": ("batches", 1),
    f"{_SERVER}batch_requests_total": ("batch_requests", 1),
    f"{_SERVER}batch_items_sum": ("batch_items", 1),
    f"{_SERVER}busy_seconds_total": ("busy_ns", NANOSECONDS_PER_SECOND),
    f"{_SERVER}queue_wait_seconds_sum": ("queue_wait_ns", NANOSECONDS_PER_SECOND),
    "baseload_gateway_breaker_opened_total": ("breaker_opened", 1),
}
"""Name of a counter → ours, and what to multiply it by."""
_REQUESTS, _BUCKETS = f"{_SERVER}requests_total", f"{_SERVER}batch_items_bucket"
_GAUGES = {f"{_SERVER}queue_depth": "queued", f"{_SERVER}in_service": "in_service"}
_READY, _INSTANCES = f"{_SERVER}ready", f"{_SERVER}instances"


@dataclass(frozen=True, eq=False)
class ServiceFigures:
    """The services' part of a `SeedRecord`; the fields are its own."""

    service_counters: NDArray[np.int64]
    slot_ns: NDArray[np.int64]
    service_gauges: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    unseen_services: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Reading:
    at_ns: int
    counters: dict[tuple[str, str], float]
    """Grown since the watch began, by service and our name."""
    gauges: dict[tuple[str, str], float]
    sizes: dict[tuple[str, float], float]
    """Batches up to a size, by service and size; cumulative over sizes, as buckets are."""


class ServiceWatch(Watch[_Reading]):
    """Reads the metrics once a second. An address that nobody listens at has no queue and no replica that is ready; of
    one that does not answer well, what it said last holds."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__("--metrics", EVERY_S)
        self._urls = tuple(urls)
        self._last: dict[tuple[str, ...], float] = {}
        self._grown: dict[tuple[str, str], float] = defaultdict(float)
        self._sizes: dict[tuple[str, float], float] = defaultdict(float)
        self._gauges: dict[str, dict[tuple[str, str], float]] = {}
        """By address."""

    def figures(
        self, scenario: Scenario, start_ns: int, edges_ns: NDArray[np.int64], warmup_ns: int
    ) -> ServiceFigures:
        """Figures at the edges of a timeline that began at a time of `time.monotonic_ns()`.

        Between two readings counters grow evenly; a gauge holds until the next one.
        """
        readings = self.seen
        names = [each.name for each in scenario.services]
        edges, services = len(edges_ns), len(names)
        counters = np.zeros((edges, services, len(SERVICE_COUNTERS)), np.int64)
        gauges = np.zeros((edges, services, len(SERVICE_GAUGES)), np.int64)
        slot_ns = np.zeros((edges, services), np.int64)
        largest = max(each.batching.max_batch_size for each in scenario.services)
        sizes = np.zeros((services, largest + 1), np.int64)
        at_ns = np.array([each.at_ns - start_ns for each in readings])
        seen = {service for each in readings for service, _ in each.gauges}
        for place, service in enumerate(names):
            if service not in seen:
                continue
            for column, name in enumerate(SERVICE_COUNTERS):
                grown = [each.counters.get((service, name), 0.0) for each in readings]
                at_edges = np.interp(edges_ns, at_ns, grown)
                counters[:, place, column] = np.rint(at_edges - at_edges[0])
            latest = np.maximum(np.searchsorted(at_ns, edges_ns, side="right") - 1, 0)
            for column, name in enumerate(SERVICE_GAUGES):
                values = np.array([each.gauges.get((service, name), 0.0) for each in readings])
                gauges[:, place, column] = values[latest]
            slots = gauges[:-1, place, SERVICE_GAUGES.index("batch_slots")]
            slot_ns[1:, place] = np.cumsum(slots * np.diff(edges_ns))
            _count_sizes(sizes[place], readings, service, at_ns, (warmup_ns, int(edges_ns[-1])))
        unseen = frozenset(place for place, name in enumerate(names) if name not in seen)
        return ServiceFigures(counters, slot_ns, gauges, sizes, unseen)

    def look(self) -> _Reading:
        """Read every address. The first time, EnvironmentProblem where one does not give metrics."""
        for url in self._urls:
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                    text = answer.read().decode()
                self._gauges[url] = self._take(url, text)
            except (OSError, http.client.HTTPException, ValueError) as error:
                nobody = _nobody(error)
                if self.is_first:
                    raise EnvironmentProblem(f"--metrics {url}: {nobody or error}") from None
                self.failed(f"--metrics {url}", nobody or error)
                if nobody:
                    self._gauges[url] = {}
        gauges: dict[tuple[str, str], float] = defaultdict(float)
        for of_address in self._gauges.values():
            for key, value in of_address.items():
                gauges[key] += value
        return _Reading(time.monotonic_ns(), dict(self._grown), dict(gauges), dict(self._sizes))

    def _take(self, url: str, text: str) -> dict[tuple[str, str], float]:
        """Add what the counters of an address have grown by. Returns its gauges."""
        gauges: dict[tuple[str, str], float] = defaultdict(float)
        slots: dict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                service = sample.labels.get("service")
                if service is None or not math.isfinite(sample.value):
                    continue
                labels = tuple(sorted(sample.labels.items()))
                if sample.name in _COUNTERS:
                    name, times = _COUNTERS[sample.name]
                    self._grown[service, name] += times * self._growth(url, sample.name, labels, sample.value)
                elif sample.name == _REQUESTS and sample.labels.get("outcome") == "timeout":
                    grown = self._growth(url, sample.name, labels, sample.value)
                    self._grown[service, "expired"] += grown
                elif sample.name == _BUCKETS and (edge := float(sample.labels.get("le", "nan"))) > 0:
                    self._sizes[service, edge] += self._growth(url, sample.name, labels, sample.value)
                elif sample.name in _GAUGES:
                    gauges[service, _GAUGES[sample.name]] += sample.value
                elif sample.name in (_READY, _INSTANCES):
                    slots[labels][sample.name] = sample.value
        for labels, each in slots.items():
            service = dict(labels)["service"]
            gauges[service, "ready_replicas"] += each.get(_READY, 0.0)
            gauges[service, "batch_slots"] += each.get(_READY, 0.0) * each.get(_INSTANCES, 1.0)
        return gauges

    def _growth(self, url: str, name: str, labels: tuple[tuple[str, str], ...], value: float) -> float:
        """How much a counter has grown since the last reading; nothing at the first."""
        series = (url, name, *(part for pair in labels for part in pair))
        before = self._last.get(series)
        self._last[series] = value
        if before is None:
            return 0.0 if self.is_first else value
        return value - before if value >= before else value


def _nobody(error: Exception) -> str:
    """Why no connection could be made; empty where one was, and what went wrong came after that."""
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return ""


def _count_sizes(
    sizes: NDArray[np.int64],
    readings: Sequence[_Reading],
    service: str,
    at_ns: NDArray[np.int64],
    span_ns: tuple[int, int],
) -> None:
    """Batches by their size, as far as buckets tell it: each counts as its bucket's upper edge."""
    edges = sorted({size for each in readings for name, size in each.sizes if name == service})
    below = 0.0
    for edge in edges:
        up_to = [each.sizes.get((service, edge), 0.0) for each in readings]
        begin, end = np.interp(span_ns, at_ns, up_to)
        sizes[int(min(edge, len(sizes) - 1))] += round(end - begin - below)
        below = end - begin
