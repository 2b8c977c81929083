"""Totals of one replication, after its warm-up: classes, services and pools, as plain trees of numbers.

Logical requests (first send to final outcome) and attempts are apart everywhere. Ratios:

- `hit_ratio` = ok_cache / (ok_cache + ok_coalesced + ok_model): of the requests that were answered, those
  that the response cache answered. A failed request counts neither as a hit nor as a miss. None where the class's
  route has no cache (and none answered, as one may before the target of a load test).
- `answered_ratio` = answered / (answered + failed).
- `queued_mean` = waiting time of the requests whose batch began in the measured time, all of it, over the length of
  that time: Little's law, L = λW. A wait counts where it ends: one that began in the warm-up is in it whole, and one
  that has no end yet is not; nor is the wait of a request that was never served (expired, lost with its replica).
- `utilisation` = busy time / slot time: batch slots × the time from their replica's readiness until it is gone.

None stands where a figure has no meaning, such as a percentile of nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import NANOSECONDS_PER_SECOND
from simulator.results.histogram import BUCKETS, percentiles_ns
from simulator.results.recorded import (
    CLASS_COUNTERS,
    LATENCY_KINDS,
    POOL_GAUGES,
    SERVICE_COUNTERS,
    SERVICE_GAUGES,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from scenarios.schema import Scenario
    from simulator.results.recorded import SeedRecord
    from simulator.results.trees import Tree


PERCENTILES: dict[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
FAILURES: tuple[str, ...] = tuple(name for name in CLASS_COUNTERS if name.startswith("failed_"))
ATTEMPT_FAILURES: tuple[str, ...] = tuple(name for name in CLASS_COUNTERS if name.startswith("attempt_"))
LOGICAL = (LATENCY_KINDS.index("first"), LATENCY_KINDS.index("retried_logical"))
"""Histogram kinds that together are the answered logical requests."""
ATTEMPTS = (LATENCY_KINDS.index("first"), LATENCY_KINDS.index("retried_attempt"))
"""Histogram kinds that together are the attempts that were answered."""


def edge_row(record: SeedRecord, warmup_ns: int) -> int:
    """The row of the timeline's edges at which the warm-up ends; ValueError if there is none."""
    row = int(np.searchsorted(record.edges_ns, warmup_ns))
    if row >= len(record.edges_ns) - 1 or record.edges_ns[row] != warmup_ns:
        raise ValueError("the timeline has no edge at the end of the warm-up, or nothing after it")
    return row


def measured_s(record: SeedRecord, warmup_ns: int) -> float:
    """Seconds between the end of the warm-up and the end of the run."""
    return float(record.edges_ns[-1] - warmup_ns) / NANOSECONDS_PER_SECOND


def latency_counts(
    record: SeedRecord, kinds: Collection[int], class_index: int | None, from_ns: int
) -> NDArray[np.int64]:
    """Counts per latency bucket of one class (None: all) over the histogram windows that begin at `from_ns`
    or later."""
    sparse = record.histogram
    chosen = np.isin(sparse.kind, list(kinds)) & (record.histogram_edges_ns[sparse.window] >= from_ns)
    if class_index is not None:
        chosen &= sparse.class_index == class_index
    counts = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(counts, sparse.bucket[chosen], sparse.count[chosen])
    return counts


def growth(cumulative: NDArray[np.int64], row: int) -> NDArray[np.object_]:
    """What cumulative counters (E, …) grew by from edge `row` to the last, as Python's whole numbers (…).

    The nanoseconds of 3,558 batch slots over 30 days are more than 64 bits hold: such a counter wraps around in a long
    run, but what it grows by in an interval is right. Halves of 32 bits are summed without a number object for each.
    """
    grown = np.diff(cumulative[row:], axis=0)
    high, low = (grown >> 32).sum(axis=0), (grown & 0xFFFFFFFF).sum(axis=0)
    whole: NDArray[np.object_] = high.astype(object) * (1 << 32) + low.astype(object)
    return whole


def class_totals(record: SeedRecord, scenario: Scenario, warmup_ns: int) -> tuple[Tree, Tree]:
    """Totals of each class by its name, and of all classes together."""
    routes = {route.name: route for route in scenario.routes}
    cached = [routes[each.route].cache is not None for each in scenario.classes]
    row = edge_row(record, warmup_ns)
    counters = growth(record.class_counters, row)
    seconds = measured_s(record, warmup_ns)

    def total(index: int | None) -> Tree:
        values = counters.sum(axis=0) if index is None else counters[index]
        unfinished = record.unfinished.sum() if index is None else record.unfinished[index]
        latency = latency_counts(record, LOGICAL, index, warmup_ns)
        attempts = latency_counts(record, ATTEMPTS, index, warmup_ns)
        count = dict(zip(CLASS_COUNTERS, values.tolist(), strict=True))
        has_cache = any(cached) if index is None else cached[index]
        hits = None if record.unseen_cache or not (has_cache or count["ok_cache"]) else count["ok_cache"]
        return _requests(count, int(unfinished), seconds, hits) | {
            "attempt_latency_s": latency_percentiles(attempts),
            "latency_all_s": latency_percentiles(latency, failed=sum(count[name] for name in FAILURES)),
            "latency_s": {
                "mean": _per(count["latency_ns"] / NANOSECONDS_PER_SECOND, _answered(count)),
                **latency_percentiles(latency),
            },
        }

    return {each.name: total(index) for index, each in enumerate(scenario.classes)}, total(None)


