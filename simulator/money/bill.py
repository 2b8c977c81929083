"""From billed time and unit prices to line items: decimal price × quantity, rounded once a line to
nano-dollars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from simulator.money.usage import ChargePeriod, charge_periods, pool_usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scenarios.schema import Pool, Scenario
    from simulator.results.recorded import SeedRecord

NANO = Decimal("1e-9")
NANO_USD_PER_USD = 10**9
NANOSECONDS_PER_HOUR = 3600 * NANOSECONDS_PER_SECOND
_DISCOUNT_DENOMINATOR = 10**9


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The list price of one instance hour, with where it comes from."""

    usd_per_h: Decimal
    source: str
    """An id of the catalogue's sources, or `scenario`."""
    as_of: str
    """When it was in force (ISO 8601); empty for a scenario's own figure."""


PriceOf: TypeAlias = Callable[["Pool"], UnitPrice]
"""List price of a pool's instances; raises `InvalidInput` where none is known."""


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of the bill: one pool in one charge period of one replication."""

    seed: int
    pool: str
    period: ChargePeriod
    lived_ns: int
    billed_ns: int
    list_price: UnitPrice
    contracted_usd_per_h: Decimal
    """After private discounts."""
    list_nano_usd: int
    billed_nano_usd: int


def bill(scenario: Scenario, records: Iterable[SeedRecord], price_of: PriceOf) -> list[LineItem]:
    """Bill every replication's usage after the warm-up, ordered by seed, pool and charge period."""
    pools = {pool.name: pool for pool in scenario.pools}
    prices = {name: price_of(pool) for name, pool in pools.items()}
    contracted = {
        name: contracted_price(prices[name].usd_per_h, pool, scenario) for name, pool in pools.items()
    }
    lines = []
    for record in sorted(records, key=lambda each: each.seed):
        periods = charge_periods(
            scenario.run.start, nanoseconds(scenario.run.warmup), int(record.edges_ns[-1])
        )
        lines += [
            LineItem(
                seed=record.seed,
                pool=used.pool,
                period=used.period,
                lived_ns=used.lived_ns,
                billed_ns=used.billed_ns,
                list_price=prices[used.pool],
                contracted_usd_per_h=contracted[used.pool],
                list_nano_usd=cost_nano_usd(used.billed_ns, prices[used.pool].usd_per_h),
                billed_nano_usd=cost_nano_usd(used.billed_ns, contracted[used.pool]),
            )
            for used in pool_usage(record.usage, periods)
        ]
    return lines


def contracted_price(list_usd_per_h: Decimal, pool: Pool, scenario: Scenario) -> Decimal:
    """List price less the scenario's discounts, one after the other, in whole nano-dollars an hour."""
    price = list_usd_per_h
    for discount in scenario.discounts:
        if discount.capacity_type in (None, pool.capacity_type):
            off = Fraction(discount.percent).limit_denominator(_DISCOUNT_DENOMINATOR)  # 7 % is 7/100 exactly
            price = price * (off.denominator - off.numerator) / off.denominator
    return price.quantize(NANO, rounding=ROUND_HALF_EVEN)


def cost_nano_usd(billed_ns: int, usd_per_h: Decimal) -> int:
    """Price × quantity, exact, rounded once (half to even) to whole nano-dollars."""
    return round(Fraction(usd_per_h) * Fraction(billed_ns, NANOSECONDS_PER_HOUR) * NANO_USD_PER_USD)
