"""Random lives of fleets: replicas that come, drain and are killed at random times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.exact.case import Move
    from tests.simulator.exact.strategies import Dice


class _Ledger:
    """Replicas by service, so that changes name replicas that there may still be."""

    def __init__(self, dice: Dice, services: list[dict[str, Any]]) -> None:
        self.dice = dice
        self.services = services
        self.present: list[int] = []
        self.next_replica = dice.pick(0, 1000)

    def add(self, service: dict[str, Any]) -> Move:
        replica = self.next_replica
        self.next_replica += 1
        self.present.append(replica)
        pool = self.dice.pick(*service["pools"])
        # Instances out of order: the listed order comes from names, not from when they came.
        return ("add", replica, service["name"], pool, self.dice.number(0, 3) * 1000 + replica, 0)

    def moves(self) -> list[Move]:
        kind = self.dice.pick("add", "drain", "kill", "add", "kill-all", "drain-all", "replace")
        if kind == "add" or not self.present:
            return [self.add(self.dice.pick(*self.services)) for _ in range(self.dice.number(1, 2))]
        if kind == "kill-all":
            lost, self.present = self.present, []
            return [("kill", replica) for replica in lost]
        if kind == "drain-all":
            return [("drain", replica) for replica in self.present]
        replica = self.dice.pick(*self.present)
        if kind == "drain":
            return [("drain", replica)]
        self.present.remove(replica)
        lost_and_found: list[Move] = [("kill", replica)]
        if kind == "replace":
            lost_and_found.append(self.add(self.dice.pick(*self.services)))
        return lost_and_found


def fleet_steps(dice: Dice, services: list[dict[str, Any]]) -> tuple[tuple[int, tuple[Move, ...]], ...]:
    """When the fleet changes, and how. Most fleets stand at the start; some come late, some leave a service without."""
    ledger = _Ledger(dice, services)
    begin = [ledger.add(service) for service in services for _ in range(dice.pick(1, 2, 3, 0))]
    steps: dict[int, list[Move]] = {0 if dice.chance(9) else dice.time_ns(1, 20): begin}
    for _ in range(dice.pick(0, 1, 2, 4, 8)):
        now_ns = max(steps) + dice.time_ns(0, dice.length // 4)
        for _ in range(dice.pick(1, 1, 2)):
            steps.setdefault(now_ns, []).extend(ledger.moves())
    return tuple((now_ns, tuple(moves)) for now_ns, moves in steps.items())
