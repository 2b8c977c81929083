"""The nouns of the catalogue, each one frozen record: instance type, price, service price, source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

SCENARIO = "scenario"
"""The source of every figure that a scenario states itself; such a figure has no date."""


class PurchaseOption(StrEnum):
    """How an instance hour is bought; every price is an effective hourly one, upfront parts spread evenly."""

    ON_DEMAND = "on-demand"
    SPOT_REFERENCE = "spot-reference"
    """The lowest spot price over a region's zones on one day: a reference, not a forecast."""
    RESERVED_1Y_NO_UPFRONT = "reserved-1y-no-upfront"
    RESERVED_1Y_PARTIAL_UPFRONT = "reserved-1y-partial-upfront"
    RESERVED_1Y_ALL_UPFRONT = "reserved-1y-all-upfront"
    RESERVED_3Y_NO_UPFRONT = "reserved-3y-no-upfront"
    RESERVED_3Y_PARTIAL_UPFRONT = "reserved-3y-partial-upfront"
    RESERVED_3Y_ALL_UPFRONT = "reserved-3y-all-upfront"


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from: one row of `sources.csv`."""

    id: str
    title: str
    url: str
    """Empty where the publisher is unknown."""
    licence: str
    """Empty where the publisher states terms of use rather than a licence."""
    remark: str


@dataclass(frozen=True, slots=True)
class InstanceType:
    """The shape of one cloud instance type."""

    name: str
    vcpu: int
    """Virtual CPUs: hardware threads on x86_64 (except T2), cores on arm64."""
    memory_gib: float
    arch: str
    """`x86_64` or `arm64`."""
    accelerator: str | None
    """Maker and model, such as `NVIDIA V100`; None where there is none."""
    accelerator_count: int
    accelerator_memory_gib: float
    """Per accelerator, the maker's nominal figure; what a program can use is a few percent less."""
    as_of: str
    source: str

    @property
    def family(self) -> str:
        """The part before the dot: `p3` of `p3.2xlarge`."""
        return self.name.partition(".")[0]

    @property
    def size(self) -> str:
        """The part after the dot: `2xlarge` of `p3.2xlarge`."""
        return self.name.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Price:
    """What one hour of one instance costs in one region under one purchase option."""

    instance_type: str
    region: str
    option: PurchaseOption
    price_usd_per_h: Decimal
    """Effective USD an hour, Linux, shared tenancy, before tax and private discounts."""
    as_of: str = ""
    """When it was in force: a date, a month or a year in ISO 8601; empty for a scenario's own figure."""
    source: str = SCENARIO
    """An id of `sources.csv`, or `scenario`."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServicePrice:
    """What one unit of a metered service costs in one region: the first paid tier, no free allowance."""

    region: str
    service: str
    """A dotted name such as `s3.standard.storage`."""
    unit: str
    """What one is charged for: `hour`, `GB-month`, `vCPU-hour`, `request`, …; AWS' GB is 2^30 bytes."""
    price_usd: Decimal
    """USD a unit."""
    as_of: str = ""
    source: str = SCENARIO
    note: str = ""


Override: TypeAlias = Price | ServicePrice
"""A figure that a scenario states itself: it replaces the catalogue's or joins it."""
