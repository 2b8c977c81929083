"""A scenario's gateway and services as settings of real servers: the same words, the same numbers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scenarios.catalogue import load_catalogue
from scenarios.errors import Unsupported
from scenarios.placement import replicas_per_instance
from serving_ref.cluster.instance_types import accelerator_resource
from serving_ref.gateway.settings import Endpoints, GatewaySettings, Redis, ServedClass, Upstream
from serving_ref.manifests.names import replica_set_names
from serving_ref.model_server.settings import ModelServerSettings, ModelSettings, OnnxModel, SyntheticModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scenarios.load import LoadedScenario
    from scenarios.schema import BatchLatency, Model, Pool, Scenario, Service

CACHE_ENTRY_BYTES = 100
"""What an entry costs Redis 7 beside key and value: dictionary entry, expiry, two headers (`MEMORY USAGE` of one)."""
CACHE_EMPTY_BYTES = 2 * 2**20
"""What an empty Redis 7 takes of its maxmemory (0.9 MiB), and the buffers of some connections."""
GUESSED_ANSWER_BYTES = 1024
"""Size of an answer whose class does not give a response_size."""
SAMPLES = "samples.csv"
"""What a file of measured latencies is called beside the settings: ConfigMaps don't take every name that people do."""


@dataclass(frozen=True)
class ReplicaSet:
    """The replicas of a service on one pool: they are alike."""

    name: str
    """Unique in the stack."""
    service: str
    pool: str
    replicas: int
    settings: ModelServerSettings
    instance_type: str
    zone: str | None
    capacity_type: str
    accelerator: str | None
    """What its instances have, by the name of the resource, such as nvidia.com/gpu."""
    accelerators: int
    """On an instance."""
    replicas_per_instance: int
    max_replicas: int
    """What an autoscaler may go up to."""
    queue_depth: int
    """Waiting requests a replica that an autoscaler aims at: one more batch for each of its slots."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Files that the settings name → where they are now."""


@dataclass(frozen=True)
class Stack:
    """All servers of a scenario."""

    name: str
    path: Path
    """The scenario's file."""
    gateway: GatewaySettings
    max_gateways: int
    """What an autoscaler may go up to: no further where gateways divide limits by a number in their settings."""
    replica_sets: tuple[ReplicaSet, ...]
    cache_bytes: int | None
    """Memory that holds the entries of the LRU caches; None: the caches are bounded by their ttl only."""


def stack_of(
    loaded: LoadedScenario,
    *,
    endpoints: Callable[[Service], Endpoints],
    redis_url: str = "redis://127.0.0.1:6379/0",
    gateways: int = 1,
    growth: int = 4,
    onnx: Mapping[str, OnnxModel] | None = None,
    onnx_files: Mapping[str, Path] | None = None,
    triton: bool = False,
) -> Stack:
    """Return the stack that runs a scenario.

    Args:
        loaded: the scenario.
        endpoints: where the gateway finds a service's replicas.
        redis_url: where the response cache is.
        gateways: gateways side by side, which divide rate limits and shedding between them.
        growth: an autoscaler may go up to so many times the replicas at the start.
        onnx: models to run for real, by name; the others wait as long as their profiles say.
        onnx_files: files of this machine that go beside the settings of those models, by model.
        triton: tell model servers deadline and priority as Triton reads them.

    Raises:
        Unsupported: the scenario asks for what no real server does, such as a given hit ratio.
    """
    scenario = loaded.scenario
    _refuse(scenario)
    cached = any(route.cache is not None for route in scenario.routes)
    gateway = GatewaySettings(
        name=scenario.metadata.name,
        replicas=gateways,
        redis=Redis(url=redis_url) if cached else None,
        routes=scenario.routes,
        classes=[
            ServedClass.model_construct(
                name=each.name, route=each.route, timeout=each.timeout, priority=each.priority
            )
            for each in scenario.classes
        ],
        services=[
            Upstream(
                name=service.name,
                model=service.model,
                endpoints=endpoints(service),
                balancing=service.balancing,
                breaker=service.breaker,
                schedule_parameters=triton,
            )
            for service in scenario.services
        ],
    )
    pools = {pool.name: pool for pool in scenario.pools}
    placed = [(service, pools[pool]) for service in scenario.services for pool in service.pools]
    names = replica_set_names([(service.name, pool.name) for service, pool in placed])
    sets = [
        _replica_set(name, loaded, service, pool, growth, onnx or {}, onnx_files or {})
        for name, (service, pool) in zip(names, placed, strict=True)
    ]
    divided = any(route.rate_limit or route.shedding for route in scenario.routes)
    max_gateways = gateways if divided else gateways * growth
    return Stack(
        scenario.metadata.name, loaded.path, gateway, max_gateways, tuple(sets), _cache_bytes(scenario)
    )


