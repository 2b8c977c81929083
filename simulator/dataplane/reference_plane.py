"""The reference as the control plane sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.fleet import AddReplica, DrainReplica, KillReplica, ServiceState, Snapshot
from scenarios.units import NANOSECONDS_PER_SECOND
from simulator.dataplane.reference import Reference
from simulator.dataplane.reference_batcher import Flight, Slot, Station
from simulator.results.recorded import SERVICE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from scenarios.fleet import Change
    from simulator.dataplane.engine import Counters, Logs
    from simulator.dataplane.specification import ServiceSpec, Specification

_SHARED_UID = 1 << 39


class ReferencePlane:
    """The pure SimPy engine. See `DataPlane` for the calls."""

    path = "reference"
    path_reason = "asked for"

    def __init__(self, specification: Specification) -> None:
        self._spec = specification
        self._run = Reference(specification)
        self._services = {service.name: service for service in specification.services}
        self._replicas: dict[int, AddReplica] = {}
        self._draining: set[int] = set()
        self._reported: set[int] = set()
        """Drained replicas that a snapshot has told of: they are forgotten at the next change."""
        self._station: dict[int, Station] = {}
        self._shared = [
            Station(self._run.env, service, _SHARED_UID + service.index, self._run)
            for service in specification.services
        ]

    def advance(self, to_ns: int) -> Counters:
        """Handle every event before `to_ns`."""
        if to_ns > self._run.env.now:
            self._run.env.run(until=to_ns)
        return self._run.recorder.counters

    def apply(self, changes: Iterable[Change]) -> None:
        """Change the fleet at the end of the last window."""
        offered: list[Station] = []
        lost: list[Flight] = []
        for change in changes:
            match change:
                case AddReplica():
                    offered.append(self._add(change))
                case DrainReplica(replica):
                    self._draining.add(replica)
                    if self._service(replica).shared_queue:
                        for slot in self._slots(replica):
                            slot.accepting = False
                case KillReplica(replica):
                    lost += self._kill(replica)
        self._list_ready()
        for station in offered:
            station.offer()
        self._run.lost(lost)
        self._run.env.settle()

    def observe(self) -> Snapshot:
        """Look at the fleet as it is now."""
        services = []
        for service in self._spec.services:
            uids = self._uids(service)
            ready = [uid for uid in uids if uid not in self._draining]
            stations = {id(self._station[uid]): self._station[uid] for uid in uids}
            if service.shared_queue:
                stations = {0: self._shared[service.index]}
            slots = [slot for uid in uids for slot in self._slots(uid)]
            services.append(
                ServiceState(
                    name=service.name,
                    ready_replicas=len(ready),
                    draining_replicas=len(uids) - len(ready),
                    queued=sum(len(station.queue) for station in stations.values()),
                    in_service=sum(len(slot.batch) for slot in slots if slot.batch is not None),
                    batch_slots=len(ready) * service.instances,
                )
            )
        drained = tuple(uid for uid in sorted(self._draining) if self._is_empty(uid))
        self._reported.update(drained)
        return Snapshot(self._run.env.now_ns / NANOSECONDS_PER_SECOND, tuple(services), drained)

    def busy_ns(self) -> NDArray[np.int64]:
        """Time with a batch in service, by service."""
        busy = self._run.recorder.counters.service_counters[:, SERVICE_COUNTERS.index("busy_ns")].copy()
        for uid in self._replicas:
            for slot in self._slots(uid):
                if slot.batch is not None:
                    busy[self._service(uid).index] += self._run.env.now_ns - slot.started_ns
        return busy

    def unfinished(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Logical requests without an outcome, by class and, if late already, by SLO."""
        still_open = list(self._run.recorder.open.values())
        by_class = [sum(cls is each for each, _ in still_open) for cls in self._spec.classes]
        late = [
            sum(
                cls.index == slo.request_class and self._run.env.now_ns - first_ns > slo.latency_ns
                for cls, first_ns in still_open
            )
            for slo in self._spec.slos
        ]
        return np.array(by_class, np.int64), np.array(late, np.int64)

    def logs(self) -> Logs:
        """What was logged."""
        return self._run.recorder.logs()

    def _service(self, replica: int) -> ServiceSpec:
        return self._services[self._replicas[replica].service]

    def _slots(self, replica: int) -> list[Slot]:
        return [slot for slot in self._station[replica].slots if slot.uid == replica]

    def _uids(self, service: ServiceSpec) -> list[int]:
        """Replicas of a service in listed order: pool, instance, number."""
        members = [each for each in self._replicas.values() if each.service == service.name]
        members.sort(key=lambda each: (service.pools.index(each.pool), each.instance, each.number))
        return [each.replica for each in members]

    def _add(self, change: AddReplica) -> Station:
        service = self._services[change.service]
        if service.shared_queue:
            station = self._shared[service.index]
        else:
            station = Station(self._run.env, service, change.replica, self._run)
        self._replicas[change.replica] = change
        self._station[change.replica] = station
        times = service.times[service.pools.index(change.pool)]
        station.slots += [Slot(change.replica, number, times) for number in range(service.instances)]
        order = {uid: place for place, uid in enumerate(self._uids(service))}
        station.slots.sort(key=lambda slot: (order[slot.uid], slot.number))
        return station

    def _kill(self, replica: int) -> list[Flight]:
        station, service = self._station[replica], self._service(replica)
        lost: list[Flight] = []
        for slot in self._slots(replica):
            if slot.batch is not None:
                self._run.batch_done(station, slot)
                lost += slot.batch
                slot.batch = None
            slot.accepting = False
        if not service.shared_queue:
            lost += station.queue
            station.queue = []
            station.timer = None
        self._forget(replica)
        return lost

    def _is_empty(self, replica: int) -> bool:
        waiting = not self._service(replica).shared_queue and self._station[replica].queue
        return not waiting and all(slot.batch is None for slot in self._slots(replica))

    def _forget(self, replica: int) -> None:
        station = self._station.pop(replica)
        station.slots = [slot for slot in station.slots if slot.uid != replica]
        del self._replicas[replica]
        self._draining.discard(replica)
        self._reported.discard(replica)

    def _list_ready(self) -> None:
        for replica in sorted(self._reported):
            self._forget(replica)
        for service in self._spec.services:
            ready = [uid for uid in self._uids(service) if uid not in self._draining]
            if service.shared_queue:
                self._run.ready[service.index] = [self._shared[service.index]] if ready else []
            else:
                self._run.ready[service.index] = [self._station[uid] for uid in ready]
