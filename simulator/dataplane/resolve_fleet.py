"""Routes, services and SLOs of a scenario, resolved for the engines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scenarios.batch_latency import latencies_by_items
from scenarios.errors import InvalidInput
from scenarios.rules.batching import batching_numbers
from scenarios.rules.breaker import breaker_rule
from scenarios.rules.token_bucket import limit_schedule_ns
from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.distributions import duration_quantiles_ns
from simulator.dataplane.resolve_traffic import resolve_classes, resolve_streams

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scenarios.schema import BatchLatency, Cache, Noise, Route, Scenario, Service

_CACHES = {"ttl": spec.CACHE_TTL, "lru": spec.CACHE_LRU, "given": spec.CACHE_GIVEN}
_SPLITS = {
    "weighted": spec.SPLIT_WEIGHTED,
    "difficulty": spec.SPLIT_DIFFICULTY,
    "cascade": spec.SPLIT_CASCADE,
}
_BALANCES = {
    "round-robin": spec.BALANCE_ROUND_ROBIN,
    "random": spec.BALANCE_RANDOM,
    "power-of-two": spec.BALANCE_POWER_OF_TWO,
    "least-outstanding": spec.BALANCE_LEAST_OUTSTANDING,
}


def resolve(
    scenario: Scenario, files: Mapping[str, Path], seed: int, *, log: bool = False
) -> spec.Specification:
    """Resolve a checked scenario for one seed. `files` maps each `file:` of the document to its path.

    Raises InvalidInput where a file's content does not fit the scenario.
    """
    services = {service.name: service for service in scenario.services}
    largest = {
        route.name: min(services[target.service].batching.max_batch_size for target in route.targets)
        for route in scenario.routes
    }
    streams = resolve_streams(scenario, files, seed)
    return spec.Specification(
        duration_ns=nanoseconds(scenario.run.duration),
        streams=streams,
        classes=resolve_classes(scenario, streams, largest, seed),
        routes=tuple(_route(scenario, index) for index in range(len(scenario.routes))),
        services=tuple(
            _service(scenario, index, streams, files, seed) for index in range(len(scenario.services))
        ),
        slos=tuple(
            spec.SloSpec(
                name=slo.name,
                index=index,
                request_class=[each.name for each in scenario.classes].index(slo.request_class),
                latency_ns=nanoseconds(slo.latency),
            )
            for index, slo in enumerate(scenario.slos)
        ),
        log=log,
    )


def _route(scenario: Scenario, index: int) -> spec.RouteSpec:
    route: Route = scenario.routes[index]
    service_of = {service.name: place for place, service in enumerate(scenario.services)}
    limit_interval_ns, limit_burst_ns = limit_schedule_ns(route.rate_limit)
    cache = route.cache
    weights = np.array([target.weight or 1.0 for target in route.targets])
    return spec.RouteSpec(
        name=route.name,
        index=index,
        limit_interval_ns=limit_interval_ns,
        limit_burst_ns=limit_burst_ns,
        validation_ns=duration_quantiles_ns(route.validation),
        cache=_CACHES[cache.kind] if cache else spec.CACHE_NONE,
        ttl_ns=_ttl_ns(cache),
        capacity=(cache.capacity or 0) if cache else 0,
        hit_ratio=(cache.hit_ratio or 0.0) if cache else 0.0,
        hit_ns=nanoseconds(cache.hit_latency) if cache else 0,
        coalesce=route.coalesce,
        fetch_ns=duration_quantiles_ns(route.feature_fetch),
        shedding=tuple((rule.max_outstanding, rule.below_priority) for rule in route.shedding),
        split=_SPLITS[route.split],
        targets=tuple(service_of[target.service] for target in route.targets),
        weight_table=draws.alias_table(weights),
        difficulty_below=tuple(target.difficulty_below or 0.0 for target in route.targets[:-1]),
        redispatch=route.redispatch,
    )


def _ttl_ns(cache: Cache | None) -> int:
    """Life of an entry: nothing without a cache, for ever where no ttl is given."""
    if cache is None:
        return 0
    return spec.NEVER if cache.ttl is None else nanoseconds(cache.ttl)


def _service(
    scenario: Scenario, index: int, streams: tuple[spec.Stream, ...], files: Mapping[str, Path], seed: int
) -> spec.ServiceSpec:
    service: Service = scenario.services[index]
    batching, rule = service.batching, batching_numbers(service.batching)
    types = {pool.name: pool.instance_type for pool in scenario.pools}
    latencies = [profile_latency(scenario, service, types[pool]) for pool in service.pools]
    where = f"services[{service.name}]"
    noise, parameter = _noise(latencies[0].noise)
    if any(_noise(latency.noise) != (noise, parameter) for latency in latencies):
        raise InvalidInput(f"{where}.pools: the profiles of its instance types must have the same noise")
    base = draws.named_seed(seed, f"services/{service.name}/batches")
    return spec.ServiceSpec(
        name=service.name,
        index=index,
        seeds=tuple(base ^ stream.noise_seed for stream in streams),
        max_items=rule.max_items,
        max_requests=rule.max_requests,
        delay_ns=rule.delay_ns,
        preferred=rule.preferred,
        max_queue=batching.max_queue_size or 2**31 - 1,
        drop_expired=batching.drop_expired,
        shared_queue=service.queue == "shared",
        balance=_BALANCES[service.balancing],
        instances=service.instances_per_replica,
        noise=noise,
        noise_parameter=parameter,
        times=tuple(
            _service_times(latency, files, batching.max_batch_size, f"models[{service.model}]", where)
            for latency in latencies
        ),
        pools=tuple(service.pools),
        breaker=breaker_rule(service.breaker),
    )


def profile_latency(scenario: Scenario, service: Service, instance_type: str) -> BatchLatency:
    """Return the latency of a service's model on an instance type: its own profile, or the one of "*"."""
    model = next(model for model in scenario.models if model.name == service.model)
    for wanted in (instance_type, "*"):
        for profile in model.profiles:
            if wanted in profile.instance_types:
                return profile.latency
    raise InvalidInput(
        f"models[{model.name}].profiles: none for {instance_type}, which services[{service.name}] runs on"
    )


def _noise(noise: Noise) -> tuple[int, float]:
    if noise.lognormal_cv is not None:
        return draws.NOISE_LOGNORMAL, math.sqrt(math.log1p(noise.lognormal_cv**2))
    if noise.gamma_cv is not None:
        return draws.NOISE_GAMMA, 1.0 / noise.gamma_cv**2
    return (draws.NOISE_EXPONENTIAL if noise.exponential else draws.NOISE_NONE), 0.0


def _service_times(
    latency: BatchLatency, files: Mapping[str, Path], max_items: int, model: str, service: str
) -> spec.ServiceTimes:
    """Latencies for every number of items from 1 to max_items."""
    rows = [np.empty(0), *latencies_by_items(latency, files, max_items, model, service)]
    offset = np.cumsum([0] + [len(row) for row in rows])
    samples_ns = np.rint(np.concatenate(rows) * NANOSECONDS_PER_SECOND).astype(np.int64)
    return spec.ServiceTimes(offset=offset.astype(np.int64), samples_ns=np.maximum(samples_ns, 1))
