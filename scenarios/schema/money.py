"""Prices, discounts, budgets and commitments of a scenario."""

from __future__ import annotations

from typing import Literal

from scenarios.schema.base import Named, PositiveInt, Section
from scenarios.units import Fraction, PositiveDuration, Usd, UsdPerHour

CapacityType = Literal["on-demand", "spot", "reserved"]


class PriceOverride(Section):
    """A price that replaces the catalogue's."""

    instance_type: str
    """Catalogue name."""
    capacity_type: CapacityType = "on-demand"
    """The way it is bought."""
    price: UsdPerHour
    """Dollars an hour."""


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
