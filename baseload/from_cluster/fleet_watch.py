"""The fleet of a load test as it really is: which nodes of a cluster are there, and when.

A node belongs to the first pool of the scenario that has its instance type, capacity type and zone. What is seen every
few seconds is where a life begins and ends; what was there before the run, or is there after it, lived through it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from baseload.from_cluster.nodes import INSTANCE_TYPE, ZONE, capacity_type_of
from baseload.from_cluster.read import NODES, RefusedError, list_objects
from scenarios.errors import EnvironmentProblem
from serving_ref.loadtest.watch import Watch
from simulator.results.recorded import POOL_GAUGES, ControlEvent, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubernetes.client import ApiClient
    from numpy.typing import NDArray

    from baseload.from_cluster.read import Object
    from scenarios.schema import Pool, Scenario

EVERY_S = 2.0


@dataclass(frozen=True, eq=False)
class SeenFleet:
    """The fleet's part of a `SeedRecord`; the fields are its own."""

    pool_gauges: NDArray[np.int64]
    usage: tuple[Usage, ...]
    events: tuple[ControlEvent, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    uid: str
    name: str
    pool: str
    is_ready: bool


@dataclass(frozen=True, slots=True)
class _Listing:
    at_ns: int
    nodes: tuple[_Node, ...]
    """Those that belong to a pool."""


@dataclass(slots=True)
class _Life:
    pool: str
    name: str
    ready_ns: list[tuple[int, bool]]
    """When it was seen, and whether it was ready then."""

    @property
    def first_ns(self) -> int:
        return self.ready_ns[0][0]

    @property
    def last_ns(self) -> int:
        return self.ready_ns[-1][0]


class FleetWatch(Watch[_Listing]):
    """Lists a cluster's nodes every few seconds. What was seen last holds while nobody answers."""

    def __init__(self, client: ApiClient, scenario: Scenario) -> None:
        super().__init__("--fleet-from", EVERY_S)
        self._client, self._scenario = client, scenario

    def look(self) -> _Listing:
        """List the nodes. The first time, EnvironmentProblem where they cannot be listed, or none belongs to a pool."""
        try:
            found = list_objects(self._client, NODES, None)
        except RefusedError as error:
            if self.is_first:
                raise EnvironmentProblem(f"--fleet-from: nodes cannot be listed: {error}") from None
            raise
        at_ns = time.monotonic_ns()
        nodes = tuple(
            _Node(each["metadata"].get("uid", name), name, pool.name, _is_ready(each))
            for each in found
            if (name := each["metadata"]["name"]) and (pool := self._pool_of(each))
        )
        if self.is_first and not nodes:
            raise EnvironmentProblem(
                "--fleet-from: no node has the instance type, capacity type and zone of a pool of the scenario"
            )
        return _Listing(at_ns, nodes)

    def fleet(self, start_ns: int, edges_ns: NDArray[np.int64]) -> SeenFleet:
        """What was seen between the edges of a timeline that began at a time of `time.monotonic_ns()`."""
        listings = self.seen
        end_ns = int(edges_ns[-1])
        names = [pool.name for pool in self._scenario.pools]
        gauges = np.zeros((len(edges_ns), len(names), len(POOL_GAUGES)), np.int64)
        usage: list[Usage] = []
        events: list[ControlEvent] = []
        for life in sorted(_lives(listings), key=lambda each: (each.pool, each.first_ns, each.name)):
            begin = 0 if life.first_ns == listings[0].at_ns else life.first_ns - start_ns
            until = end_ns if life.last_ns == listings[-1].at_ns else life.last_ns - start_ns
            begin, until = max(begin, 0), min(until, end_ns)
            if begin >= until:
                continue
            number = sum(each.pool == life.pool for each in usage)
            usage.append(Usage(life.pool, number, begin, until))
            there = (edges_ns >= begin) & ((edges_ns < until) | (until == end_ns))
            gauges[:, names.index(life.pool)] += np.stack(
                [there, there & _ready(life, start_ns, edges_ns)], axis=1
            )
            if begin > 0:
                events.append(
                    ControlEvent(begin, "instance-seen", f"{life.pool}/{number}", f"node {life.name}")
                )
            if until < end_ns:
                events.append(
                    ControlEvent(until, "instance-gone", f"{life.pool}/{number}", f"node {life.name}")
                )
        return SeenFleet(
            gauges, tuple(usage), tuple(sorted(events, key=lambda each: (each.time_ns, each.subject)))
        )

    def _pool_of(self, node: Object) -> Pool | None:
        labels = node["metadata"].get("labels", {})
        for pool in self._scenario.pools:
            if (
                labels.get(INSTANCE_TYPE) == pool.instance_type
                and (capacity_type_of(labels) or "on-demand") == pool.capacity_type
                and pool.zone in (None, labels.get(ZONE))
            ):
                return pool
        return None


def _lives(listings: Iterable[_Listing]) -> list[_Life]:
    lives: dict[str, _Life] = {}
    for listing in listings:
        for node in listing.nodes:
            life = lives.setdefault(node.uid, _Life(node.pool, node.name, []))
            life.ready_ns.append((listing.at_ns, node.is_ready))
    return list(lives.values())


def _ready(life: _Life, start_ns: int, edges_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a node was ready when it was last looked at before each edge (at the first look, before that)."""
    seen_ns = np.array([at_ns - start_ns for at_ns, _ in life.ready_ns])
    ready = np.array([is_ready for _, is_ready in life.ready_ns])
    latest: NDArray[np.bool_] = ready[np.maximum(np.searchsorted(seen_ns, edges_ns, side="right") - 1, 0)]
    return latest


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
