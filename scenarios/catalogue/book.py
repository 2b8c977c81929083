"""Looking things up in the catalogue, and saying what is known when something is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from scenarios.catalogue.names import name_order, nearest
from scenarios.catalogue.records import (
    SCENARIO,
    InstanceType,
    Override,
    Price,
    PurchaseOption,
    ServicePrice,
    Source,
)
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Catalogue:
    """Instance types, prices and service prices, each by its key. Immutable: overriding makes a new one.

    A lookup that names something the catalogue does not hold raises `InvalidInput`, with what it does
    hold; only `price` returns None, for an instance type that is known without that price.
    """

    instance_types_by_name: Mapping[str, InstanceType]
    prices_by_key: Mapping[tuple[str, str, PurchaseOption], Price]
    """By (region, instance type, option)."""
    service_prices_by_key: Mapping[tuple[str, str], ServicePrice]
    """By (region, service)."""
    sources_by_id: Mapping[str, Source]

    @property
    def instance_types(self) -> tuple[InstanceType, ...]:
        """Every instance type, by family and size."""
        return tuple(sorted(self.instance_types_by_name.values(), key=lambda each: name_order(each.name)))

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have at least one price, in alphabetical order."""
        names = {key[0] for key in self.prices_by_key} | {key[0] for key in self.service_prices_by_key}
        return tuple(sorted(names))

    def instance_type(self, name: str) -> InstanceType:
        """Return the instance type of this name; `InvalidInput` naming the nearest where there is none."""
        found = self.instance_types_by_name.get(name)
        if found is None:
            raise InvalidInput(
                f"unknown instance type {name!r}: {nearest(name, self.instance_types_by_name)}"
                "; `baseload catalogue` lists all"
            )
        return found

    def price(self, instance_type: str, region: str, option: PurchaseOption | str) -> Price | None:
        """Return a price (USD an hour), or None where it is unknown or the region does not offer the type.

        `InvalidInput` where the instance type or the purchase option itself is unknown.
        """
        self.instance_type(instance_type)
        return self.prices_by_key.get((region, instance_type, _option(option)))

    def require_price(self, instance_type: str, region: str, option: PurchaseOption | str) -> Price:
        """Return a price (USD an hour); `InvalidInput` naming what is known where this one is not."""
        found = self.price(instance_type, region, option)
        if found is not None:
            return found
        if region not in self.regions:
            raise InvalidInput(
                f"no prices for region {region!r}: {nearest(region, self.regions)}; "
                "a scenario may state the price itself"
            )
        raise InvalidInput(
            f"no {_option(option).value} price is known for {instance_type} in {region} "
            f"(not offered there, or not in the catalogue); known: {self._known_prices(instance_type)}; "
            "a scenario may state the price itself"
        )

    def prices_of(self, instance_type: str, region: str) -> tuple[Price, ...]:
        """Return every price known for one type in one region, in the order of `PurchaseOption`."""
        candidates = (self.price(instance_type, region, option) for option in PurchaseOption)
        return tuple(price for price in candidates if price is not None)

    def service_price(self, region: str, service: str) -> ServicePrice:
        """Return the price (USD a unit) of a metered service; `InvalidInput` where it is unknown there."""
        found = self.service_prices_by_key.get((region, service))
        if found is not None:
            return found
        services = {known for _, known in self.service_prices_by_key}
        if service not in services:
            raise InvalidInput(f"unknown service {service!r}: {nearest(service, services)}")
        known_in = sorted(place for place, known in self.service_prices_by_key if known == service)
        raise InvalidInput(
            f"no price is known for {service} in {region}; known in: {', '.join(known_in)}; "
            "a scenario may state the price itself"
        )

    def with_overrides(self, overrides: Iterable[Override]) -> Catalogue:
        """Return a catalogue in which these figures replace or join its own, each with source `scenario`.

        `InvalidInput` where a figure is negative or not finite, where two of them have one key, where a
        price is for an unknown instance type, and where a service is unknown or has another unit.
        """
        prices: dict[tuple[str, str, PurchaseOption], Price] = {}
        services: dict[tuple[str, str], ServicePrice] = {}
        for each in overrides:
            own = replace(each, source=SCENARIO, as_of="")
            if isinstance(own, Price):
                label = f"{own.option} price of {own.instance_type} in {own.region}"
                self.instance_type(own.instance_type)
                _check_amount(own.price_usd_per_h, label)
                _put(prices, (own.region, own.instance_type, own.option), own, label)
            else:
                label = f"price of {own.service} in {own.region}"
                self._check_unit(own)
                _check_amount(own.price_usd, label)
                _put(services, (own.region, own.service), own, label)
        return replace(
            self,
            prices_by_key={**self.prices_by_key, **prices},
            service_prices_by_key={**self.service_prices_by_key, **services},
        )

    def _known_prices(self, instance_type: str) -> str:
        known = [
            f"{region}: {', '.join(price.option for price in prices)}"
            for region in self.regions
            if (prices := self.prices_of(instance_type, region))
        ]
        return "; ".join(known) or "no price at all"

    def _check_unit(self, own: ServicePrice) -> None:
        units = {each.unit for (_, name), each in self.service_prices_by_key.items() if name == own.service}
        if not units:
            names = {name for _, name in self.service_prices_by_key}
            raise InvalidInput(f"unknown service {own.service!r}: {nearest(own.service, names)}")
        if own.unit not in units:
            raise InvalidInput(
                f"price of {own.service} in {own.region}: unit {own.unit!r}, expected {' or '.join(units)}"
            )


def _option(option: PurchaseOption | str) -> PurchaseOption:
    try:
        return PurchaseOption(option)
    except ValueError:
        known = ", ".join(each.value for each in PurchaseOption)
        raise InvalidInput(f"unknown purchase option {option!r}: expected one of {known}") from None


def _check_amount(amount: Decimal, label: str) -> None:
    if not amount.is_finite() or amount < 0:
        raise InvalidInput(f"{label}: {amount} USD, expected a finite amount of 0 or more")


def _put(table: dict[Key, Value], key: Key, value: Value, label: str) -> None:
    if key in table:
        raise InvalidInput(f"{label}: overridden twice")
    table[key] = value
