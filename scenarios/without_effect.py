"""What a scenario states and nothing in it uses: right in itself, and perhaps not what its author meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.schema import Scenario


def without_effect(scenario: Scenario) -> list[str]:
    """Return one sentence for each price and discount that changes nothing on this scenario's bill."""
    return [*_prices(scenario), *_discounts(scenario)]


def _prices(scenario: Scenario) -> list[str]:
    stated = {(each.instance_type, each.capacity_type) for each in scenario.prices}
    bought = set()
    for pool in scenario.pools:
        capacity_type = pool.capacity_type
        if capacity_type == "reserved" and (pool.instance_type, capacity_type) not in stated:
            capacity_type = "on-demand"  # a capacity reservation is paid at that rate
        bought.add((pool.instance_type, capacity_type))
    return [
        f"prices[{place}]: no pool buys {each.instance_type} {each.capacity_type}, so that this price has no effect"
        for place, each in enumerate(scenario.prices)
        if each.instance_type is not None and (each.instance_type, each.capacity_type) not in bought
    ]


def _discounts(scenario: Scenario) -> list[str]:
    bought = {pool.capacity_type for pool in scenario.pools}
    return [
        f"discounts[{each.name}]: no pool is {each.capacity_type}, so that this discount has no effect"
        for each in scenario.discounts
        if each.capacity_type is not None and each.capacity_type not in bought
    ]