def _refuse(scenario: Scenario) -> None:
    reasons = [
        *(
            f"services[{service.name}].queue: one queue before all replicas needs a broker, which this stack has not"
            for service in scenario.services
            if service.queue == "shared"
        ),
        *(
            f"routes[{route.name}].cache: a real cache has no given hit ratio (kinds: ttl, lru)"
            for route in scenario.routes
            if route.cache is not None and route.cache.kind == "given"
        ),
        *(
            f"models[{model.name}].batching: continuous batching is not in this stack"
            for model in scenario.models
            if model.batching == "continuous"
        ),
    ]
    if reasons:
        raise Unsupported("\n  ".join(["the serving stack cannot run the scenario:", *reasons]))


def _replica_set(
    name: str,
    loaded: LoadedScenario,
    service: Service,
    pool: Pool,
    growth: int,
    onnx: Mapping[str, OnnxModel],
    onnx_files: Mapping[str, Path],
) -> ReplicaSet:
    scenario = loaded.scenario
    model = next(model for model in scenario.models if model.name == service.model)
    real = onnx.get(model.name)
    files: dict[str, Path] = {}
    synthetic = None
    if real is None:
        latency, files = _carried(profile(model, pool), loaded.files)
        synthetic = SyntheticModel.model_construct(latency=latency, load=model.load, warm_up=model.warm_up)
    elif real.file is not None and model.name in onnx_files:
        files = {real.file: onnx_files[model.name]}
    each = replicas_per_instance(scenario, pool, service)
    shape = load_catalogue().instance_types_by_name.get(pool.instance_type)
    size = pool.schedule.steps[0].size if pool.schedule and pool.schedule.steps[0].at == 0 else pool.size
    return ReplicaSet(
        name=name,
        service=service.name,
        pool=pool.name,
        replicas=size * each,
        settings=ModelServerSettings(
            service=service.name,
            model=ModelSettings(name=model.name, onnx=real, synthetic=synthetic),
            batching=service.batching,
            instances=service.instances_per_replica,
        ),
        instance_type=pool.instance_type,
        zone=pool.zone,
        capacity_type=pool.capacity_type,
        accelerator=accelerator_resource(shape.accelerator) if shape and shape.accelerator else None,
        accelerators=shape.accelerator_count if shape else 0,
        replicas_per_instance=each,
        max_replicas=max(size, 1) * each * growth,
        queue_depth=service.batching.max_batch_size * service.instances_per_replica,
        files=files,
    )


def profile(model: Model, pool: Pool) -> BatchLatency:
    """Return the latency of a model on a pool's instance type: its own profile, or the one of "*"."""
    found = {name: each.latency for each in model.profiles for name in each.instance_types}
    return found.get(pool.instance_type) or found["*"]


def _carried(latency: BatchLatency, files: Mapping[str, Path]) -> tuple[BatchLatency, dict[str, Path]]:
    """Return a latency whose file of samples lies beside the settings, and that file."""
    if latency.samples is None:
        return latency, {}
    path = files[latency.samples.file]
    samples = latency.samples.model_copy(update={"file": SAMPLES})
    return latency.model_copy(update={"samples": samples}), {SAMPLES: path}


def _cache_bytes(scenario: Scenario) -> int | None:
    """Memory for the entries of the LRU caches: Redis counts bytes, a scenario entries."""
    total = 0
    for route in scenario.routes:
        if route.cache is None or route.cache.capacity is None:
            continue
        sizes = [each.response_size for each in scenario.classes if each.route == route.name]
        entry = CACHE_ENTRY_BYTES + (max(sizes, default=0) or GUESSED_ANSWER_BYTES)
        total += route.cache.capacity * entry
    return CACHE_EMPTY_BYTES + total if total else None


def copy_files(replica_set: ReplicaSet, folder: Path) -> None:
    """Put the files that a replica set's settings name beside them."""
    for name, path in replica_set.files.items():
        shutil.copyfile(path, folder / name)