def latency_percentiles(counts: NDArray[np.int64], *, failed: int | None = None) -> Tree:
    """Percentiles in seconds. If `failed` is given, so many further requests count as infinitely late.

    JSON has no infinity: such a percentile is None, and its name is in `infinite`.
    """
    answered = int(counts.sum())
    share = answered / (answered + failed) if failed else 1.0
    finite = {name: level / share for name, level in PERCENTILES.items() if level <= share}
    values = dict(zip(finite, percentiles_ns(counts, list(finite.values())), strict=True))
    tree: Tree = {
        name: None if (value := values.get(name)) is None else value / NANOSECONDS_PER_SECOND
        for name in PERCENTILES
    }
    return tree if failed is None else tree | {"infinite": sorted(set(PERCENTILES) - set(finite))}


def service_totals(record: SeedRecord, scenario: Scenario, warmup_ns: int) -> Tree:
    """Totals of each service that was looked into, by its name."""
    row = edge_row(record, warmup_ns)
    counters = growth(record.service_counters, row)
    slot_ns = growth(record.slot_ns, row)
    seconds = measured_s(record, warmup_ns)
    lengths_s = np.diff(record.edges_ns[row:]) / NANOSECONDS_PER_SECOND
    gauges = np.einsum("e,esg->sg", lengths_s, record.service_gauges[row:-1].astype(float)) / seconds
    totals: Tree = {}
    for index, service in enumerate(scenario.services):
        if index in record.unseen_services:
            continue
        count = dict(zip(SERVICE_COUNTERS, counters[index].tolist(), strict=True))
        gauge = dict(zip(SERVICE_GAUGES, gauges[index].tolist(), strict=True))
        sizes = record.batch_sizes[index]
        totals[service.name] = {
            "batches": count["batches"],
            "batch_requests": count["batch_requests"],
            "batch_items": count["batch_items"],
            "batch_items_mean": _per(count["batch_items"], count["batches"]),
            "batch_sizes": {str(items): int(sizes[items]) for items in np.flatnonzero(sizes).tolist()},
            "busy_s": count["busy_ns"] / NANOSECONDS_PER_SECOND,
            "slot_s": slot_ns[index] / NANOSECONDS_PER_SECOND,
            "utilisation": _per(count["busy_ns"], slot_ns[index]),
            "queue_wait_mean_s": _per(
                count["queue_wait_ns"] / NANOSECONDS_PER_SECOND, count["batch_requests"]
            ),
            "queued_mean": count["queue_wait_ns"] / NANOSECONDS_PER_SECOND / seconds,
            "queued_max": int(record.service_gauges[row:, index, SERVICE_GAUGES.index("queued")].max()),
            "ready_replicas_mean": gauge["ready_replicas"],
            "expired": count["expired"],
            "breaker_opened": count["breaker_opened"],
        }
    return totals


def pool_totals(record: SeedRecord, names: Sequence[str], warmup_ns: int) -> Tree:
    """Mean and largest numbers of instances of each pool by its name."""
    row = edge_row(record, warmup_ns)
    lengths_s = np.diff(record.edges_ns[row:]) / NANOSECONDS_PER_SECOND
    means = np.einsum("e,epg->pg", lengths_s, record.pool_gauges[row:-1].astype(float)) / lengths_s.sum()
    return {
        name: {
            f"{gauge}_mean": float(means[index, column]) for column, gauge in enumerate(POOL_GAUGES)
        } | {"instances_max": int(record.pool_gauges[row:, index, POOL_GAUGES.index("instances")].max())}
        for index, name in enumerate(names)
    }  # fmt: skip


def _answered(count: dict[str, int]) -> int:
    return count["ok_model"] + count["ok_cache"] + count["ok_coalesced"]


def _requests(count: dict[str, int], unfinished: int, seconds: float, hits: int | None) -> Tree:
    """What became of logical requests; `hits` is None where there is no cache, or nobody looked."""
    answered = _answered(count)
    failed = sum(count[name] for name in FAILURES)
    return {
        "sent": count["sent"],
        "sent_per_s": count["sent"] / seconds,
        "answered": answered,
        "answered_ratio": _per(answered, answered + failed),
        "answered_by": {name: count[f"ok_{name}"] for name in ("model", "cache", "coalesced")},
        "hit_ratio": None if hits is None else _per(hits, answered),
        "failed": failed,
        "failed_by": {name.removeprefix("failed_"): count[name] for name in FAILURES},
        "unfinished": unfinished,
        "attempts": count["attempts"],
        "attempts_per_request": _per(count["attempts"], count["sent"]),
        "attempts_failed_by": {name.removeprefix("attempt_"): count[name] for name in ATTEMPT_FAILURES},
        "retries_denied": count["retries_denied"],
        "redispatched": count["redispatched"],
    }


def _per(amount: float, of: float) -> float | None:
    return amount / of if of else None
