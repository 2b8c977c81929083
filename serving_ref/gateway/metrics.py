"""The metrics of a gateway, in Prometheus' conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving_ref.metrics import LATENCY_BUCKETS_S

if TYPE_CHECKING:
    from serving_ref.protocol import Outcome

BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """Counters, gauges and histograms of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "baseload_gateway_requests", "Requests by route, class and how they ended.",
            ("route", "request_class", "outcome"), registry=self.registry,
        )  # fmt: skip
        self._latency = Histogram(
            "baseload_gateway_request_seconds", "From the request's headers to its answer, of answered requests.",
            ("route", "request_class"), buckets=LATENCY_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "baseload_gateway_in_flight", "Requests that wait for their answer.", registry=self.registry
        )
        self.outstanding = Gauge(
            "baseload_gateway_outstanding", "Flights: work under way, which several requests may wait for.",
            ("route",), registry=self.registry,
        )  # fmt: skip
        lookups = Counter(
            "baseload_gateway_cache_lookups",
            "Look-ups in Redis by result.",
            ("result",),
            registry=self.registry,
        )
        self.cache_hit, self.cache_miss, self.cache_error, self.cache_skipped = (
            lookups.labels(result) for result in ("hit", "miss", "error", "skipped")
        )
        self.cache_opened = Counter(
            "baseload_gateway_cache_breaker_opened", "Times that Redis was given up for a while.",
            registry=self.registry,
        )  # fmt: skip
        self.calls = Counter(
            "baseload_gateway_calls", "Calls of model servers by result.", ("service", "result"),
            registry=self.registry,
        )  # fmt: skip
        self.call_time = Histogram(
            "baseload_gateway_call_seconds", "Time of calls that were answered.",
            ("service",), buckets=LATENCY_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self.redispatched = Counter(
            "baseload_gateway_redispatched", "Flights sent once more: their replica was lost or not up.",
            ("service",), registry=self.registry,
        )  # fmt: skip
        self.escalated = Counter(
            "baseload_gateway_escalated", "Flights that went on to the next target of a cascade.",
            ("route",), registry=self.registry,
        )  # fmt: skip
        self.breaker_opened = Counter(
            "baseload_gateway_breaker_opened", "Times that a service's breaker opened.", ("service",),
            registry=self.registry,
        )  # fmt: skip
        self.breaker_state = Gauge(
            "baseload_gateway_breaker_state", "0: closed, 1: half-open, 2: open.", ("service",), registry=self.registry
        )  # fmt: skip
        self.ready_replicas = Gauge(
            "baseload_gateway_ready_replicas", "Replicas that take requests.", ("service",), registry=self.registry
        )  # fmt: skip
        self._counters: dict[tuple[str, str, Outcome], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def ended(self, route: str, request_class: str, outcome: Outcome, answered_in_s: float | None) -> None:
        """Count a request's one outcome, and its latency if it was answered."""
        counter = self._counters.get((route, request_class, outcome))
        if counter is None:
            counter = self._requests.labels(route, request_class, outcome.value)
            self._counters[route, request_class, outcome] = counter
        counter.inc()
        if answered_in_s is None:
            return
        histogram = self._histograms.get((route, request_class))
        if histogram is None:
            histogram = self._histograms[route, request_class] = self._latency.labels(route, request_class)
        histogram.observe(answered_in_s)
