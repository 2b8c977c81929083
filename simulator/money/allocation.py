"""Who used what was paid for: cost by class, and what nobody used.

A pool's cost goes in equal parts to the services on it. Of a service's part, the share that its utilisation
is (busy time over slot time) was used, and is divided among the classes by the items they had served there.
The rest is idle: paid for, not used. The parts always add up to the bill, to the nano-dollar.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import int64
    from numpy.typing import NDArray

    from scenarios.schema import Scenario


@dataclass(frozen=True, slots=True)
class Allocation:
    """One replication's cost in nano-dollars: each pool's by class, and what of it was idle."""

    used: dict[str, dict[str, int]]
    """By pool and class."""
    idle_by_pool: dict[str, int]

    @property
    def by_class(self) -> dict[str, int]:
        """What each class used, over all pools."""
        sums: dict[str, int] = {}
        for parts in self.used.values():
            for name, nano in parts.items():
                sums[name] = sums.get(name, 0) + nano
        return sums

    @property
    def idle(self) -> int:
        """Paid for, not used."""
        return sum(self.idle_by_pool.values())


def allocate(
    scenario: Scenario,
    pool_cost: Mapping[str, int],
    utilisation: Mapping[str, float | None],
    served_items: NDArray[int64],
) -> Allocation:
    """Divide each pool's cost (nano-dollars); `served_items` has a row a class and a column a service."""
    names = [each.name for each in scenario.classes]
    used: dict[str, dict[str, int]] = {}
    idle_by_pool: dict[str, int] = {}
    for pool, cost in pool_cost.items():
        services = [index for index, each in enumerate(scenario.services) if pool in each.pools]
        used[pool] = dict.fromkeys(names, 0)
        for index in services:
            items: list[int] = served_items[:, index].tolist()
            busy = min(Fraction(utilisation[scenario.services[index].name] or 0), Fraction(1))
            for name, count in zip(names, items, strict=True):
                # rounded down: what is left of a nano-dollar stays with the idle part
                used[pool][name] += int(
                    Fraction(cost, len(services)) * busy * Fraction(count, max(sum(items), 1))
                )
        idle_by_pool[pool] = cost - sum(used[pool].values())
    return Allocation(used, idle_by_pool)
