"""Checks of the instance types that profiles and prices name: a misspelt one would be passed over in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.catalogue import load_catalogue
from scenarios.catalogue.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.problems import Location
    from scenarios.schema import Scenario

ANY = "*"


def check_instance_types(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Each type that a profile or a price names is some pool's, the catalogue's, or described by both of them."""
    profiled = {
        name: ("models", i, "profiles", j, "instance_types", k)
        for i, model in enumerate(scenario.models)
        for j, profile in enumerate(model.profiles)
        for k, name in enumerate(profile.instance_types)
        if name != ANY
    }
    priced = {
        each.instance_type: ("prices", place, "instance_type")
        for place, each in enumerate(scenario.prices)
        if each.instance_type is not None
    }
    of_pools = {pool.instance_type for pool in scenario.pools}
    stray = (profiled.keys() ^ priced.keys()) - of_pools
    if not stray:
        return
    known = of_pools | load_catalogue().instance_types_by_name.keys()
    places: dict[str, Location] = {**profiled, **priced}
    for name in sorted(stray - known):
        yield (
            places[name],
            f"{name}: no pool is of this type, and the catalogue has none; {nearest(name, known)}",
        )
