"""Prices that a scenario states itself for metered services: as the catalogue holds them, and checked against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.catalogue import ServicePrice, load_catalogue
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.problems import Location
    from scenarios.schema import Scenario


def service_prices(scenario: Scenario) -> list[tuple[int, ServicePrice]]:
    """The scenario's prices of metered services in its region, each with its place in `prices`."""
    return [
        (place, ServicePrice(scenario.region, each.service, each.unit_price.unit, each.unit_price.usd))
        for place, each in enumerate(scenario.prices)
        if each.service is not None and each.unit_price is not None
    ]


def check_prices(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    """Each thing has one price; services and their units are the catalogue's."""
    first: dict[str, int] = {}
    for place, each in enumerate(scenario.prices):
        what = each.service or f"{each.instance_type} {each.capacity_type}"
        if first.setdefault(what, place) != place:
            yield ("prices", place), f"{what} has a price already: prices[{first[what]}]"
    for place, price in service_prices(scenario):
        try:
            load_catalogue().with_overrides([price])
        except InvalidInput as error:
            yield ("prices", place), str(error)
