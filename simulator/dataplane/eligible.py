"""Which scenarios the block-wise kernel can run: those whose rules need no outcome before its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.dataplane import specification as spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.dataplane.specification import Specification

BLOCK_WISE, EVENT_ORDERED = "block-wise", "event-ordered"
"""Names of the kernels: they go into results."""


def kernel_path(specification: Specification) -> str:
    """Name of the faster of the two kernels that can run a specification."""
    return EVENT_ORDERED if reason_against_blocks(specification) else BLOCK_WISE


def reason_against_blocks(specification: Specification) -> str | None:
    """Return the first thing that needs the event-ordered kernel, in words for a result; None: nothing does."""
    return next(_reasons(specification), None)


def _reasons(specification: Specification) -> Iterator[str]:
    for stream in specification.streams:
        if stream.source == spec.FROM_USERS:
            yield f"arrivals {stream.name}: closed-loop users"
        if len(stream.row_items) and np.any(stream.row_items != 1):
            yield f"arrivals {stream.name}: requests of several items"
    for route in specification.routes:
        yield from _route_reasons(route)
    for each in specification.classes:
        if each.items != 1:
            yield f"class {each.name}: requests of several items"
        if each.budget_ratio >= 0:
            yield f"class {each.name}: a retry budget"
    for service in specification.services:
        yield from _service_reasons(service)
    for service in specification.services:
        routes = [route.index for route in specification.routes if service.index in route.targets]
        if len({each.priority for each in specification.classes if each.route in routes}) > 1:
            yield f"service {service.name}: several priorities"


def _route_reasons(route: spec.RouteSpec) -> Iterator[str]:
    if route.limit_interval_ns > 0:
        yield f"route {route.name}: a rate limit"
    if len(route.validation_ns) > 1 or route.validation_ns[0] >= 0.5:
        yield f"route {route.name}: validation takes time"
    if len(route.fetch_ns) > 1 or route.fetch_ns[0] >= 0.5:
        yield f"route {route.name}: feature fetch takes time"
    if route.cache in (spec.CACHE_LRU, spec.CACHE_GIVEN):
        yield f"route {route.name}: a cache other than by ttl"
    if route.cache == spec.CACHE_TTL and not route.coalesce:
        yield f"route {route.name}: a cache without coalescing"
    if route.shedding:
        yield f"route {route.name}: load shedding"
    if len(route.targets) > 1 and route.split != spec.SPLIT_WEIGHTED:
        yield f"route {route.name}: tiers or a cascade"


def _service_reasons(service: spec.ServiceSpec) -> Iterator[str]:
    if service.shared_queue:
        yield f"service {service.name}: a shared queue"
    if service.instances > 1:
        yield f"service {service.name}: several batches side by side on a replica"
    if service.balance == spec.BALANCE_LEAST_OUTSTANDING:
        yield f"service {service.name}: least-outstanding balancing"
    if service.preferred:
        yield f"service {service.name}: preferred batch sizes"
    if service.max_queue < 2**31 - 1:
        yield f"service {service.name}: a bounded queue"
    if service.drop_expired:
        yield f"service {service.name}: expired requests are dropped"
    if service.breaker is not None:
        yield f"service {service.name}: a circuit breaker"
