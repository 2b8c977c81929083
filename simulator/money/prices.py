"""What a pool's instance hour costs: the scenario's own price first, then the catalogue's."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN
from typing import TYPE_CHECKING

from scenarios.catalogue import SCENARIO, PurchaseOption
from scenarios.errors import InvalidInput
from simulator.money.bill import NANO, PriceOf, UnitPrice

if TYPE_CHECKING:
    from decimal import Decimal

    from scenarios.catalogue import Catalogue
    from scenarios.schema import Pool, Scenario

PURCHASE_OPTION = {
    "on-demand": PurchaseOption.ON_DEMAND,
    "reserved": PurchaseOption.ON_DEMAND,
    "spot": PurchaseOption.SPOT_REFERENCE,
}
"""A capacity reservation is paid at the on-demand rate."""


def list_prices(scenario: Scenario, catalogue: Catalogue) -> PriceOf:
    """Return a function from a pool to its list price, in whole nano-dollars an hour.

    A reservation falls back to the scenario's on-demand price before the catalogue's. The function raises
    `InvalidInput`, with what is known, where neither has a price.
    """
    own: dict[tuple[str, str], Decimal] = {
        (each.instance_type, each.capacity_type): each.price
        for each in scenario.prices
        if each.instance_type is not None and each.price is not None
    }

    def price_of(pool: Pool) -> UnitPrice:
        kinds = (
            (pool.capacity_type, "on-demand") if pool.capacity_type == "reserved" else (pool.capacity_type,)
        )
        for kind in kinds:
            price = own.get((pool.instance_type, kind))
            if price is not None:
                return UnitPrice(price.quantize(NANO, rounding=ROUND_HALF_EVEN), SCENARIO, "")
        try:
            found = catalogue.require_price(
                pool.instance_type, scenario.region, PURCHASE_OPTION[pool.capacity_type]
            )
        except InvalidInput as error:
            raise InvalidInput(f"pools[{pool.name}]: {error}") from None
        return UnitPrice(
            found.price_usd_per_h.quantize(NANO, rounding=ROUND_HALF_EVEN), found.source, found.as_of
        )

    return price_of
