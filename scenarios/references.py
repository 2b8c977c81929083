"""What must hold between the parts of a document: names that exist, shares that add up, sizes and times that
fit.

Every check is a generator over a scenario that yields (location, what is wrong). Whether the catalogue knows the price
of a pool is asked where a bill is made.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

from scenarios.instance_type_checks import check_instance_types
from scenarios.own_prices import check_prices
from scenarios.problems import Location, nearest
from scenarios.schema.base import Named
from scenarios.times import check_times
from scenarios.traffic_checks import check_caches, check_items, check_shares, check_timeouts, check_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scenarios.schema import Model, Scenario, Service
    from scenarios.schema.fleet import Profile

Finding: TypeAlias = tuple[Location, str]


def broken_references(scenario: Scenario) -> list[Finding]:
    """Return everything that does not fit together: where it stands, and what is wrong."""
    return [finding for check in CHECKS for finding in check(scenario)]


def check_names(scenario: Scenario) -> Iterator[Finding]:
    """Each name stands once in its list."""
    for key in type(scenario).model_fields:
        entries = getattr(scenario, key)
        if not isinstance(entries, list):
            continue
        first: dict[str, int] = {}
        for number, entry in enumerate(entries):
            if isinstance(entry, Named) and first.setdefault(entry.name, number) != number:
                yield (key, number, "name"), f"{entry.name}: another entry of {key} has this name already"


def check_references(scenario: Scenario) -> Iterator[Finding]:
    """Each name that is referred to exists."""
    streams, routes, classes, services, models, pools = (
        [entry.name for entry in entries]
        for entries in (
            scenario.arrivals, scenario.routes, scenario.classes, scenario.services, scenario.models,
            scenario.pools,
        )
    )  # fmt: skip
    for i, kind in enumerate(scenario.classes):
        yield from _known(("classes", i, "arrivals"), kind.arrivals, streams, "arrivals")
        yield from _known(("classes", i, "route"), kind.route, routes, "routes")
    for i, route in enumerate(scenario.routes):
        for j, target in enumerate(route.targets):
            yield from _known(("routes", i, "targets", j, "service"), target.service, services, "services")
    for i, service in enumerate(scenario.services):
        yield from _known(("services", i, "model"), service.model, models, "models")
        for j, pool in enumerate(service.pools):
            yield from _known(("services", i, "pools", j), pool, pools, "pools")
            if pool in service.pools[:j]:
                yield ("services", i, "pools", j), f"{pool} stands twice in this list"
    for i, slo in enumerate(scenario.slos):
        yield from _known(("slos", i, "class"), slo.request_class, classes, "classes")
    for i, rollout in enumerate(scenario.rollouts):
        yield from _known(("rollouts", i, "service"), rollout.service, services, "services")


def _known(location: Location, name: str, known: Sequence[str], what: str) -> Iterator[Finding]:
    if name not in known:
        yield location, f"there is no {name} in {what}{nearest(name, known, what=what)}"


def check_used(scenario: Scenario) -> Iterator[Finding]:
    """Each stream, route and service is used: one that is not is a slip of the pen, and would cost for
    nothing."""
    used_streams = {kind.arrivals for kind in scenario.classes}
    used_routes = {kind.route for kind in scenario.classes}
    used_services = {target.service for route in scenario.routes for target in route.targets}
    for key, entries, used, by in (
        ("arrivals", scenario.arrivals, used_streams, "class"),
        ("routes", scenario.routes, used_routes, "class"),
        ("services", scenario.services, used_services, "route"),
    ):
        for number, entry in enumerate(entries):
            if entry.name not in used:
                yield (key, number), f"no {by} uses it"


def check_profiles(scenario: Scenario) -> Iterator[Finding]:
    """Each model has one profile for each instance type that its services run on, up to their largest batch."""
    for i, model in enumerate(scenario.models):
        named = Counter(name for profile in model.profiles for name in profile.instance_types)
        for j, profile in enumerate(model.profiles):
            for name in dict.fromkeys(profile.instance_types):
                if named[name] > 1 and any(name in earlier.instance_types for earlier in model.profiles[:j]):
                    yield ("models", i, "profiles", j, "instance_types"), f"{name} already has a profile"
    models = {model.name: model for model in scenario.models}
    types = {pool.name: pool.instance_type for pool in scenario.pools}
    for i, service in enumerate(scenario.services):
        for j, pool in enumerate(service.pools):
            if service.model in models and pool in types:
                model, instance_type = models[service.model], types[pool]
                yield from _profiled(("services", i, "pools", j), model, pool, instance_type)
                yield from _measured(i, service, model, instance_type)


def _profiled(location: Location, model: Model, pool: str, instance_type: str) -> Iterator[Finding]:
    known = sorted({name for profile in model.profiles for name in profile.instance_types})
    if "*" not in known and instance_type not in known:
        yield (
            location,
            (
                f"pool {pool} is of type {instance_type}, for which model {model.name} has no profile; "
                f"it has one for {', '.join(known[:8])}{', …' if len(known) > 8 else ''}"
            ),
        )


def _measured(place: int, service: Service, model: Model, instance_type: str) -> Iterator[Finding]:
    """A table reaches up to the largest batch. What samples reach up to is said by their file (sample_checks)."""
    profile = profile_on(model, instance_type)
    if profile is not None and profile.latency.table is not None:
        yield from largest_batch(place, service, model, instance_type, profile.latency.table[-1][0])


def largest_batch(
    place: int, service: Service, model: Model, instance_type: str, measured: int
) -> Iterator[Finding]:
    """A profile that is measured up to so many items holds the largest batch of services[place]."""
    most = service.batching.max_batch_size
    if most > measured:
        yield (
            ("services", place, "batching", "max_batch_size"),
            f"got {most}: model {model.name} on {instance_type} is measured up to {measured} items",
        )


def profile_on(model: Model, instance_type: str) -> Profile | None:
    """Return a model's profile on an instance type: its own, or the one of "*", or None."""
    known = {name: profile for profile in model.profiles for name in profile.instance_types}
    return known.get(instance_type, known.get("*"))


CHECKS: tuple[Callable[[Scenario], Iterator[Finding]], ...] = (
    check_names,
    check_references,
    check_used,
    check_profiles,
    check_instance_types,
    check_shares,
    check_timeouts,
    check_caches,
    check_items,
    check_users,
    check_times,
    check_prices,
)
