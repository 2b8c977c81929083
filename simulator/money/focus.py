"""Line items as rows of FOCUS, the FinOps Open Cost and Usage Specification (https://focus.finops.org).

Columns as FOCUS 1.2 defines them, with 1.3's ServiceProviderName beside the ProviderName that it replaces;
columns of our own begin with `x_` and come last, as the specification asks. What an invoice alone could tell
(accounts, invoice ids, the provider's SKU ids) is null or left out: this is a simulated bill.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from simulator.money.bill import NANOSECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from scenarios.schema import Pool, Scenario
    from simulator.money.bill import LineItem


class ColumnType(Enum):
    """How a column is stored."""

    TEXT = "text"
    TIME = "time"
    """Microseconds since 1970 in UTC."""
    DECIMAL = "decimal"
    """Whole billionths."""
    INTEGER = "integer"


FOCUS_VERSION = "1.2"
_BILLION = 10**9
COLUMNS: dict[str, ColumnType] = {
    "AvailabilityZone": ColumnType.TEXT,
    "BilledCost": ColumnType.DECIMAL,
    "BillingCurrency": ColumnType.TEXT,
    "BillingPeriodEnd": ColumnType.TIME,
    "BillingPeriodStart": ColumnType.TIME,
    "ChargeCategory": ColumnType.TEXT,
    "ChargeClass": ColumnType.TEXT,
    "ChargeDescription": ColumnType.TEXT,
    "ChargeFrequency": ColumnType.TEXT,
    "ChargePeriodEnd": ColumnType.TIME,
    "ChargePeriodStart": ColumnType.TIME,
    "ConsumedQuantity": ColumnType.DECIMAL,
    "ConsumedUnit": ColumnType.TEXT,
    "ContractedCost": ColumnType.DECIMAL,
    "ContractedUnitPrice": ColumnType.DECIMAL,
    "EffectiveCost": ColumnType.DECIMAL,
    "ListCost": ColumnType.DECIMAL,
    "ListUnitPrice": ColumnType.DECIMAL,
    "PricingCategory": ColumnType.TEXT,
    "PricingCurrency": ColumnType.TEXT,
    "PricingQuantity": ColumnType.DECIMAL,
    "PricingUnit": ColumnType.TEXT,
    "ProviderName": ColumnType.TEXT,
    "RegionId": ColumnType.TEXT,
    "ResourceId": ColumnType.TEXT,
    "ResourceName": ColumnType.TEXT,
    "ResourceType": ColumnType.TEXT,
    "ServiceCategory": ColumnType.TEXT,
    "ServiceName": ColumnType.TEXT,
    "ServiceProviderName": ColumnType.TEXT,
    "SkuId": ColumnType.TEXT,
    "Tags": ColumnType.TEXT,
    "x_Seed": ColumnType.INTEGER,
    "x_CapacityType": ColumnType.TEXT,
    "x_InstanceType": ColumnType.TEXT,
    "x_PriceSource": ColumnType.TEXT,
    "x_PriceDate": ColumnType.TEXT,
}
"""Every column of `costs.parquet`, in order."""


def rows(scenario: Scenario, lines: Sequence[LineItem]) -> Iterator[dict[str, Any]]:
    """One row a line item: text as str or None, times as microseconds, decimals as whole billionths."""
    pools = {pool.name: pool for pool in scenario.pools}
    for line in lines:
        yield _row(scenario, pools[line.pool], line)


def _row(scenario: Scenario, pool: Pool, line: LineItem) -> dict[str, Any]:
    begin, end = _moment(scenario, line.period.begin_ns), _moment(scenario, line.period.end_ns)
    spot = pool.capacity_type == "spot"
    return {
        "AvailabilityZone": pool.zone,
        "BilledCost": line.billed_nano_usd,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _microseconds(_next_month(begin)),
        "BillingPeriodStart": _microseconds(_month(begin)),
        "ChargeCategory": "Usage",
        "ChargeClass": None,  # null: not a correction
        "ChargeDescription": f"{pool.instance_type} Linux {pool.capacity_type} instances of pool {pool.name}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _microseconds(end),
        "ChargePeriodStart": _microseconds(begin),
        "ConsumedQuantity": _billionths_of_hours(line.lived_ns),
        "ConsumedUnit": "Hours",
        "ContractedCost": line.billed_nano_usd,
        "ContractedUnitPrice": _billionths(line.contracted_usd_per_h),
        "EffectiveCost": line.billed_nano_usd,
        "ListCost": line.list_nano_usd,
        "ListUnitPrice": _billionths(line.list_price.usd_per_h),
        "PricingCategory": "Dynamic" if spot else "Standard",
        "PricingCurrency": "USD",
        "PricingQuantity": _billionths_of_hours(line.billed_ns),
        "PricingUnit": "Hours",
        "ProviderName": "AWS",
        "RegionId": scenario.region,
        "ResourceId": pool.name,
        "ResourceName": pool.name,
        "ResourceType": "Instance",
        "ServiceCategory": "Compute",
        "ServiceName": "Amazon Elastic Compute Cloud",
        "ServiceProviderName": "AWS",
        "SkuId": f"{scenario.region}/{pool.instance_type}/{pool.capacity_type}",
        "Tags": json.dumps({**scenario.metadata.labels, **pool.labels}, sort_keys=True),
        "x_Seed": line.seed,
        "x_CapacityType": pool.capacity_type,
        "x_InstanceType": pool.instance_type,
        "x_PriceSource": line.list_price.source,
        "x_PriceDate": line.list_price.as_of or None,
    }


def _moment(scenario: Scenario, offset_ns: int) -> datetime:
    return scenario.run.start.astimezone(UTC) + timedelta(microseconds=offset_ns // 1000)


def _month(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(moment: datetime) -> datetime:
    return _month(_month(moment) + timedelta(days=31))


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _billionths(amount: Decimal) -> int:
    return int(amount.scaleb(9))  # unit prices are whole nano-dollars already


def _billionths_of_hours(nanoseconds: int) -> int:
    return round(Fraction(nanoseconds * _BILLION, NANOSECONDS_PER_HOUR))
