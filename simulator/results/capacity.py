"""The most that one ready replica can do: items a second at its best batch size, all batches full."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.schema import BatchLatency, Model, Scenario

ANY_TYPE = "*"


def replica_throughput(scenario: Scenario) -> dict[str, dict[str, float | None]]:
    """Items a second of one replica, by service and pool.

    From the model's profile for the pool's instance type: the largest n / latency(n) up to the largest batch,
    times the batches that a replica runs side by side. None where the profile is a file of samples.
    """
    models = {model.name: model for model in scenario.models}
    pools = {pool.name: pool for pool in scenario.pools}
    table: dict[str, dict[str, float | None]] = {}
    for service in scenario.services:
        table[service.name] = {}
        for name in service.pools:
            latency = _profile(models[service.model], pools[name].instance_type)
            best = None if latency is None else _best_rate(latency, service.batching.max_batch_size)
            table[service.name][name] = None if best is None else best * service.instances_per_replica
    return table


def _profile(model: Model, instance_type: str) -> BatchLatency | None:
    for wanted in (instance_type, ANY_TYPE):
        for profile in model.profiles:
            if wanted in profile.instance_types:
                return profile.latency
    return None


def _best_rate(latency: BatchLatency, max_batch: int) -> float | None:
    if latency.per_item is not None:
        return max_batch / (latency.fixed + latency.per_item * max_batch)
    if latency.table is None:
        return None
    # between two measured sizes n / latency(n) is monotone, so its largest value is at one of them
    sizes = [size for size, _ in latency.table if size < max_batch] + [max_batch]
    return max(size / _latency_at(latency, size) for size in sizes)


def _latency_at(latency: BatchLatency, items: int) -> float:
    """Seconds for a batch, as the scenario language defines it between and beyond the measured sizes."""
    assert latency.table is not None
    if items <= latency.table[0][0]:
        return latency.table[0][1]
    for (small, fast), (large, slow) in zip(latency.table, latency.table[1:], strict=False):
        if items <= large:
            if latency.between == "ceil":
                return slow
            return fast + (slow - fast) * (items - small) / (large - small)
    return latency.table[-1][1] * items / latency.table[-1][0]
