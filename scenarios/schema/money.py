"""Prices, discounts, budgets and commitments of a scenario."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from scenarios.schema.base import Named, PositiveInt, Section
from scenarios.units import Fraction, PositiveDuration, Usd, UsdPerHour, UsdPerUnit

CapacityType = Literal["on-demand", "spot", "reserved"]


class PriceOverride(Section):
    """A price that replaces the catalogue's: of an instance type (`price`), or of a metered service
    (`unit_price`)."""

    choices = frozenset({"instance_type", "service"})

    instance_type: str | None = None
    """Catalogue name."""
    capacity_type: CapacityType = "on-demand"
    """The way the instance is bought."""
    price: UsdPerHour | None = None
    """Dollars an hour of the instance."""
    service: str | None = None
    """Catalogue name of a metered service, such as s3.standard.storage or alb.hour."""
    unit_price: UsdPerUnit | None = None
    """Dollars for each of the service's own units."""

    @model_validator(mode="after")
    def _priced(self) -> PriceOverride:
        self.require_one_choice()
        if self.instance_type is not None:
            if self.price is None or self.unit_price is not None:
                raise ValueError("an instance type has a price, such as $3.06/h, and no unit_price")
        elif self.unit_price is None or self.price is not None:
            raise ValueError("a service has a unit_price, such as $0.023/GB-month, and no price")
        elif "capacity_type" in self.model_fields_set:
            raise ValueError("capacity_type: a service has none")
        return self


class Discount(Named):
    """A private discount on list prices."""

    percent: Fraction
    """Off the list price."""
    capacity_type: CapacityType | None = None
    """None: on all of them."""


class Budget(Named):
    """What may be spent; the result says whether it was kept."""

    amount: Usd
    """Dollars a period."""
    per: PositiveDuration
    """The period, such as 30d; a run of another length is compared pro rata."""


class Commitment(Named):
    """A Reserved Instance or Savings Plan: in the schema, refused by this version's bill."""

    kind: Literal["reserved-instance", "compute-savings-plan", "ec2-savings-plan"]
    """What was bought."""
    instance_type: str | None = None
    """Reserved Instances: the type."""
    count: PositiveInt | None = None
    """Reserved Instances: how many."""
    commitment: UsdPerHour | None = None
    """Savings Plans: dollars an hour."""
