"""Checks of request classes against their streams, their routes and the services behind these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.problems import Location
    from scenarios.schema import Scenario
    from scenarios.schema.base import CountDistribution, DurationDistribution

SHARE_TOLERANCE = 1e-6


def check_shares(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """The shares of each stream's classes add up to 100 %.

    Not so for a trace whose classes state no share: its rows may say which class they are of.
    """
    for i, stream in enumerate(scenario.arrivals):
        classes = [kind for kind in scenario.classes if kind.arrivals == stream.name]
        if stream.trace is not None and not any("share" in kind.model_fields_set for kind in classes):
            continue
        total = math.fsum(kind.share for kind in classes)
        if classes and abs(total - 1) > SHARE_TOLERANCE:
            parts = " + ".join(f"{kind.name} {100 * kind.share:.6g}%" for kind in classes[:6])
            more = " + …" if len(classes) > 6 else ""
            yield (
                ("arrivals", i),
                f"the shares of its classes add up to {100 * total:.6g}%, not 100%: {parts}{more}",
            )


def check_timeouts(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """An answer from the cache comes before the client gives up."""
    routes = {route.name: (number, route) for number, route in enumerate(scenario.routes)}
    for kind in scenario.classes:
        number, route = routes.get(kind.route, (0, None))
        if route is None or route.cache is None or kind.timeout is None:
            continue
        if route.cache.hit_latency >= kind.timeout:
            hit, timeout = format_duration(route.cache.hit_latency), format_duration(kind.timeout)
            where = ("routes", number, "cache", "hit_latency")
            yield (
                where,
                f"{hit} is not below the timeout of class {kind.name}, {timeout}: every hit would time out",
            )


def check_caches(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Where answers are looked up by key, some class has keys (a trace may bring its own)."""
    traces = {stream.name for stream in scenario.arrivals if stream.trace is not None}
    for i, route in enumerate(scenario.routes):
        classes = [kind for kind in scenario.classes if kind.route == route.name]
        if not classes or any(kind.keys is not None or kind.arrivals in traces for kind in classes):
            continue
        names = ", ".join(kind.name for kind in classes[:4])
        why = f"no class on this route has keys ({names}), so that every request asks for something new"
        if route.cache is not None and route.cache.kind != "given":
            yield ("routes", i, "cache"), why
        if route.coalesce:
            yield ("routes", i, "coalesce"), why


def check_items(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """The largest request of a class fits into a batch of every service it can reach.

    A lognormal size has no largest value: the engine cuts it off at max_batch_size, and only a median above
    that is a mistake.
    """
    sizes = {service.name: service.batching.max_batch_size for service in scenario.services}
    routes = {route.name: route for route in scenario.routes}
    for i, kind in enumerate(scenario.classes):
        services = (
            {target.service for target in routes[kind.route].targets} if kind.route in routes else set()
        )
        limits = {name: sizes[name] for name in services if name in sizes}
        if not limits:
            continue
        smallest = min(sorted(limits), key=limits.__getitem__)
        size, what = _largest(kind.items)
        if size > limits[smallest]:
            limit = f"max_batch_size of service {smallest}, {limits[smallest]}"
            yield ("classes", i, "items"), f"{what} of {size:.6g} items is above {limit}"


def _largest(items: CountDistribution) -> tuple[float, str]:
    """Return the size that has to fit, and what it is."""
    if items.constant is not None:
        return items.constant, "a size"
    if items.uniform is not None:
        return items.uniform[1] - 1, "a largest size"
    if items.lognormal is not None:
        return round(math.exp(items.lognormal.mu)), "a median"
    return max(_largest(part) for part in items.mixture or [])


def check_users(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Closed-loop users think: an answer that came at once would be followed by the next request at once,
    for ever."""
    for i, stream in enumerate(scenario.arrivals):
        if stream.users is not None and _is_zero(stream.users.think_time):
            yield ("arrivals", i, "users", "think_time"), "expected more than 0"


def _is_zero(delay: DurationDistribution) -> bool:
    times = (delay.constant, delay.exponential, *(delay.uniform or ()), *(delay.empirical or ()))
    return delay.lognormal is None and delay.gamma is None and not any(times)
