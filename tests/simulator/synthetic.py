"""A made-up but plausible recommendation service: the records of a day or more, with no engine involved.

Two classes with a diurnal rate, a response cache, a flash crowd in the evening that queues, times out and
retries, one GPU pool with a scheduled size and one spot CPU pool. Deterministic: every number is a function
of the seed. Raw latencies can be kept, as an oracle for percentiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenarios.schema import Scenario
from simulator.results.histogram import BUCKETS, lower_edges_ns
from simulator.results.recorded import (
    CLASS_COUNTERS,
    POOL_GAUGES,
    SERVICE_COUNTERS,
    SERVICE_GAUGES,
    ControlEvent,
    SeedRecord,
    SparseHistogram,
    Usage,
)

SECOND = 1_000_000_000
DAY_S = 86_400
GPU_SLOTS, CPU_SLOTS, LARGEST_BATCH = 2, 1, 32
FLASH_AT_S, FLASH_S, FLASH_TIMES = 68_400, 2_400, 4.0
BASE_RATE = {"home-page": 40.0, "product-page": 18.0}
HIT_SHARE = {"home-page": 0.42, "product-page": 0.18}


def document(days: float = 1, *, window: str | None = "1d", warmup: str = "0s") -> dict[str, object]:
    """The scenario as its author would write it."""
    slo = {"name": "home-fast", "class": "home-page", "latency": "300ms", "objective": "99%"}
    if window is not None:
        slo |= {"window": window}
    return {
        "apiVersion": "baseload/v1",
        "metadata": {
            "name": "recommendation",
            "labels": {"team": "discovery", "product": "shop"},
            "description": "A recommendation service over a made-up day with a flash crowd in the evening.",
        },
        "region": "us-east-1",
        "run": {"duration": f"{days * 24:g}h", "warmup": warmup},
        "arrivals": [{"name": "visits", "rate": "58/s"}],
        "classes": [
            {"name": "home-page", "arrivals": "visits", "share": "70%", "route": "web", "timeout": "1s"},
            {"name": "product-page", "arrivals": "visits", "share": "30%", "route": "web", "timeout": "2s"},
        ],
        "routes": [{"name": "web", "targets": [{"service": "ranker"}], "cache": {"ttl": "5m"}}],
        "services": [
            {
                "name": "ranker", "model": "ranker-v3", "pools": ["gpu", "cpu-spot"],
                "batching": {"max_batch_size": LARGEST_BATCH, "max_queue_delay": "5ms"},
            }
        ],
        "models": [
            {
                "name": "ranker-v3",
                "profiles": [
                    {"instance_types": ["g4dn.xlarge"], "latency": {"fixed": "20ms", "per_item": "4ms"}},
                    {"instance_types": ["*"], "latency": {"table": [[1, "40ms"], [32, "900ms"]]}},
                ],
            }
        ],
        "pools": [
            {"name": "gpu", "instance_type": "g4dn.xlarge", "size": 1, "labels": {"tier": "gpu"}},
            {"name": "cpu-spot", "instance_type": "c5.2xlarge", "capacity_type": "spot", "size": 0},
        ],
        "slos": [
            slo,
            {"name": "product-fast", "class": "product-page", "latency": "500ms", "objective": "90%"},
        ],
        "discounts": [{"name": "enterprise", "percent": "7%", "capacity_type": "on-demand"}],
        "budgets": [{"name": "monthly", "amount": "$600", "per": "30d"}],
    }  # fmt: skip


def scenario(days: float = 1, *, window: str | None = "1d", warmup: str = "0s") -> Scenario:
    """The typed scenario."""
    return Scenario.model_validate(document(days, window=window, warmup=warmup))


@dataclass
class Synthetic:
    """A record, and the raw latencies in nanoseconds that it was counted from, by class."""

    record: SeedRecord
    latencies_ns: dict[str, np.ndarray]


def bucket_of(latencies_ns: np.ndarray) -> np.ndarray:
    """The histogram bucket of each latency."""
    return np.searchsorted(lower_edges_ns(), latencies_ns, side="right") - 1


def synthetic(
    seed: int = 1, days: float = 1, *, interval_s: int = 300, histogram_s: int = 1800, rate: float = 1.0
) -> Synthetic:
    """One replication. `histogram_s` is a multiple of `interval_s`; `rate` scales the traffic."""
    random = np.random.default_rng(seed)
    end_s = int(days * DAY_S)
    edges_s = np.arange(0, end_s + 1, interval_s)
    intervals = len(edges_s) - 1
    middle = (edges_s[:-1] + edges_s[1:]) / 2
    shape = 1 + 0.55 * np.sin(2 * np.pi * (middle / DAY_S - 0.45))
    flash = np.where(
        (middle % DAY_S >= FLASH_AT_S) & (middle % DAY_S < FLASH_AT_S + FLASH_S), FLASH_TIMES, 1.0
    )
    hour = middle % DAY_S / 3600
    cpu = np.where((hour >= 9) & (hour < 22), 4, 1)
    classes, raw, parts = list(BASE_RATE), {}, []
    counters = np.zeros((intervals + 1, len(classes), len(CLASS_COUNTERS)), dtype=np.int64)
    slo = np.zeros((2, intervals + 1, 2), dtype=np.int64)
    column = {name: index for index, name in enumerate(CLASS_COUNTERS)}
    windows = edges_s[:: histogram_s // interval_s]
    for index, name in enumerate(classes):
        sent = random.poisson(BASE_RATE[name] * rate * interval_s * shape * flash)
        hits = random.binomial(sent, HIT_SHARE[name])
        load = shape * flash / (1 + 0.25 * cpu)
        failed = random.binomial(sent - hits, np.clip((load - 1.6) * 0.05, 0, 0.4))
        shed = random.binomial(failed, 0.2)
        joined = random.binomial(sent - hits - failed, 0.06)
        model = sent - hits - failed - joined
        chosen = []
        for row in range(intervals):
            median_s = 0.045 * (1 + index) * (1 + max(load[row] - 0.9, 0) * 2.5)
            slow = random.lognormal(np.log(median_s), 0.4, model[row] + joined[row])
            fast = random.gamma(8, 0.00025, hits[row])
            latency = (np.concatenate((slow, fast)) * SECOND).astype(np.int64)
            retried = random.random(len(latency)) < failed[row] / max(sent[row], 1)
            chosen.append(latency)
            wasted = retried.sum() + failed[row]
            step = {
                "sent": sent[row], "attempts": sent[row] + wasted, "ok_model": model[row],
                "ok_cache": hits[row], "ok_coalesced": joined[row], "failed_timeout": failed[row] - shed[row],
                "failed_shed": shed[row], "attempt_timeout": wasted, "latency_ns": latency.sum(),
            }  # fmt: skip
            for key, value in step.items():
                counters[row + 1, index, column[key]] = value
            limit = (300_000_000, 500_000_000)[index]
            slo[0, row + 1, index] = (latency <= limit).sum()
            slo[1, row + 1, index] = sent[row]
            window = np.searchsorted(windows, edges_s[row], side="right") - 1
            for kind, part in ((0, latency[~retried]), (1, latency[retried]), (2, latency[retried] // 2)):
                found, count = np.unique(bucket_of(part), return_counts=True)
                key = ((window * len(classes) + index) * 3 + kind) * BUCKETS + found
                parts.append(np.stack((key, count)))
        raw[name] = np.concatenate(chosen)
    service, gauges, batch_sizes = _service(random, counters, cpu, interval_s)
    pools = np.zeros((intervals + 1, 2, len(POOL_GAUGES)), dtype=np.int64)
    pools[:-1, 0, :], pools[:-1, 1, :] = 1, cpu[:, None]
    pools[-1] = pools[-2]
    record = SeedRecord(
        seed=seed,
        path="synthetic",
        path_reason="made up",
        edges_ns=edges_s.astype(np.int64) * SECOND,
        class_counters=counters.cumsum(axis=0),
        slo_good=slo[0].cumsum(axis=0),
        slo_total=slo[1].cumsum(axis=0),
        service_counters=service,
        slot_ns=np.concatenate(([[0]], gauges[:-1, :, 3] * interval_s * SECOND)).cumsum(axis=0),
        service_gauges=gauges,
        pool_gauges=pools,
        batch_sizes=batch_sizes,
        served_items=counters[:, :, [column["ok_model"]]].sum(axis=0),
        histogram_edges_ns=np.append(windows[:-1] if windows[-1] == end_s else windows, end_s).astype(
            np.int64
        )
        * SECOND,
        histogram=sparse(np.concatenate(parts, axis=1), len(classes)),
        unfinished=np.array([3, 1]),
        unfinished_late=np.array([1, 0]),
        usage=_lives(edges_s, cpu),
        events=_events(edges_s, cpu),
    )
    return Synthetic(record, raw)


def _service(random, counters, cpu, interval_s):
    """Counters, gauges and batch sizes of the one service, from what its classes had answered by the
    model."""
    items = counters[1:, :, CLASS_COUNTERS.index("ok_model")].sum(axis=1)
    slots = GPU_SLOTS + CPU_SLOTS * cpu
    mean_batch = np.clip(items / interval_s * 0.08, 1, LARGEST_BATCH)
    batches = np.ceil(items / mean_batch).astype(np.int64)
    busy_s = np.minimum(batches * (0.03 + 0.035 * mean_batch), slots * interval_s * 0.97)
    counts = np.zeros((len(items) + 1, 1, len(SERVICE_COUNTERS)), dtype=np.int64)
    steps = {
        "batches": batches, "batch_requests": items, "batch_items": items, "busy_ns": busy_s * SECOND,
        "queue_wait_ns": items * 0.004 * (1 + 20 * (busy_s / (slots * interval_s)) ** 6) * SECOND,
    }  # fmt: skip
    for name, values in steps.items():
        counts[1:, 0, SERVICE_COUNTERS.index(name)] = np.asarray(values).astype(np.int64)
    gauges = np.zeros((len(items) + 1, 1, len(SERVICE_GAUGES)), dtype=np.int64)
    utilisation = busy_s / (slots * interval_s)
    queued = random.poisson(0.3 + 60 * np.clip(utilisation - 0.75, 0, 1) ** 1.5)
    gauges[:-1, 0, :] = np.stack((queued, random.binomial(slots, utilisation), 1 + cpu, slots), axis=1)
    gauges[-1] = gauges[-2]
    sizes = np.zeros((1, LARGEST_BATCH + 1), dtype=np.int64)
    for size, number in zip(mean_batch, batches, strict=True):
        sizes[0] += np.bincount(
            random.binomial(LARGEST_BATCH, size / LARGEST_BATCH, number).clip(1), minlength=LARGEST_BATCH + 1
        )
    return counts.cumsum(axis=0), gauges, sizes


def sparse(parts, classes):
    """Sum (key, count) pairs into the record's ordered parallel arrays."""
    keys, inverse = np.unique(parts[0], return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, inverse, parts[1])
    rest, bucket = np.divmod(keys, BUCKETS)
    rest, kind = np.divmod(rest, 3)
    window, class_index = np.divmod(rest, classes)
    return SparseHistogram(
        window.astype(np.int32),
        class_index.astype(np.int16),
        kind.astype(np.int8),
        bucket.astype(np.int16),
        counts,
    )


def _lives(edges_s, cpu):
    """One GPU instance for ever; a CPU instance lives as long as the wanted size is above its number."""
    end = int(edges_s[-1]) * SECOND
    lives = [Usage("gpu", 0, 0, end)]
    number = 0
    for rank in range(cpu.max()):
        wanted = np.concatenate(([0], (cpu > rank).astype(int), [0]))
        for begin, stop in zip(
            np.flatnonzero(np.diff(wanted) > 0), np.flatnonzero(np.diff(wanted) < 0), strict=True
        ):
            # launched a little before it is wanted, gone a little after, at odd nanoseconds
            launch = max(int(edges_s[begin]) * SECOND - 90 * SECOND - 123 * rank, 0)
            gone = min(int(edges_s[stop]) * SECOND + 31 * SECOND + 7 * rank, end)
            lives.append(Usage("cpu-spot", number, launch, gone))
            number += 1
    return tuple(lives)


def _events(edges_s, cpu):
    changes = np.flatnonzero(np.diff(cpu)) + 1
    return tuple(
        ControlEvent(
            int(edges_s[row]) * SECOND, "pool-resized", "cpu-spot", f"{cpu[row - 1]} to {cpu[row]} instances"
        )
        for row in changes
    )
