"""Pools of fixed or scheduled size: how many instances are wanted when, and which go first."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from scenarios.placement import replicas_per_instance
from scenarios.units import nanoseconds
from simulator.control.instances import GRANT, Instance, Kind, ReplicaNumbers, Stage
from simulator.dataplane.distributions import duration_quantiles_ns
from simulator.dataplane.draws import named_seed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    import simpy

    from scenarios.schema import Pool, Scenario, Service
    from simulator.control.books import Books
    from simulator.control.fleet import Fleet


class ScheduledPool:
    """A pool that follows its schedule."""

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        books: Books,
        numbers: ReplicaNumbers,
        kind: Kind,
        sizes: Iterator[tuple[int, int]],
    ) -> None:
        """`sizes`: (time in ns, wanted instances) as `wanted_sizes` gives them."""
        self._env, self._fleet, self._books, self._numbers, self._kind = env, fleet, books, numbers, kind
        self._sizes = sizes
        self._asked = count()
        self._members: list[Instance] = []
        """Instances that are wanted, starting or ready."""

    def follow_schedule(self) -> Generator[simpy.Event, Any, None]:
        """The control process of the pool."""
        _, size = next(self._sizes)
        self._ask(size, is_ready=True)
        self._books.note("pool-resized", self._kind.pool, f"starts with {_instances(size)}")
        for time_ns, wanted in self._sizes:
            yield self._env.timeout(time_ns - self._env.now)
            self._resize(wanted)

    def _resize(self, wanted: int) -> None:
        """Ask for more instances, or let the newest go: those still starting first."""
        size = len(self._members)
        if wanted == size:
            return
        self._books.note("pool-resized", self._kind.pool, f"{size} to {_instances(wanted)}")
        if wanted > size:
            self._ask(wanted - size, is_ready=False)
            return
        by_worth = sorted(self._members, key=lambda each: (not each.is_ready, each.number))
        self._members, leaving = by_worth[:wanted], by_worth[wanted:]
        for instance in leaving:
            instance.let_go()

    def _ask(self, instances: int, *, is_ready: bool) -> None:
        self._members += [
            Instance(
                self._env,
                self._fleet,
                self._books,
                self._numbers,
                self._kind,
                next(self._asked),
                is_ready=is_ready,
            )
            for _ in range(instances)
        ]


def _instances(number: int) -> str:
    return f"{number} instance{'' if number == 1 else 's'}"


def wanted_sizes(pool: Pool, end_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (time in ns, instances wanted from then on), the first at 0, until `end_ns`."""
    schedule = pool.schedule
    steps = [(nanoseconds(step.at), step.size) for step in schedule.steps] if schedule else []
    yield 0, pool.first_size
    every_ns = nanoseconds(schedule.every) if schedule and schedule.every is not None else 0
    for period in count():
        for at_ns, size in steps:
            time_ns = period * every_ns + at_ns
            if time_ns >= end_ns:
                return
            if time_ns > 0:
                yield time_ns, size
        if not every_ns:
            return


def kinds(scenario: Scenario, seed: int) -> list[Kind]:
    """What each pool's instances are like, in the order of the scenario's pools.

    Raises InvalidInput for an instance type that is neither in the catalogue nor among the scenario's prices.
    """
    services = {pool: service for service in scenario.services for pool in service.pools}
    return [_kind(scenario, pool, services.get(pool.name), seed) for pool in scenario.pools]


def _kind(scenario: Scenario, pool: Pool, service: Service | None, seed: int) -> Kind:
    delays = {GRANT: pool.startup.grant, "boot": pool.startup.boot, "image-pull": pool.startup.image_pull}
    if service is not None:
        model = next(model for model in scenario.models if model.name == service.model)
        delays |= {"load": model.load, "warm-up": model.warm_up}
    return Kind(
        pool=pool.name,
        service=service.name if service is not None else None,
        replicas=replicas_per_instance(scenario, pool, service),
        stages=tuple(
            Stage(name, named_seed(seed, f"pools/{pool.name}/{name}"), duration_quantiles_ns(delay))
            for name, delay in delays.items()
        ),
    )
