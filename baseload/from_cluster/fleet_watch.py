"""The fleet of a load test as it really is: which nodes of a cluster are there, and when.

A node belongs to the first pool of the scenario that has its instance type, capacity type and zone. What is seen every
few seconds is where a life begins and ends; what was there before the run, or is there after it, lived through it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from baseload.from_cluster.nodes import INSTANCE_TYPE, ZONE, capacity_type_of
from baseload.from_cluster.read import NODES, RefusedError, list_objects
from scenarios.errors import EnvironmentProblem
from simulator.results.recorded import POOL_GAUGES, ControlEvent, Usage

if TYPE_CHECKING:
    from types import TracebackType

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


@dataclass(slots=True)
class _Life:
    pool: str
    name: str
    first_ns: int
    last_ns: int
    ready_ns: list[tuple[int, bool]]
    """When it was seen, and whether it was ready then."""


class FleetWatch:
    """Lists a cluster's nodes every few seconds in a thread of its own, while the `with` block runs."""

    def __init__(self, client: ApiClient, scenario: Scenario) -> None:
        self._client, self._scenario = client, scenario
        self._lives: dict[str, _Life] = {}
        self._looks_ns: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> FleetWatch:
        """Raises EnvironmentProblem where the nodes cannot be listed, or none belongs to a pool."""
        try:
            self._look()
        except RefusedError as error:
            raise EnvironmentProblem(f"--fleet-from: nodes cannot be listed: {error}") from None
        if not self._lives:
            raise EnvironmentProblem(
                "--fleet-from: no node has the instance type, capacity type and zone of a pool of the scenario"
            )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def fleet(self, start_ns: int, edges_ns: NDArray[np.int64]) -> SeenFleet:
        """What was seen between the edges of a timeline that began at a time of `time.monotonic_ns()`."""
        end_ns = int(edges_ns[-1])
        names = [pool.name for pool in self._scenario.pools]
        gauges = np.zeros((len(edges_ns), len(names), len(POOL_GAUGES)), np.int64)
        usage: list[Usage] = []
        events: list[ControlEvent] = []
        for life in sorted(self._lives.values(), key=lambda each: (each.pool, each.first_ns, each.name)):
            begin = 0 if life.first_ns == self._looks_ns[0] else life.first_ns - start_ns
            until = end_ns if life.last_ns == self._looks_ns[-1] else life.last_ns - start_ns
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

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self._look()
            except (RefusedError, EnvironmentProblem):
                continue  # what was seen last holds until somebody answers again

    def _look(self) -> None:
        nodes = list_objects(self._client, NODES, None)
        now_ns = time.monotonic_ns()
        for node in nodes:
            pool = self._pool_of(node)
            if pool is None:
                continue
            name = node["metadata"]["name"]
            who = node["metadata"].get("uid", name)
            life = self._lives.setdefault(who, _Life(pool.name, name, now_ns, now_ns, []))
            life.last_ns = now_ns
            life.ready_ns.append((now_ns, _is_ready(node)))
        self._looks_ns.append(now_ns)

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


def _ready(life: _Life, start_ns: int, edges_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a node was ready when it was last looked at before each edge (at the first look, before that)."""
    seen_ns = np.array([at_ns - start_ns for at_ns, _ in life.ready_ns])
    ready = np.array([is_ready for _, is_ready in life.ready_ns])
    latest: NDArray[np.bool_] = ready[np.maximum(np.searchsorted(seen_ns, edges_ns, side="right") - 1, 0)]
    return latest


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
