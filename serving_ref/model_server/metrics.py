"""The metrics of a model server, in Prometheus' conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving_ref.metrics import LATENCY_BUCKETS_S
from serving_ref.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving_ref.model_server.batcher import Waiting

BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)
"""Items of a batch."""
OUTCOMES = (
    Outcome.MODEL,
    Outcome.INVALID,
    Outcome.QUEUE_FULL,
    Outcome.TIMEOUT,
    Outcome.NO_REPLICA,
    Outcome.ERROR,
)
"""How a request can end here: NO_REPLICA when the server is not up yet, or has stopped."""


class Metrics:
    """Counters, gauges and histograms, each with the service as its label."""

    def __init__(self, service: str, instances: int) -> None:
        self.registry = CollectorRegistry()
        names, labels = ("service",), (service,)
        requests = Counter(
            "baseload_model_server_requests", "Requests by how they ended.", ("service", "outcome"),
            registry=self.registry,
        )  # fmt: skip
        self.requests = {outcome: requests.labels(service, outcome.value) for outcome in OUTCOMES}
        self.queue_wait = Histogram(
            "baseload_model_server_queue_wait_seconds", "From arrival in the queue to the start of the batch.",
            names, buckets=LATENCY_BUCKETS_S, registry=self.registry,
        ).labels(*labels)  # fmt: skip
        self.batch_time = Histogram(
            "baseload_model_server_batch_seconds", "Time of a batch in the model.",
            names, buckets=LATENCY_BUCKETS_S, registry=self.registry,
        ).labels(*labels)  # fmt: skip
        self.batch_items = Histogram(
            "baseload_model_server_batch_items", "Items in a batch.", names, buckets=BATCH_BUCKETS,
            registry=self.registry,
        ).labels(*labels)  # fmt: skip
        self.batch_requests = Counter(
            "baseload_model_server_batch_requests", "Requests that were put into batches.", names,
            registry=self.registry,
        ).labels(*labels)  # fmt: skip
        self.busy = Counter(
            "baseload_model_server_busy_seconds", "Time with a batch in the model, summed over instances.",
            names, registry=self.registry,
        ).labels(*labels)  # fmt: skip
        gauges = {
            "queue_depth": "Requests that wait for a batch.",
            "in_service": "Requests in batches that are in the model.",
            "ready": "1: takes requests.",
            "instances": "Batches that can run side by side.",
        }
        self.gauges = {
            name: Gauge(f"baseload_model_server_{name}", text, names, registry=self.registry).labels(*labels)
            for name, text in gauges.items()
        }
        self.gauges["instances"].set(instances)

    def batch_done(self, batch: Sequence[Waiting], items: int, begun_ns: int, ended_ns: int) -> None:
        """Count a batch."""
        for waiting in batch:
            self.queue_wait.observe((begun_ns - waiting.enqueued_ns) * 1e-9)
        self.batch_time.observe((ended_ns - begun_ns) * 1e-9)
        self.batch_items.observe(items)
        self.batch_requests.inc(len(batch))
        self.busy.inc((ended_ns - begun_ns) * 1e-9)
