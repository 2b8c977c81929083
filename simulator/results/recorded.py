"""The record of one simulated seed: what the run loop collects, and all that results are made from.

Counters are cumulative and read at the edges of the timeline's intervals, so the figure of an interval is the
difference of two rows, whatever windows the data plane was advanced in. A logical request is counted in the
interval of its *outcome*; `sent` in the interval of its first send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_COUNTERS: tuple[str, ...] = (
    "sent",  # logical requests: first sends
    "attempts",  # sends, first and repeated
    "ok_model",  # logical requests answered by a model, own flight
    "ok_cache",  # … by the response cache
    "ok_coalesced",  # … by a flight that another request had started
    "failed_timeout",  # logical requests that failed; the cause is that of their last attempt
    "failed_rate_limited",
    "failed_queue_full",
    "failed_shed",
    "failed_breaker_open",
    "failed_no_replica",
    "failed_lost",
    "attempt_timeout",  # attempts that failed, by cause
    "attempt_rate_limited",
    "attempt_queue_full",
    "attempt_shed",
    "attempt_breaker_open",
    "attempt_no_replica",
    "attempt_lost",
    "retries_denied",  # retries that a client wanted and its retry budget refused
    "redispatched",  # attempts sent once more because their replica was lost
    "latency_ns",  # sum of the latencies of answered logical requests
)
"""Columns of the class counters, in the order of the engine's arrays."""

SERVICE_COUNTERS: tuple[str, ...] = (
    "batches",  # batches begun
    "batch_requests",  # requests in them
    "batch_items",  # items in them
    "busy_ns",  # time with a batch in service, summed over instances
    "queue_wait_ns",  # time from queue entry to batch start, summed over requests
    "expired",  # requests left out of a batch because their client had given up
    "breaker_opened",
)
"""Columns of the service counters."""

SERVICE_GAUGES: tuple[str, ...] = (
    "queued",  # requests waiting
    "in_service",  # requests in batches being served
    "ready_replicas",
    "batch_slots",  # batches that could be in service at once
)
"""Columns of the service gauges, read at interval edges."""

POOL_GAUGES: tuple[str, ...] = ("instances", "ready_instances")
"""Columns of the pool gauges: instances that are paid for, and those whose replicas are ready."""

LATENCY_KINDS: tuple[str, ...] = ("first", "retried_logical", "retried_attempt")
"""Histograms: answered on the first attempt (logical = attempt); answered on a later attempt, measured from the
first send; the same, measured from that attempt's send."""


@dataclass(frozen=True, slots=True)
class Usage:
    """One instance's paid life: from launch (or the start of the run) until it is gone (or the end)."""

    pool: str
    instance: int
    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class ControlEvent:
    """Something the control plane did or saw."""

    time_ns: int
    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class SparseHistogram:
    """Counts of latency buckets per histogram window: parallel arrays, ordered by (window, class, kind, bucket)."""

    window: NDArray[np.int32]
    class_index: NDArray[np.int16]
    kind: NDArray[np.int8]
    bucket: NDArray[np.int16]
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """Everything that one replication (one whole run with one seed) recorded.

    `path` is the way through the engine that ran, `path_reason` what a faster one could not do (None: nothing).

    Shapes, with E edges, C classes, S services, P pools, L SLOs: `edges_ns` (E,), `class_counters` (E, C,
    len(CLASS_COUNTERS)), `slo_good` and `slo_total` (E, L), `service_counters` (E, S, len(SERVICE_COUNTERS)),
    `slot_ns` (E, S) with batch slots × the time that they were there, `service_gauges` (E, S,
    len(SERVICE_GAUGES)), `pool_gauges` (E, P, len(POOL_GAUGES)); without the warm-up, `batch_sizes` (S, N+1)
    with the number of batches of n items at [s, n], and `served_items` (C, S). `histogram_edges_ns` (W+1,) are the
    edges of the histogram windows. `unfinished` (C,) are logical requests still open at the end, and
    `unfinished_late` (L,) those of them that are already later than their SLO's latency: they count as missed.
    """

    seed: int
    path: str
    path_reason: str | None
    edges_ns: NDArray[np.int64]
    class_counters: NDArray[np.int64]
    slo_good: NDArray[np.int64]
    slo_total: NDArray[np.int64]
    service_counters: NDArray[np.int64]
    slot_ns: NDArray[np.int64]
    service_gauges: NDArray[np.int64]
    pool_gauges: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    served_items: NDArray[np.int64]
    histogram_edges_ns: NDArray[np.int64]
    histogram: SparseHistogram
    unfinished: NDArray[np.int64]
    unfinished_late: NDArray[np.int64]
    usage: tuple[Usage, ...]
    events: tuple[ControlEvent, ...]
    unseen_services: frozenset[int] = frozenset()
    """Places of services that nobody looked into (in a load test, those whose metrics were not read): they have no
    figures, and what of their pools' cost was used is not known."""
    unseen_cache: bool = False
    """Whether nobody could tell answers of the response cache from others (in a load test of a system that does not
    say)."""
